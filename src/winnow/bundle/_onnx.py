"""From a PyTorch module to ONNX bytes, and the proof that both compute the same.

torch is imported where it is used: reading a bundle must not need it.
"""

from __future__ import annotations

import copy
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from winnow.bundle._ready_onnx import convert_ready
from winnow.bundle._session import open_session, run_onnx
from winnow.bundle._silence import quiet
from winnow.errors import ModelError, first_line
from winnow.trees import (
    Input,
    Tree,
    as_inputs,
    by_name,
    call,
    described,
    leaves,
    like,
    main,
    map_tree,
)

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


def export_onnx(module: torch.nn.Module, inputs: Tree, *, example: Tree | None = None) -> bytes:
    """``module`` as one ONNX model: input ``x`` (batch, ...), or several by their names
    (``trees.by_name``), the main output ``y``, batch size free.

    The result was compared with eager PyTorch (``measure_parity``). Weights are inside, traces of
    the source code are not.

    Args:
        module: any module of tensors; it is left unchanged, training mode included.
        inputs: a tree of ``trees.Input``, or the shape of one row of floats.
        example: real rows in the structure of ``inputs``, each (n, ...), already prepared; compared
            besides random ones.

    Raises:
        ModelError: the exporter cannot express the model (names the module and the operator), or
            ONNX Runtime's outputs differ from PyTorch's (names the worst difference).
    """
    model, inputs = inference_copy(module), as_inputs(inputs)
    ready = convert_ready(model, inputs.shape) if isinstance(inputs, Input) else None
    onnx = _convert(model, inputs, example) if ready is None else _serialize(ready)
    parity = measure_parity(model, onnx, inputs, example=example)
    if not parity.holds:
        raise ModelError(
            f"the exported model does not compute what PyTorch computes: outputs differ by up to "
            f"{parity.worst:.3g} "
            f"({parity.worst_at}), allowed are {TOLERANCE:g} + {TOLERANCE:g} * |output|"
        )
    return onnx


def measure_parity(
    module: torch.nn.Module, onnx: bytes, inputs: Tree, *, example: Tree | None = None
) -> Parity:
    """Compare ``onnx`` in ONNX Runtime with ``module`` in eager PyTorch, at batch sizes 1, 2, 7 and
    64.

    Random rows have random floats; whole numbers and booleans are those of the real rows, or zeros.
    They are left out when there are real ones and no floats, or the module itself refuses random
    ones.

    Args:
        module: any module of tensors.
        onnx: made of it.
        inputs: a tree of ``trees.Input``, or the shape of one row of floats.
        example: real rows in the structure of ``inputs``, each (n, ...).

    Raises:
        ModelError: the module or the ONNX model fails on a batch, or gives an output of another
            shape than (batch, ...).
    """
    model, session = inference_copy(module), open_session(onnx, threads=1)
    inputs, most = as_inputs(inputs), max(BATCH_SIZES)
    kinds = {}
    if example is None or any(one.is_float for one in leaves(inputs)):
        kinds["random"] = _random_rows(inputs, most, example)
    if example is not None and len(leaves(example)[0]):
        kinds["real"] = _real_rows(inputs, most, example)
    found: list[tuple[float, float, str]] = []
    compared = []
    for kind, rows in kinds.items():
        try:
            expected = {size: _eager(model, _first(rows, size)) for size in BATCH_SIZES}
        except ModelError:
            if kind == "random" and "real" in kinds:
                continue
            raise
        compared.append(kind)
        for size in BATCH_SIZES:
            found.append(
                (
                    *_difference(expected[size], session, _first(rows, size)),
                    f"batch size {size}, {kind} rows",
                )
            )
    excess = max(f[0] for f in found)
    _, worst, at = max(found, key=lambda f: (f[0] if excess > 1 else 0.0, f[1]))
    return Parity(worst=worst, worst_at=at, excess=excess, rows=tuple(compared))


def _random_rows(inputs: Tree, rows: int, example: Tree | None) -> Tree:
    """Standard normal floats (seeded) beside the whole numbers and booleans of the real rows, or
    zeros.
    """
    rng = np.random.default_rng(0)
    has_real = example is not None and len(leaves(example)[0])
    others = _real_rows(inputs, rows, example) if has_real else map_tree(lambda _: None, inputs)

    def drawn(one: Input, real: np.ndarray | None) -> np.ndarray:
        if one.is_float:
            return rng.standard_normal((rows, *one.shape)).astype(np.float32)
        return np.zeros((rows, *one.shape), dtype=one.dtype) if real is None else real

    return map_tree(drawn, inputs, others)


def _real_rows(inputs: Tree, rows: int, example: Tree) -> Tree:
    """So many of the rows, again from the first where there are fewer."""

    def some(one: Input, real: np.ndarray) -> np.ndarray:
        return np.resize(np.asarray(real, dtype=one.dtype), (rows, *one.shape))

    return map_tree(some, inputs, example)


def _first(rows: Tree, size: int) -> Tree:
    return map_tree(lambda array: array[:size], rows)


def _eager(model: torch.nn.Module, rows: Tree) -> np.ndarray:
    """Eager PyTorch's main output (batch, ...)."""
    import torch

    count = len(leaves(rows)[0])
    try:
        with torch.inference_mode():
            output = main(call(model, map_tree(torch.from_numpy, rows)))
    except Exception as error:  # a user's forward may raise anything
        raise ModelError(
            f"the model fails on {count} rows {described(rows)}: {first_line(error)}"
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim == 0 or len(output) != count:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"expected an output (batch, ...) = ({count}, ...), the model gave {shape}"
        )
    return output.numpy()


def _difference(expected: np.ndarray, session: Any, rows: Tree) -> tuple[float, float]:
    """Largest (relative to what is allowed, absolute) difference; NaN equals NaN."""
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
    with np.errstate(invalid="ignore"):  # inf - inf
        difference = np.where(equal, 0.0, np.abs(output.astype(np.float64) - expected))
        excess = np.where(equal, 0.0, difference / (TOLERANCE + TOLERANCE * np.abs(expected)))
    # one NaN or infinity where the other has a number
    difference, excess = (np.nan_to_num(a, nan=np.inf, posinf=np.inf) for a in (difference, excess))
    return float(excess.max(initial=0.0)), float(difference.max(initial=0.0))


# -- conversion ------------------------------------------------------------------------------------


def _with_main_output(model: torch.nn.Module, inputs: Tree) -> torch.nn.Module:
    """A module around ``model`` that takes inputs in order and returns the main output alone."""
    import torch

    class MainOutput(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *parts: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = main(call(self.model, like(inputs, iter(parts))))
            return output

    return MainOutput().eval()


def _is_plain(model: torch.nn.Module, rows: Tree) -> bool:
    """Whether a model maps one tensor to one tensor."""
    import torch

    if not isinstance(rows, np.ndarray):
        return False
    with torch.inference_mode():
        return isinstance(model(torch.from_numpy(rows)), torch.Tensor)


def _convert(model: torch.nn.Module, inputs: Tree, example: Tree | None) -> bytes:
    import torch

    if example is not None and len(leaves(example)[0]):
        rows = _real_rows(inputs, 2, example)
    else:
        rows = _random_rows(inputs, 2, None)
    _eager(model, rows)  # a model that does not run at all is told so in its own words
    tensors = tuple(torch.from_numpy(array.copy()) for array in leaves(rows))
    names, batch = list(by_name(inputs)), {0: torch.export.Dim("batch")}
    whole: torch.nn.Module = model
    arguments: dict[str, Any] = {"dynamic_shapes": (batch,)}
    if not _is_plain(model, rows):
        whole = _with_main_output(model, inputs)
        arguments = {"dynamic_shapes": (tuple(batch for _ in tensors),)}
    try:
        with quiet():
            program = torch.onnx.export(
                whole,
                tensors,
                dynamo=True,
                input_names=names,
                output_names=["output" if "y" in names else "y"],
                verbose=False,
                **arguments,
            )
    # The exporter's errors share no base, and a user's forward may raise anything
    except Exception as error:
        raise ModelError(
            f"cannot export the model to ONNX: {_blame(error, model, whole, tensors, arguments)}"
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
    error: BaseException,
    model: torch.nn.Module,
    whole: torch.nn.Module,
    x: tuple[torch.Tensor, ...],
    arguments: dict[str, Any],
) -> str:
    """Which module and operator, which line, why: in one message."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    text = "\n".join(map(str, causes))
    operator = re.search(r"OpOverload\(op='([^']+)'", text) or re.search(
        r"call_function\[target=torch\.ops\.([\w.]+)\]", text
    )
    where = _find_module(model, whole, x, arguments, operator.group(1) if operator else None)
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
    model: torch.nn.Module,
    whole: torch.nn.Module,
    x: tuple[torch.Tensor, ...],
    arguments: dict[str, Any],
    operator: str | None,
) -> str | None:
    """The innermost module that was running when the export stopped, or the one that uses
    ``operator``.
    """
    import torch

    running: list[str] = []
    names = {
        id(m): f"module `{name}` ({type(m).__name__})" for name, m in model.named_modules() if name
    }
    probe = copy.deepcopy(whole)
    for (_, original), (_, module) in zip(
        whole.named_modules(), probe.named_modules(), strict=True
    ):
        name = names.get(id(original), f"{type(original).__name__}.forward")
        module.register_forward_pre_hook(lambda _m, _a, name=name: running.append(name))
        module.register_forward_hook(lambda _m, _a, _o: (running.pop(), None)[1])
    try:
        with quiet():
            graph = torch.export.export(probe, x, strict=False, **arguments).graph
    except Exception:  # the same failure again, this time with the stack of modules
        return running[-1] if running else None
    short = (operator or "").split(".")[1:2]
    for node in graph.nodes:
        if short and short[0] in str(node.target):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            place = stack[-1][0] if stack else ""
            if place and whole is not model:
                place = place.partition(".")[2]
            if place:
                return f"module `{place}`"
    return None
