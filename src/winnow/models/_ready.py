"""Ready models. Their arguments are typed in ``winnow.recipe``; a part of a model that an ablation
may want has a name of its own.
"""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, nn

from winnow.errors import ModelError

__all__ = ["MLP", "READY", "ConvNet"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}


class Block(nn.Module):
    """Linear, norm, activation, dropout; with ``residual``, added to its input."""

    def __init__(
        self, in_features: int, width: int, activation: str, norm: str, residual: bool
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, width)
        self.norm = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[norm](
            width
        )
        self.activation = _ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(0.0)  # the recipe's train.dropout sets the rate
        self.residual = residual and in_features == width

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.activation(self.norm(self.linear(x))))
        return x + y if self.residual else y


class MLP(nn.Module):
    """A multi-layer perceptron: ``block1`` ... ``block<depth>``, then ``head``.

    **Shape** input (batch, *in_shape), output (batch, out_features).
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        *,
        width: int,
        depth: int,
        activation: str,
        norm: str,
        residual: bool,
    ) -> None:
        super().__init__()
        self.depth = depth
        sizes = [prod(in_shape), *[width] * depth]
        for i in range(depth):
            self.add_module(f"block{i + 1}", Block(sizes[i], width, activation, norm, residual))
        self.head = nn.Linear(sizes[-1], out_features)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for i in range(self.depth):
            x = self.get_submodule(f"block{i + 1}")(x)
        return self.head(x)


class ConvBlock(nn.Module):
    """Convolution with "same" padding, norm, activation, 2 x 2 maximum pooling."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, activation: str, norm: str
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2)
        self.norm = {"none": nn.Identity, "batch": nn.BatchNorm2d}[norm](channels)
        self.activation = _ACTIVATIONS[activation]()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.activation(self.norm(self.conv(x))))


class ConvNet(nn.Module):
    """A small convolutional net: ``conv1`` ... ``conv<depth>`` with channels doubling, then ``fc``,
    dropout and ``head``.

    **Shape** input (batch, channels, height, width), output (batch, out_features).
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        *,
        channels: int,
        depth: int,
        kernel: int,
        activation: str,
        norm: str,
        width: int,
    ) -> None:
        super().__init__()
        if len(in_shape) != 3:
            raise ModelError(
                f"convnet needs rows of shape (channels, height, width), got {in_shape}: set "
                f"data.shape, "
                "e.g. [1, 8, 8] for digits"
            )
        in_channels, height, breadth = in_shape
        if min(height, breadth) >> depth < 1:
            raise ModelError(
                f"convnet halves {height} x {breadth} pixels {depth} times, which leaves none: "
                f"lower model.args.depth"
            )
        self.depth = depth
        for i in range(depth):
            self.add_module(
                f"conv{i + 1}", ConvBlock(in_channels, channels << i, kernel, activation, norm)
            )
            in_channels = channels << i
        self.fc = nn.Linear(in_channels * (height >> depth) * (breadth >> depth), width)
        self.activation = _ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(0.0)  # the recipe's train.dropout sets the rate
        self.head = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(self.depth):
            x = self.get_submodule(f"conv{i + 1}")(x)
        return self.head(self.dropout(self.activation(self.fc(x.flatten(1)))))


READY: dict[str, Any] = {"mlp": MLP, "convnet": ConvNet}
