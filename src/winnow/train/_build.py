"""From variants to fresh modules, ready for the driver."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from winnow.data import Prepared
from winnow.errors import ModelError
from winnow.models import build
from winnow.recipe import Variant
from winnow.train._lanes import replace_dropout
from winnow.train._layers import free_noise
from winnow.train._settings import dtype_of

__all__ = ["build_members"]


def build_members(variants: Sequence[Variant], prepared: Prepared) -> list[nn.Module]:
    """A fresh module for each variant, its dropout layers replaced, in the variant's precision.

    Raises:
        ModelError: as ``models.build`` does; and for a model with nothing to train.
    """
    modules = []
    for variant in variants:
        module = build(variant.model, in_shape=prepared.in_shape, out_features=prepared.out_features, seed=variant.seed)
        dropout = variant.train.dropout
        rate = None if dropout is None else float(dropout)
        free_noise(replace_dropout(module, rate), rate)
        module.to(dtype_of(variant))
        if not any(p.requires_grad for p in module.parameters()):
            raise ModelError(f"model {variant.model.use!r} has no parameters to train")
        modules.append(module)
    return modules
