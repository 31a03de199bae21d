"""A trained model that others learn from: what it says to the batches of a fleet.

Axes: V members, B batch.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from winnow.data import PreparedData
from winnow.errors import ModelError, kind_and_line
from winnow.methods import Batch
from winnow.models import build
from winnow.recipe import Variant
from winnow.training._batches import head_batch
from winnow.training._dropout import draws_numbers
from winnow.training._program import run_module
from winnow.training._settings import dtype_of
from winnow.trees import Tree, leaves, map_tree

__all__ = ["Teacher", "open_teacher"]

_CPU = torch.device("cpu")
_FEW = 4  # rows that show what a pass does


class Teacher:
    """Adds the outputs of a model in evaluation mode to batches.

    Args:
        module: the model, of the type and on the device of the batches; nothing of it is trained.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module.eval().requires_grad_(False)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the teacher's outputs for its inputs.

        Raises:
            ModelError: its forward pass fails.
        """
        first = leaves(batch.inputs)[0]
        members, rows = first.shape[:2]
        # Streamed rows are the same for all members, seen through a view
        if all(leaf.stride(0) == 0 for leaf in leaves(batch.inputs)):
            once = self._outputs(map_tree(lambda tensor: tensor[0], batch.inputs))
            shared = map_tree(lambda t: t.unsqueeze(0).expand(members, *t.shape), once)
            return replace(batch, teacher=shared)
        outputs = self._outputs(map_tree(lambda tensor: tensor.flatten(0, 1), batch.inputs))

        def by_member(tensor: Tensor) -> Tensor:
            return tensor.unflatten(0, (members, rows))

        return replace(batch, teacher=map_tree(by_member, outputs))

    def _outputs(self, inputs: Tree) -> Tree:
        try:
            with torch.no_grad():
                return run_module(self._module, inputs, mixed=False)
        except Exception as error:  # whatever the user's forward may raise
            raise ModelError(f"train.teacher fails on a batch: {kind_and_line(error)}") from error


def open_teacher(
    variant: Variant, prepared: PreparedData, device: torch.device = _CPU
) -> Teacher | None:
    """Return the teacher that a variant names; None where it names none.

    Args:
        variant: with nothing open.
        prepared: its data.
        device: of the batches.

    Raises:
        ModelError: it cannot be built, or draws random numbers in evaluation mode: those would
            depend on what else trains at the time.
    """
    model = variant.train.teacher
    if model is None:
        return None
    try:
        module = build(model, in_shape=prepared.inputs, out_features=prepared.out_features, seed=0)
    except ModelError as error:
        raise ModelError(f"train.teacher: {error}") from error
    teacher = Teacher(module.to(device, dtype_of(variant)))
    few = head_batch(prepared, _FEW, dtype_of(variant)).map(lambda t: t.unsqueeze(0).to(device))
    if draws_numbers(lambda: teacher(few)):
        expected = "expected a teacher that says the same at every pass"
        raise ModelError(f"train.teacher: {expected}, got one that draws random numbers")
    return teacher
