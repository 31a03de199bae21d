"""The contract of compressors. Axes: N rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from winnow.methods._method import BaseMethod
from winnow.trees import Tree, map_tree

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

__all__ = [
    "BaseCompressor",
    "Compressed",
    "ExportedModel",
    "Features",
    "NotCompressed",
    "in_order",
]

Why = Literal["unsupported", "nothing_to_change", "failed"]

# What compression calls the float32 model, in PyTorch and in ONNX Runtime.
_TAKEN = ("eager", "onnx")


class Features(Protocol):
    """Prepared rows (rows, *shape), or several inputs: an array, or something that reads what it
    is asked for. The ``shape`` of several inputs is (rows, values of all).
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, which: Any, /) -> Any:
        """Return the rows of a slice, or at positions (m,), as an array; of several inputs as a
        tuple or mapping of arrays.
        """


@dataclass(frozen=True)
class ExportedModel:
    """The trained model that is to become smaller or faster.

    Attributes:
        onnx: the float32 model; input ``x`` (batch, *shape), or several by their names, output
            ``y`` (batch, ...).
        rows: the training rows as the model sees them, (rows, *shape).
        original: the PyTorch module on the CPU, in evaluation mode; not to be changed.
    """

    onnx: bytes = field(repr=False)
    rows: Features = field(repr=False)
    original: nn.Module = field(repr=False)

    def module(self) -> nn.Module:
        """Return a copy of the PyTorch module, which may be changed."""
        return copy.deepcopy(self.original)

    def calibration(self, *, most: int = 1024, at_once: int = 64) -> Iterator[Tree]:
        """Yield training rows, evenly spaced and a few at a time: an array, or a tuple or mapping
        of arrays where the model has several inputs.

        Args:
            most: how many in all, where there are more.
            at_once: how many in one array, (at_once, *shape); the last one may hold fewer.
        """
        import numpy as np

        count = min(len(self.rows), most)
        chosen = np.linspace(0, len(self.rows) - 1, count).round().astype(int)
        for start in range(0, count, at_once):
            yield map_tree(_as_fed, self.rows[chosen[start : start + at_once]])


def _as_fed(array: NDArray[Any]) -> NDArray[Any]:
    """Return floats in single precision; whole numbers and booleans as they are."""
    import numpy as np

    dtype = np.float32 if array.dtype.kind == "f" else array.dtype
    return np.ascontiguousarray(array, dtype=dtype)


@dataclass(frozen=True)
class Compressed:
    """A candidate that a compressor made.

    Attributes:
        onnx: the model, with the input and the output of the float32 model.
        share: share of the weights that were changed, in (0, 1].
        notes: what one should know of it, each a clause without a full stop.
    """

    onnx: bytes = field(repr=False)
    share: float = 1.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotCompressed:
    """Why a compressor made no candidate.

    Attributes:
        code: ``unsupported``: the model holds what the method cannot express;
            ``nothing_to_change``: it holds nothing that the method is about; ``failed``: the
            method, or a library that it calls, broke off.
        text: the same for people, a clause without a full stop.
    """

    code: Why
    text: str


class BaseCompressor(BaseMethod):
    """A way to make a trained model smaller or faster.

    It makes one candidate. Whether the candidate keeps the budgets, how fast it is and whether it
    ships is found out by winnow, in the same way for all compressors; so ``compress`` sees training
    rows and never those that judge.

    Class attributes:
        phrase: what becomes of the model, for people: ``weights as 16-bit floats``; empty: made
            from the name of the class.

    Example:
        >>> class Exported(BaseCompressor):
        ...     def compress(self, model):
        ...         return NotCompressed("nothing_to_change", "this one changes no model")
    """

    phrase: ClassVar[str] = ""

    @property
    def label(self) -> str:
        """What its candidate is called: its kind or class, and the settings that are not usual."""
        name = self.kind or type(self).__name__
        usual = {key: one.get_default() for key, one in type(self).model_fields.items()}
        unusual = [f"{key}={value}" for key, value in self if value != usual[key]]
        return f"{name}({', '.join(unusual)})" if unusual else name

    @property
    def words(self) -> str:
        """What becomes of the model, for people."""
        return self.phrase or f"compressed by {type(self).__name__}"

    def in_turn(self) -> tuple[BaseCompressor, ...]:
        """Return the compressors that it stands for; by default itself.

        They are tried in this order, until one keeps the budgets, changes at least half of the
        weights and makes a smaller file.
        """
        return (self,)

    def compress(self, model: ExportedModel) -> Compressed | NotCompressed:
        """Return a smaller or faster model, or why there is none.

        What it raises is told as a reason, and the other candidates are still tried.

        Args:
            model: the float32 model, with rows to calibrate on.
        """
        raise NotImplementedError("a compressor defines compress")


def in_order(methods: Sequence[BaseCompressor]) -> list[tuple[BaseCompressor, ...]]:
    """Return what each compressor stands for.

    Raises:
        ValueError: two candidates would be called the same, or one as the float32 model is.
    """
    turns = [method.in_turn() for method in methods]
    seen: set[str] = set(_TAKEN)
    for one in (one for turn in turns for one in turn):
        if one.label in _TAKEN:
            raise ValueError(f"{one.label!r} is what the float32 model is called")
        if one.label in seen:
            raise ValueError(f"{one.label!r} is tried twice")
        seen.add(one.label)
    return turns
