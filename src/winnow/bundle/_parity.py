"""How far a model in ONNX Runtime is from its module in eager PyTorch.

torch is imported where it is used: reading a bundle must not need it.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from winnow.bundle._session import open_session, run_onnx
from winnow.errors import ModelError, first_line
from winnow.trees import Input, Tree, as_inputs, call, described, leaves, main, map_tree

if TYPE_CHECKING:
    import onnxruntime
    import torch

__all__ = [
    "BATCH_SIZES",
    "TOLERANCE",
    "Parity",
    "eager_output",
    "has_rows",
    "inference_copy",
    "measure_parity",
    "random_rows",
    "real_rows",
]

BATCH_SIZES = (1, 2, 7, 64)
# Absolute, plus as much relative to PyTorch's output; float32 sums in another order differ by about
# 1e-6
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime's outputs are from eager PyTorch's.

    Attributes:
        worst: largest absolute difference.
        worst_at: where it was found.
        excess: largest ``|difference| / (tolerance + tolerance * |PyTorch's output|)``; above 1 the
            models disagree.
        batch_sizes: batch sizes compared.
        rows: kinds of rows compared: ``random`` (standard normal, seeded), ``real``.
        tolerance: absolute and relative.
    """

    worst: float
    worst_at: str
    excess: float
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    rows: tuple[str, ...] = ("random",)
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Whether the two models agree."""
        return self.excess <= 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)


class _Difference(NamedTuple):
    """The largest difference in one batch: relative to what is allowed, absolute, and where."""

    excess: float
    absolute: float
    at: str


def inference_copy(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a module as it is deployed: float32, on the CPU, in evaluation mode.

    The original stays as it is.

    Raises:
        ModelError: the module cannot be copied.
    """
    try:
        return copy.deepcopy(module).float().cpu().eval()
    except Exception as error:  # a user's module may hold anything
        raise ModelError(
            f"cannot copy {type(module).__name__} for export: {first_line(error)}"
        ) from error


def measure_parity(
    module: torch.nn.Module, onnx: bytes, inputs: Tree, *, example: Tree | None = None
) -> Parity:
    """Compare a model in ONNX Runtime with its module in eager PyTorch.

    Random rows have random floats; whole numbers and booleans are those of the real rows, or zeros.
    They are left out when there are real ones and no floats, or the module itself refuses random
    ones.

    Args:
        module: any module of tensors.
        onnx: the model that was made of it.
        inputs: a tree of ``trees.Input``, or the shape of one row of floats.
        example: real rows in the structure of ``inputs``, each (n, ...).

    Returns:
        The largest difference at the batch sizes ``BATCH_SIZES``.

    Raises:
        ModelError: the module or the ONNX model fails on a batch, or gives an output of another
            shape than (batch, ...).
    """
    model, session = inference_copy(module), open_session(onnx, threads=1)
    kinds = _rows_to_compare(as_inputs(inputs), example)
    differences: list[_Difference] = []
    compared: list[str] = []
    for kind, rows in kinds.items():
        try:
            expected = {size: eager_output(model, _first(rows, size)) for size in BATCH_SIZES}
        except ModelError:
            if kind == "random" and "real" in kinds:
                continue
            raise
        compared.append(kind)
        for size in BATCH_SIZES:
            at = f"batch size {size}, {kind} rows"
            differences.append(_difference(expected[size], session, _first(rows, size), at))
    excess = max(one.excess for one in differences)
    # Where the models disagree, what is shown is where they disagree most by what is allowed.
    worst = max(differences, key=lambda one: (one.excess if excess > 1 else 0.0, one.absolute))
    return Parity(worst=worst.absolute, worst_at=worst.at, excess=excess, rows=tuple(compared))


def eager_output(model: torch.nn.Module, rows: Tree) -> np.ndarray:
    """Return eager PyTorch's main output, (batch, ...).

    Raises:
        ModelError: the model fails, or gives something else.
    """
    import torch

    count = len(leaves(rows)[0])
    try:
        with torch.inference_mode():
            output = main(call(model, map_tree(torch.from_numpy, rows)))
    except Exception as error:  # a user's forward may raise anything
        raise ModelError(
            f"the model fails on {count} rows {described(rows)}: {first_line(error)}"
        ) from error
    if not isinstance(output, torch.Tensor):
        found: object = type(output).__name__
    elif output.ndim == 0 or len(output) != count:
        found = tuple(output.shape)
    else:
        return output.numpy()
    raise ModelError(f"expected an output (batch, ...) = ({count}, ...), the model gave {found}")


# -- rows ------------------------------------------------------------------------------------------


def _rows_to_compare(inputs: Tree, example: Tree | None) -> dict[str, Tree]:
    """Return rows by their kind, as many as the largest batch has."""
    most = max(BATCH_SIZES)
    kinds: dict[str, Tree] = {}
    if example is None or any(one.is_float for one in leaves(inputs)):
        kinds["random"] = random_rows(inputs, most, example)
    if has_rows(example):
        kinds["real"] = real_rows(inputs, most, example)
    return kinds


def has_rows(example: Tree | None) -> bool:
    """Tell whether there is any row in an example."""
    return example is not None and len(leaves(example)[0]) > 0


def random_rows(inputs: Tree, number: int, example: Tree | None) -> Tree:
    """Return standard normal floats, the same each time.

    Args:
        inputs: a tree of ``trees.Input``.
        number: of rows.
        example: real rows, whose whole numbers and booleans stand beside them; without any, these
            are zeros.
    """
    rng = np.random.default_rng(0)
    if has_rows(example):
        others = real_rows(inputs, number, example)
    else:
        others = map_tree(lambda _: None, inputs)

    def drawn(one: Input, real: np.ndarray | None) -> np.ndarray:
        if one.is_float:
            return rng.standard_normal((number, *one.shape)).astype(np.float32)
        if real is None:
            return np.zeros((number, *one.shape), dtype=one.dtype)
        return real

    return map_tree(drawn, inputs, others)


def real_rows(inputs: Tree, number: int, example: Tree) -> Tree:
    """Return so many rows of an example, which begins again where it ends."""

    def some(one: Input, real: np.ndarray) -> np.ndarray:
        return np.resize(np.asarray(real, dtype=one.dtype), (number, *one.shape))

    return map_tree(some, inputs, example)


def _first(rows: Tree, size: int) -> Tree:
    return map_tree(lambda array: array[:size], rows)


# -- differences -----------------------------------------------------------------------------------


def _difference(
    expected: np.ndarray, session: onnxruntime.InferenceSession, rows: Tree, at: str
) -> _Difference:
    """Return the largest difference in a batch; NaN equals NaN."""
    try:
        output = run_onnx(session, rows)
    except Exception as error:  # ONNX Runtime's own exception types are many
        raise ModelError(
            f"the exported model fails on {len(expected)} rows: {first_line(error)}"
        ) from error
    if output.shape != expected.shape:
        raise ModelError(
            f"the exported model is wrong at batch size {len(expected)}: expected outputs "
            f"{expected.shape}, got {output.shape}; "
            "the model's code may depend on the batch size (`squeeze()`, `view` with a fixed "
            "number of rows)"
        )
    equal = (output == expected) | (np.isnan(output) & np.isnan(expected))
    allowed = TOLERANCE + TOLERANCE * np.abs(expected)
    with np.errstate(invalid="ignore"):  # inf - inf
        absolute = np.where(equal, 0.0, np.abs(output.astype(np.float64) - expected))
        excess = np.where(equal, 0.0, absolute / allowed)
    return _Difference(_largest(excess), _largest(absolute), at)


def _largest(differences: np.ndarray) -> float:
    """Return the largest of some differences; NaN is infinitely far from a number."""
    finite = np.nan_to_num(differences, nan=np.inf, posinf=np.inf)
    return float(finite.max(initial=0.0))
