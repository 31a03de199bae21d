"""Learning-rate schedules: the whole course of one member's rate, as factors of its ``lr``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from winnow.recipe import Constant, Cosine, OneCycle

__all__ = ["constant", "cosine", "factors", "one_cycle"]


def constant(num_steps: int) -> NDArray[np.float64]:
    """The factor 1 at each of ``num_steps`` steps, (steps,)."""
    return np.ones(num_steps)


def cosine(num_steps: int, *, warmup: float = 0.0, final: float = 0.0) -> NDArray[np.float64]:
    """A linear rise over the first ``warmup`` share of the steps, then half a cosine from 1 down to ``final``, (steps,).

    Source: Loshchilov & Hutter 2017, equation 5 without restarts; without warm-up equal to ``torch``'s
    CosineAnnealingLR(T_max=num_steps).
    """
    rise = round(warmup * num_steps)
    t = np.arange(num_steps)
    down = final + (1 - final) * (1 + np.cos(np.pi * (t - rise) / max(num_steps - rise, 1))) / 2
    return np.where(t < rise, (t + 1) / (rise + 1), down)


def one_cycle(num_steps: int, *, warmup: float = 0.3, start: float = 0.04, final: float = 1e-4) -> NDArray[np.float64]:
    """From ``start`` up to 1 over the first ``warmup`` share of the steps, then down to ``start * final``, along cosines,
    (steps,).

    Source: Smith & Topin 2018, in the variant of ``torch``'s OneCycleLR (two phases, cosine annealing).
    """
    if num_steps < 2:
        return np.full(num_steps, start)
    peak, last = warmup * num_steps - 1, num_steps - 1
    t = np.arange(num_steps, dtype=np.float64)

    def between(a: float, b: float, share: NDArray[np.float64]) -> NDArray[np.float64]:
        return b + (a - b) / 2 * (1 + np.cos(np.pi * share))

    if peak <= 0:  # the rise is shorter than a step
        return between(1.0, start * final, t / last)
    up = between(start, 1.0, np.clip(t / peak, 0, 1))
    down = between(1.0, start * final, np.clip((t - peak) / (last - peak), 0, 1))
    return np.where(t <= peak, up, down)


def factors(schedule: Constant | Cosine | OneCycle, num_steps: int) -> NDArray[np.float64]:
    """The schedule's factor at each of ``num_steps`` steps, (steps,)."""
    settings = schedule.model_dump(exclude={"kind"})
    return {"constant": constant, "cosine": cosine, "one_cycle": one_cycle}[schedule.kind](num_steps, **settings)
