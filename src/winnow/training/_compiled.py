"""The stacked step as one compiled program: captured as a graph of tensor operations, made machine
code by Inductor.

``torch.compile`` would look at the Python code; here the step is run once under ``make_fx``, which
writes down what it does to tensors, backward pass and update included. That takes a fraction of a
second, and what is left for the compiler is a flat list of operations. With Inductor's C++ wrapper
the whole step is then one call that holds no interpreter lock, so fleets in several threads run
truly side by side.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from winnow.errors import first_line
from winnow.training._cache import set_up_compiler
from winnow.training._signature import signature

__all__ = ["CompiledProgram", "WrongInputs", "compiled", "compiling"]

_AT_WORK = threading.Event()


def compiling() -> bool:
    """Return whether a program is being compiled at this moment, in any thread: it takes seconds in
    which no epoch ends.
    """
    return _AT_WORK.is_set()


# Bytes of everything that one call touches: about a core's second-level cache and its share of the
# third. Larger blocks are slower per member because their tensors go out to memory between
# operations, smaller ones because of the call itself.
_BLOCK_BYTES = 8 * 2**20
_SMALLEST_BLOCK, _LARGEST_BLOCK = 8, 64  # members, in fleets that have so many
_TRIED_ON = 2  # members of the capture that tells how much memory a member touches

Function = Callable[..., Tensor]


class WrongInputs(ValueError):
    """A compiled program was called with other tensors than it was made for. Nothing has run."""


@dataclass(frozen=True)
class _Input:
    """What a compiled program takes for granted of one of its inputs, which is contiguous."""

    name: str
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def __str__(self) -> str:
        return f"{self.dtype} {tuple(self.shape)} on {self.device}"


@dataclass(frozen=True)
class CompiledProgram:
    """A function of a block of members. Threads may share it.

    Attributes:
        members: of a block.
    """

    members: int
    _inputs: tuple[_Input, ...]
    _run: Callable[..., Sequence[Tensor]]

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return what the function returns.

        Raises:
            WrongInputs: the tensors are not as many, or not of the shapes, types and devices, as
                those that it was made for, or are not contiguous. The machine code reads memory by
                these, so it must never see others.
        """
        if len(tensors) != len(self._inputs):
            raise WrongInputs(f"expected {len(self._inputs)} tensors, got {len(tensors)}")
        # About half a microsecond each
        for tensor, known in zip(tensors, self._inputs, strict=True):
            if (
                tensor.shape != known.shape
                or tensor.dtype is not known.dtype
                or not tensor.is_contiguous()
                or tensor.device != known.device
            ):
                raise WrongInputs(
                    f"expected {known.name} as contiguous {known}, got {_described(tensor)}"
                )
        (result,) = self._run(*tensors)
        return result


def _described(tensor: Tensor) -> str:
    how = "" if tensor.is_contiguous() else f" with strides {tensor.stride()}"
    return f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}{how}"


_LOCK = threading.Lock()
_FITTING: dict[Hashable, int] = {}  # members of a block, by kind of function
_COMPILED: dict[Hashable, CompiledProgram | None] = {}


def compiled(
    structure: Hashable,
    function: Function,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    *,
    fleet: int,
    shared: int = 1,
    block: int | None = None,
    trial: Callable[..., object] | None = None,
) -> CompiledProgram | None:
    """Return a function of stacked tensors as a compiled program for blocks of members, made once a
    process; what the compiler did in an earlier process it finds on disk.

    A program is found again for the same structure and inputs of the same names, shapes (but for
    the leading V), types and devices. It takes its inputs contiguous.

    Args:
        structure: all that decides what the function does, but for its inputs.
        function: works on any number of members; its arguments are tensors with a leading V but for
            the last ones, and it may change them in place.
        module: whose forward pass the function runs; a skeleton that no other thread works on.
        inputs: the arguments of a whole fleet, in order.
        fleet: members that the fleet began with.
        shared: how many of the last arguments have no leading V.
        block: members of a block; None: as many as suit the processor's caches.
        trial: called with the same arguments before the capture; where it raises, the function is
            not compiled.

    Returns:
        None when the compiler fails on it, which a warning tells once.
    """
    num_stacked = len(inputs) - shared
    facts = [
        (name, tuple(t.shape[1:] if i < num_stacked else t.shape), t.dtype, t.device)
        for i, (name, t) in enumerate(inputs.items())
    ]
    kind = (structure, tuple(facts), shared, torch.get_default_dtype())
    tensors = list(inputs.values())
    with _LOCK:  # one thread compiles, the others wait for its program
        if _COMPILED.get(kind, ...) is None:
            return None  # failed before
        set_up_compiler()
        try:
            size = block or 1
            if block is None:
                if kind not in _FITTING:
                    on_cpu = tensors[0].device.type == "cpu"  # a GPU wants as many as there are
                    _FITTING[kind] = (
                        _fitting(_capture(function, module, _rows(tensors, shared, _TRIED_ON)))
                        if on_cpu
                        else fleet
                    )
                while size < min(_FITTING[kind], fleet):
                    size *= 2
            if (kind, size) not in _COMPILED:
                examples = _rows(tensors, shared, size)
                if trial is not None:
                    trial(*examples)
                _AT_WORK.set()
                run = _compile(_capture(function, module, examples), examples)
                known = [
                    _Input(n, t.shape, t.dtype, t.device)
                    for n, t in zip(inputs, examples, strict=True)
                ]
                _COMPILED[kind, size] = CompiledProgram(size, tuple(known), run)
            return _COMPILED[kind, size]
        except Exception as error:  # whatever the compiler may raise; it has only touched copies
            _COMPILED[kind] = None
            what = first_line(error)
            warnings.warn(
                f"a fleet runs uncompiled, because its step cannot be compiled: {what}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        finally:
            _AT_WORK.clear()


def _capture(function: Function, module: nn.Module, examples: Sequence[Tensor]) -> GraphModule:
    """Return what the function does to tensors of these shapes.

    Raises:
        RuntimeError: the forward pass changes the module's plain attributes, which a captured one
            would not.
    """
    # This and the compiler take a second each to import
    from torch.fx.experimental.proxy_tensor import make_fx

    before = signature(module)
    copies = [t.clone() for t in examples]
    graph = make_fx(lambda *tensors: (function(*tensors),), tracing_mode="real")(*copies)
    if signature(module) != before:
        raise RuntimeError("its forward pass changes attributes of the module that are not tensors")
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _compile(graph: GraphModule, examples: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    from torch import _inductor

    for node in graph.graph.nodes:
        # The capture's own stand-ins for tensors, which the compiler would mix with its
        node.meta.clear()
    on_cpu = examples[0].device.type == "cpu"
    try:
        program = _inductor_compile(graph, examples, on_cpu)
    except _inductor.exc.InductorError as error:
        if not (on_cpu and isinstance(error.inner_exception, KeyError)):
            raise
        with _without_outer_fusion():
            program = _inductor_compile(graph, examples, on_cpu)
    with torch.no_grad():
        program(*(t.clone() for t in examples))  # what is left to be made is made at the first call
    return program


def _inductor_compile(
    graph: GraphModule, examples: Sequence[Tensor], on_cpu: bool
) -> Callable[..., Sequence[Tensor]]:
    from torch import _inductor
    from torch._guards import TracingContext, tracing
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    # Without shapes of its own the compiler leaves its cache aside
    shapes = FakeTensorMode(shape_env=ShapeEnv())
    stand_ins: list[Any] = [shapes.from_tensor(t, static_shapes=True) for t in examples]
    options = {"cpp_wrapper": True, "cpp.threads": 1} if on_cpu else None
    with torch.no_grad(), tracing(TracingContext(shapes)):
        return _inductor.compile(copy.deepcopy(graph), stand_ins, options=options)


@contextmanager
def _without_outer_fusion() -> Iterator[None]:
    """Inductor's C++ backend in PyTorch 2.13 fails with a KeyError on some programs in which a
    tensor is read and later overwritten, where it tries to fuse two loops' outer levels
    (pytorch/pytorch#196570). Inside, it does not try.
    """
    from torch._inductor.codegen.cpp import CppScheduling

    own = CppScheduling._get_outer_loop_fusion_depth
    CppScheduling._get_outer_loop_fusion_depth = lambda *_: 0  # type: ignore[method-assign]
    try:
        yield
    finally:
        CppScheduling._get_outer_loop_fusion_depth = own  # type: ignore[method-assign]


def _rows(tensors: Sequence[Tensor], shared: int, members: int) -> list[Tensor]:
    """Return the tensors of a fleet of so many members, contiguous: the first rows, or all and then
    the first again. The last ``shared`` of them have no rows of members.
    """
    num_stacked = len(tensors) - shared
    index = torch.arange(members) % tensors[0].shape[0]
    stacked = [t.index_select(0, index.to(t.device)).contiguous() for t in tensors[:num_stacked]]
    return [*stacked, *(t.contiguous() for t in tensors[num_stacked:])]


def _fitting(graph: GraphModule) -> int:
    """Return how many members a block should hold, a power of two; the graph is of
    ``_TRIED_ON``.
    """
    touched = 0
    for node in graph.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and not getattr(node.target, "is_view", False):
            touched += value.numel() * value.element_size()
    size = _SMALLEST_BLOCK
    while size < _LARGEST_BLOCK and 2 * size * touched <= _BLOCK_BYTES * _TRIED_ON:
        size *= 2
    return size
