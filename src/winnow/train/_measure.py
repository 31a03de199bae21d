"""Does stacking pay for this model on this machine? A short side-by-side run tells."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from winnow.data import Prepared
from winnow.methods import noise_keys
from winnow.recipe import Variant
from winnow.train._build import build_members
from winnow.train._lanes import rehearse
from winnow.train._program import Alone, BaseProgram
from winnow.train._settings import dtype_of, make_lanes
from winnow.train._stacked import Stacked, stacking

__all__ = ["Timing", "measure"]

MEMBERS = 8
ROUNDS = 5


@dataclass(frozen=True)
class Timing:
    """Seconds of one member-step on one core: in a stacked program, and alone."""

    stacked_seconds: float
    alone_seconds: float


def measure(variant: Variant, prepared: Prepared) -> Timing:
    """Time real steps, stacked and alone in turns; the quickest of each, because other work on the machine only ever adds.
    Takes a fraction of a second for small models; changes nothing.
    """
    group = [variant.model_copy(update={"seed": variant.seed + i}) for i in range(MEMBERS)]
    dtype = dtype_of(variant)
    x, y = prepared.tensors("train", dtype)
    batch = min(int(variant.train.batch_size), len(x))
    x, y = x[:batch], y[:batch]
    modules = build_members([*group, variant], prepared)
    for module in modules:
        rehearse(module, x[:4])
    stacked = Stacked(modules[:MEMBERS], make_lanes(group, prepared.task, dtype))
    alone = Alone(modules[MEMBERS], make_lanes([variant], prepared.task, dtype))
    threads = torch.get_num_threads()
    together: list[float] = []
    single: list[float] = []
    torch.set_num_threads(1)
    try:
        with stacking():
            for _ in range(ROUNDS):
                together.append(_seconds(stacked, x, y))
                single.extend(_seconds(alone, x, y) for _ in range(4))
    finally:
        torch.set_num_threads(threads)
    return Timing(min(together) / MEMBERS, min(single))


def _seconds(program: BaseProgram, x: torch.Tensor, y: torch.Tensor) -> float:
    members = program.num_members
    keys = torch.from_numpy(noise_keys(list(range(members)), program.num_keys, range(1)))[0] if program.num_keys else None
    lr = torch.zeros(members, dtype=x.dtype)
    began = time.perf_counter()
    program.step(x.expand(members, *x.shape).contiguous(), y.expand(members, *y.shape).contiguous(), keys, lr)
    return time.perf_counter() - began
