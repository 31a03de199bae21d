"""From variants to fresh modules and programs, ready for the driver."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from winnow.data import PreparedData
from winnow.errors import ModelError
from winnow.models import build
from winnow.recipe import Variant
from winnow.training._dropout import dry_run, replace_dropout
from winnow.training._layers import free_noise
from winnow.training._make_methods import make_methods
from winnow.training._methods import Methods
from winnow.training._program import BaseProgram, SoloProgram
from winnow.training._settings import batch_size, dtype_of, num_steps
from winnow.training._stacked import StackedProgram

__all__ = ["build_members", "build_program"]

_FEW = 4  # rows that show what a pass does
_CPU = torch.device("cpu")


def build_members(variants: Sequence[Variant], prepared: PreparedData) -> list[nn.Module]:
    """Return a fresh module for each variant, dropout layers replaced, in the variant's precision.

    Raises:
        ModelError: as ``models.build`` does; and for a model with nothing to train.
    """
    modules = []
    for variant in variants:
        module = build(
            variant.model,
            in_shape=prepared.inputs,
            out_features=prepared.out_features,
            seed=variant.seed,
        )
        dropout = variant.train.dropout
        rate = None if dropout is None else float(dropout)
        free_noise(replace_dropout(module, rate), rate)
        module.to(dtype_of(variant))
        if not any(p.requires_grad for p in module.parameters()):
            raise ModelError(f"model {variant.model.use!r} has no parameters to train")
        modules.append(module)
    return modules


def build_program(
    modules: Sequence[nn.Module],
    variants: Sequence[Variant],
    prepared: PreparedData,
    *,
    stacked: bool,
    compiled: bool = False,
    device: torch.device = _CPU,
    methods: Methods | None = None,
) -> BaseProgram:
    """Return the program that trains these members.

    Args:
        modules: of the members, from ``build_members``; the program takes them over.
        variants: of the members.
        prepared: their data.
        stacked: run them as one program; otherwise there is one member.
        compiled: run a stacked program as compiled blocks.
        device: that modules and settings are moved to.
        methods: in the place of those of the variants.

    Raises:
        ModelError: the forward pass fails in training mode, or a method of the user's cannot be
            made.
    """
    first = variants[0]
    dtype = dtype_of(first)
    x, _ = prepared.head("train", min(_FEW, batch_size(first, len(prepared.train))), dtype)
    draws = dry_run(modules[0], x)
    if methods is None:
        steps = [num_steps(v, len(prepared.train)) * v.train.epochs for v in variants]
        methods = make_methods(variants, prepared.task, dtype, num_steps=steps)
    methods = methods.map(lambda tensor: tensor.to(device))
    for module in modules:
        module.to(device)
    if stacked:
        return StackedProgram(modules, methods, compiled=compiled)
    # A member that draws from a global generator sees the same numbers wherever it trains.
    return SoloProgram(modules[0], methods, noise_seed=first.seed if draws else None)
