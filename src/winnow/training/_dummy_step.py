"""One step of a program outside of training: to compare, to time, to watch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from winnow.training._noise import noise_keys
from winnow.training._program import BaseProgram

__all__ = ["dummy_step", "same_rows"]


def dummy_step(
    program: BaseProgram, x_VBF: Tensor, y_VB: Tensor, seeds: Sequence[int], *, lr: float = 0.0
) -> None:
    """A step like the first of a training.

    Args:
        program: changed by the step; with ``lr`` 0 only its buffers and optimizer state.
        x_VBF: a batch for each member, (variants, batch, ...).
        y_VB: targets, (variants, batch).
        seeds: of the members.
        lr: learning rate of all.
    """
    keys = (
        torch.from_numpy(noise_keys(list(seeds), program.num_keys, range(1)))[0]
        if program.num_keys
        else None
    )
    program.step(x_VBF, y_VB, keys, torch.full((len(seeds),), lr, dtype=x_VBF.dtype))


def same_rows(x_BF: Tensor, y_B: Tensor, members: int) -> tuple[Tensor, Tensor]:
    """The same rows for every member, each with a copy of its own as gathered batches have:
    (variants, batch, ...).
    """
    return x_BF.unsqueeze(0).repeat(members, *[1] * x_BF.dim()), y_B.repeat(members, 1)
