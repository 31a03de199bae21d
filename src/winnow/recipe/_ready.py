"""The arguments of the ready models. The networks themselves are in ``winnow.models``."""

from __future__ import annotations

from typing import Literal

from winnow.spec import Count, Depth, Flag, Open, Settings

__all__ = ["READY", "ConvNetArgs", "MLPArgs"]

Activation = Literal["relu", "gelu", "tanh", "silu"]


class MLPArgs(Settings):
    """A multi-layer perceptron: ``depth`` hidden layers of ``width`` units."""

    width: Open[Count] = 128
    depth: Open[Depth] = 2
    activation: Open[Activation] = "relu"
    norm: Open[Literal["none", "batch", "layer"]] = "none"
    residual: Open[Flag] = False
    """Add each hidden layer's input to its output."""


class ConvNetArgs(Settings):
    """A small convolutional network: ``depth`` blocks from ``channels`` channels on, then one
    hidden layer of ``width`` units.
    """

    channels: Open[Count] = 16
    depth: Open[Depth] = 2
    kernel: Open[Count] = 3
    """Edge length of the kernels."""
    activation: Open[Activation] = "relu"
    norm: Open[Literal["none", "batch"]] = "batch"
    width: Open[Count] = 64


READY: dict[str, type[Settings]] = {"mlp": MLPArgs, "convnet": ConvNetArgs}
