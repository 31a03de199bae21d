"""Knowledge distillation: learn what a teacher says."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.errors import ModelError
from winnow.methods._batch import Batch
from winnow.methods.losses._base import BaseLoss
from winnow.spec import Open, Positive
from winnow.trees import Tree, main

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Distillation"]


class Distillation(BaseLoss):
    """The distance of the model's main output to that of ``train.teacher``.

    For a classification it is the Kullback-Leibler divergence of the softened probabilities, for a
    regression the squared difference. It is meant to stand in ``train.auxiliary_losses``, beside
    the loss of the true targets; alone, the teacher is all that is learned from.
    """

    soft_targets: ClassVar[bool] = True
    hears_teacher: ClassVar[bool] = True

    kind: Literal["distillation"] = "distillation"
    temperature: Open[Positive] = 2.0
    """Scores of both are divided by it; only for classes."""

    @classmethod
    def of_batch(cls, outputs: Tree, batch: Batch, *, temperature: Tensor) -> Tensor:
        """Return the loss of each row, (variants, batch).

        Args:
            outputs: of the model; the main one counts, (variants, batch, classes), or (variants,
                batch, 1) for a regression.
            batch: with the outputs of the teacher, of the same shape.
            temperature: of each member, > 0, (variants, 1).

        Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2: the
        divergence of the teacher's softened probabilities from the student's, times the squared
        temperature, so that gradients keep their size whatever the temperature is.

        Raises:
            ModelError: the teacher's outputs have another shape.
        """
        import torch

        student, teacher = main(outputs), main(batch.teacher)
        if student.shape != teacher.shape:  # they would be broadcast
            own, theirs = tuple(student.shape[2:]), tuple(teacher.shape[2:])
            raise ModelError(f"train.teacher: gives {theirs} for a row, and the model gives {own}")
        if student.shape[-1] == 1:
            return (student - teacher).square().squeeze(-1)
        t_V11 = temperature.unsqueeze(-1)
        log_p = torch.log_softmax(teacher / t_V11, dim=-1)
        log_q = torch.log_softmax(student / t_V11, dim=-1)
        divergence_VB = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
        return temperature**2 * divergence_VB
