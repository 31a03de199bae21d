"""From a PyTorch module to ONNX bytes, and the proof that both compute the same.

torch is imported where it is used: reading a bundle must not need it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from winnow.bundle._ready_onnx import convert_ready
from winnow.bundle._session import open_session
from winnow.bundle._silence import quiet
from winnow.errors import ModelError, first_line

if TYPE_CHECKING:
    import torch

__all__ = ["BATCH_SIZES", "TOLERANCE", "Parity", "export_onnx", "inference_copy", "measure_parity"]

BATCH_SIZES = (1, 2, 7, 64)
# Absolute, plus as much relative to PyTorch's output; float32 sums in another order differ by about
# 1e-6
TOLERANCE = 1e-4
_LARGEST_BYTES = 2**31 - 1  # what one protobuf message may hold


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
        return self.excess <= 1.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def inference_copy(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of ``module`` as it is deployed: float32, on the CPU, in evaluation mode. The original
    stays as it is.

    Raises:
        ModelError: the module cannot be copied.
    """
    try:
        return copy.deepcopy(module).float().cpu().eval()
    except Exception as error:  # a user's module may hold anything
        raise ModelError(
            f"cannot copy {type(module).__name__} for export: {first_line(error)}"
        ) from error


def export_onnx(
    module: torch.nn.Module, in_shape: Sequence[int], *, example: np.ndarray | None = None
) -> bytes:
    """``module`` as one ONNX model: input ``x`` (batch, *in_shape) float32, output ``y``, batch
    size free.

    The result was compared with eager PyTorch (``measure_parity``). Weights are inside, traces of
    the source code are not.

    Args:
        module: any module with one tensor in and one out; it is left unchanged, training mode
            included.
        in_shape: shape of one row.
        example: real rows (n, *in_shape), already prepared; compared besides random ones.

    Raises:
        ModelError: the exporter cannot express the model (names the module and the operator), or
            ONNX Runtime's outputs differ from PyTorch's (names the worst difference).
    """
    model = inference_copy(module)
    ready = convert_ready(model, in_shape)
    onnx = _convert(model, tuple(in_shape), example) if ready is None else _serialize(ready)
    parity = measure_parity(model, onnx, in_shape, example=example)
    if not parity.holds:
        raise ModelError(
            f"the exported model does not compute what PyTorch computes: outputs differ by up to "
            f"{parity.worst:.3g} "
            f"({parity.worst_at}), allowed are {TOLERANCE:g} + {TOLERANCE:g} * |output|"
        )
    return onnx


def measure_parity(
    module: torch.nn.Module,
    onnx: bytes,
    in_shape: Sequence[int],
    *,
    example: np.ndarray | None = None,
) -> Parity:
    """Compare ``onnx`` in ONNX Runtime with ``module`` in eager PyTorch, at batch sizes 1, 2, 7 and
    64.

    Random rows are left out when there are real ones and the module itself refuses random ones (an
    embedding, for example).

    Raises:
        ModelError: the module or the ONNX model fails on a batch, or gives an output of another
            shape than (batch, ...).
    """
    model, session = inference_copy(module), open_session(onnx, threads=1)
    most = max(BATCH_SIZES)
    kinds = {
        "random": np.random.default_rng(0).standard_normal((most, *in_shape)).astype(np.float32)
    }
    if example is not None and len(example):
        kinds["real"] = np.resize(np.asarray(example, dtype=np.float32), (most, *in_shape))
    found: list[tuple[float, float, str]] = []
    compared = []
    for kind, rows in kinds.items():
        try:
            expected = {size: _eager(model, rows[:size]) for size in BATCH_SIZES}
        except ModelError:
            if kind == "random" and "real" in kinds:
                continue
            raise
        compared.append(kind)
        for size in BATCH_SIZES:
            found.append(
                (
                    *_difference(expected[size], session, rows[:size]),
                    f"batch size {size}, {kind} rows",
                )
            )
    excess = max(f[0] for f in found)
    _, worst, at = max(found, key=lambda f: (f[0] if excess > 1 else 0.0, f[1]))
    return Parity(worst=worst, worst_at=at, excess=excess, rows=tuple(compared))


def _eager(model: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
    """Eager PyTorch's output (batch, ...)."""
    import torch

    try:
        with torch.inference_mode():
            output = model(torch.from_numpy(rows))
    except Exception as error:  # a user's forward may raise anything
        raise ModelError(
            f"the model fails on {len(rows)} rows {rows.shape}: {first_line(error)}"
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim == 0 or len(output) != len(rows):
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"expected an output (batch, ...) = ({len(rows)}, ...), the model gave {shape}"
        )
    return output.numpy()


def _difference(expected: np.ndarray, session: Any, rows: np.ndarray) -> tuple[float, float]:
    """Largest (relative to what is allowed, absolute) difference; NaN equals NaN."""
    try:
        output = session.run(None, {"x": rows})[0]
    except Exception as error:  # ONNX Runtime's own exception types are many
        raise ModelError(
            f"the exported model fails on {len(rows)} rows: {first_line(error)}"
        ) from error
    if output.shape != expected.shape:
        raise ModelError(
            f"the exported model is wrong at batch size {len(rows)}: expected outputs "
            f"{expected.shape}, got {output.shape}; "
            "the model's code may depend on the batch size (`squeeze()`, `view` with a fixed "
            "number of rows)"
        )
    equal = (output == expected) | (np.isnan(output) & np.isnan(expected))
    with np.errstate(invalid="ignore"):  # inf - inf
        difference = np.where(equal, 0.0, np.abs(output.astype(np.float64) - expected))
        excess = np.where(equal, 0.0, difference / (TOLERANCE + TOLERANCE * np.abs(expected)))
    # one NaN or infinity where the other has a number
    difference, excess = (np.nan_to_num(a, nan=np.inf, posinf=np.inf) for a in (difference, excess))
    return float(excess.max(initial=0.0)), float(difference.max(initial=0.0))


# -- conversion ------------------------------------------------------------------------------------


def _convert(
    model: torch.nn.Module, in_shape: tuple[int, ...], example: np.ndarray | None
) -> bytes:
    import torch

    if example is not None and len(example):
        rows = np.resize(np.asarray(example, dtype=np.float32), (2, *in_shape))
    else:
        rows = np.random.default_rng(0).standard_normal((2, *in_shape)).astype(np.float32)
    _eager(model, rows)  # a model that does not run at all is told so in its own words
    arguments: dict[str, Any] = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    x = torch.from_numpy(rows.copy())
    try:
        with quiet():
            program = torch.onnx.export(
                model,
                (x,),
                dynamo=True,
                input_names=["x"],
                output_names=["y"],
                verbose=False,
                **arguments,
            )
    # The exporter's errors share no base, and a user's forward may raise anything
    except Exception as error:
        raise ModelError(
            f"cannot export the model to ONNX: {_blame(error, model, x, arguments)}"
        ) from error
    assert program is not None
    return _serialize(program.model_proto)


def _serialize(model: Any) -> bytes:
    """One file: weights inside; the exporter's notes, which hold paths and source lines of this
    machine, left out.
    """
    graph = model.graph
    for item in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.initializer,
        *model.functions,
    ):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    graph.ClearField("value_info")
    if model.ByteSize() > _LARGEST_BYTES:
        raise ModelError(
            f"the model has {model.ByteSize():,} bytes; one ONNX file holds at most "
            f"{_LARGEST_BYTES:,}"
        )
    return bytes(model.SerializeToString())


def _blame(
    error: BaseException, model: torch.nn.Module, x: torch.Tensor, arguments: dict[str, Any]
) -> str:
    """Which module and operator, which line, why: in one message."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    text = "\n".join(map(str, causes))
    operator = re.search(r"OpOverload\(op='([^']+)'", text) or re.search(
        r"call_function\[target=torch\.ops\.([\w.]+)\]", text
    )
    where = _find_module(model, x, arguments, operator.group(1) if operator else None)
    parts = [where] if where else []
    if operator:
        parts.append(f"operator `{operator.group(1)}`")
    parts.append(first_line(causes[-1]))
    line = re.findall(r'File "([^"]+)", line (\d+), in \w+\n[ \t]+(\S.*)', text)
    if line:
        file, number, code = line[-1]
        parts.append(f"at {Path(file).name}:{number}: `{code.strip()}`")
    if "data-dependent" in text:
        parts.append("a branch on values cannot be exported; `torch.where` computes both sides")
    return ", ".join(parts)


def _find_module(
    model: torch.nn.Module, x: torch.Tensor, arguments: dict[str, Any], operator: str | None
) -> str | None:
    """The innermost module that was running when the export stopped, or the one that uses
    ``operator``.
    """
    import torch

    running: list[str] = []
    names = {
        id(m): f"module `{name}` ({type(m).__name__})" for name, m in model.named_modules() if name
    }
    probe = copy.deepcopy(model)
    for (_, original), (_, module) in zip(
        model.named_modules(), probe.named_modules(), strict=True
    ):
        name = names.get(id(original), f"{type(original).__name__}.forward")
        module.register_forward_pre_hook(lambda _m, _a, name=name: running.append(name))
        module.register_forward_hook(lambda _m, _a, _o: (running.pop(), None)[1])
    try:
        with quiet():
            graph = torch.export.export(probe, (x,), strict=False, **arguments).graph
    except Exception:  # the same failure again, this time with the stack of modules
        return running[-1] if running else None
    short = (operator or "").split(".")[1:2]
    for node in graph.nodes:
        if short and short[0] in str(node.target):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            if stack and stack[-1][0]:
                return f"module `{stack[-1][0]}`"
    return None
