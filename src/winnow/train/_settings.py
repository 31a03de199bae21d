"""The settings of variants as the driver needs them: numbers of steps, precision, and lane settings as tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from winnow.methods import OPTIMIZERS
from winnow.recipe import Variant
from winnow.train._program import Lanes

__all__ = ["batch_size", "dtype_of", "make_lanes", "num_steps"]


def batch_size(variant: Variant, num_rows: int) -> int:
    """Rows of a batch: as asked, or all training rows where there are fewer."""
    return min(int(variant.train.batch_size), num_rows)


def num_steps(variant: Variant, num_rows: int) -> int:
    """Optimiser steps in one epoch over ``num_rows`` training rows."""
    size = batch_size(variant, num_rows)
    return num_rows // size if variant.train.drop_last else math.ceil(num_rows / size)


def dtype_of(variant: Variant) -> torch.dtype:
    """The floating-point type of the variant's weights and data."""
    return {"float32": torch.float32, "float64": torch.float64}[variant.train.weights_precision]


def make_lanes(variants: Sequence[Variant], task: str, dtype: torch.dtype) -> Lanes:
    """The lane settings of a fleet as tensors. What is off for all of them is None."""
    trains = [v.train for v in variants]

    def column(values: Iterator[float] | Sequence[float]) -> Tensor:
        return torch.tensor([float(v) for v in values], dtype=torch.float64).to(dtype)

    def optional(name: str) -> Tensor | None:
        values = column([getattr(t, name) for t in trains])
        return values if bool((values != 0).any()) else None

    kind = trains[0].optimizer.kind
    method = OPTIMIZERS[kind]
    settings = {n: column([getattr(t.optimizer, n) for t in trains]).unsqueeze(1) for n in method.settings}
    settings = {n: values for n, values in settings.items() if n not in method.optional or bool((values != 0).any())}
    clips = column([math.inf if t.clip_norm is None else t.clip_norm for t in trains])
    loss = trains[0].loss
    l1, l2 = optional("l1"), optional("l2")
    return Lanes(
        optimizer=kind,
        loss={"classification": "cross_entropy", "regression": "mse"}[task] if loss == "auto" else loss,
        settings=settings,
        smoothing=optional("label_smoothing"),
        l1=None if l1 is None else l1.unsqueeze(1),
        l2=None if l2 is None else l2.unsqueeze(1),
        clip_norm=clips if bool(torch.isfinite(clips).any()) else None,
        mixed=trains[0].precision == "bfloat16",
    )
