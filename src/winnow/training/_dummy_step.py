"""One step of a program outside of training: to compare, to time, to watch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from winnow.methods import Batch
from winnow.training._noise import noise_keys
from winnow.training._program import BaseProgram

__all__ = ["dummy_step", "same_rows"]


def dummy_step(
    program: BaseProgram, batch: Batch, seeds: Sequence[int], *, lr: float = 0.0
) -> None:
    """Take a step like the first of a training.

    Args:
        program: changed by the step; with ``lr`` 0 only its buffers and optimizer state.
        batch: of each member.
        seeds: of the members.
        lr: learning rate of all.
    """
    like = program.groups[0].params
    keys = None
    if program.num_keys:
        of_steps = noise_keys(list(seeds), program.num_keys, range(1))
        keys = torch.from_numpy(of_steps)[0].to(like.device)
    rates_V = torch.full((len(seeds),), lr, dtype=like.dtype, device=like.device)
    program.step(batch, keys, rates_V)


def same_rows(rows: Batch, members: int) -> Batch:
    """Return the same rows for every member, each with a copy of its own as gathered batches have.

    Args:
        rows: each (batch, ...).
        members: how many, V.
    """
    return rows.map(lambda tensor: tensor.unsqueeze(0).repeat(members, *[1] * tensor.dim()))
