"""How many members, fleets and worker processes the memory and the processors hold."""

from __future__ import annotations

import torch

from winnow.execution._machine import cores, free_bytes
from winnow.training import Footprint, training_device

__all__ = ["LARGEST_FLEET", "PROCESS_BYTES", "fitting", "largest_fleet", "memory_bytes", "on_gpu"]

# Members; beyond it the time of a member-step no longer falls (benchmarks/fleet.py)
LARGEST_FLEET = 64
LARGEST_ON_GPU = 512  # members
# Of the memory that is free now. Predictions are of what tensors hold; the C library's heap keeps
# up to as much again of what they gave back.
MEMORY_SHARE = 0.5
GPU_MEMORY_SHARE = 0.8  # of its memory that is free now
PROCESS_BYTES = 300 * 2**20  # that a worker process takes before it trains


def on_gpu() -> bool:
    """Return whether fleets train on a GPU.

    There they train one after another, each as large as fits, since it is the size that keeps a GPU
    busy.
    """
    return training_device().type == "cuda"


def memory_bytes() -> int:
    """Return what all fleets together may take now, in bytes: of a GPU's memory where they train on
    one.
    """
    if on_gpu():
        return int(GPU_MEMORY_SHARE * torch.cuda.mem_get_info()[0])
    return int(MEMORY_SHARE * free_bytes())


def largest_fleet() -> int:
    """Return the most members that a fleet may have, whatever the memory."""
    return LARGEST_ON_GPU if on_gpu() else LARGEST_FLEET


def fitting(footprint: Footprint, *, leaving: bool) -> tuple[int, int]:
    """Return how many members the largest fleet has that fits the memory, and how many fleets of
    its size may train at once.

    These are as many as there are cores, unless they could not hold two members.

    Args:
        footprint: of the model.
        leaving: whether some members may end before others.

    Returns:
        Members, 0 where none fits; and fleets, at least 1.
    """
    sizes = {
        n: footprint.peak_bytes(n, leaving=leaving, checkpoints=True)
        for n in range(1, largest_fleet() + 1)
    }
    budget = memory_bytes()
    most = 0
    for at_once in range(1 if on_gpu() else cores(), 0, -1):
        fitting_sizes = [n for n, size in sizes.items() if size * at_once <= budget]
        most = max(fitting_sizes, default=0)
        if most >= 2:
            return most, at_once
    return most, 1
