"""V members as one program: ``functional_call`` and ``vmap`` over their stacked tensors, compiled where that pays.

Axes: V members, B batch, N rows, F features (any number of axes), C outputs, P parameters of one tensor of a member.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from winnow.methods import OPTIMIZERS
from winnow.train._lanes import lane_dropouts
from winnow.train._layers import make_stackable
from winnow.train._program import BaseProgram, Lanes, Piece, as_outputs, penalised_names, training_loss, update_
from winnow.train._signature import signature

__all__ = ["BLOCK", "Stacked", "stacking"]


_SILENCED = (
    "There is a performance drop because we have not yet",
    r"torch.searchsorted\(\): input value tensor is non",
    "`torch.jit.script",  # PyTorch's compiler on itself
)
_LOCK = threading.Lock()
_INSIDE: list[ExitStack] = []  # one entry for each thread that is stacking; the first set the scene for all


@contextmanager
def stacking() -> Iterator[None]:
    """What must hold around a stacked program: attention in plain operations, for which ``vmap`` has rules, and silence about
    slow ones. Several threads may stack at once.

    Where ``vmap`` falls back to a loop the numbers are right and the time is measured before it counts (``measure``), so its
    warning tells nothing.
    """
    with _LOCK:
        _INSIDE.append(_INSIDE[0] if _INSIDE else _scene())
    try:
        yield
    finally:
        with _LOCK:
            scene = _INSIDE.pop()
            if not _INSIDE:
                scene.close()


def _scene() -> ExitStack:
    scene = ExitStack()
    scene.enter_context(warnings.catch_warnings())
    for message in _SILENCED:
        warnings.filterwarnings("ignore", message=message)
    scene.enter_context(sdpa_kernel(SDPBackend.MATH))
    return scene


# Members of a compiled program. The compiler makes a program for one number of members, and fleets shrink: whole blocks run
# compiled, what is left over runs as it is. Sixteen members of a small network also fit a core's cache.
BLOCK = 16


@dataclass(frozen=True)
class _Block:
    """Consecutive members of a stack: views of its tensors."""

    rows: slice
    pieces: list[Piece]
    buffers: dict[str, Tensor]
    lanes: Lanes


class Stacked(BaseProgram):
    """V members as one program. The first module is a skeleton that lends its ``forward``; the tensors come from the stack.

    Args:
        modules: one for each member, of equal ``signature``.
        lanes: their settings.
        compiled: run the step through ``torch.compile``.
    """

    def __init__(self, modules: Sequence[nn.Module], lanes: Lanes, *, compiled: bool = False) -> None:
        for same in zip(*(lane_dropouts(m).values() for m in modules), strict=True):
            same[0].active = any(layer.active for layer in same)  # the skeleton decides what the program holds
        super().__init__(make_stackable(modules[0]), lanes)
        parameters = [dict(m.named_parameters()) for m in modules]
        self._shapes = {n: p.shape for n, p in parameters[0].items() if p.requires_grad}
        penalised = penalised_names(modules[0])
        for name in self._shapes:
            params = torch.stack([p[name].detach().flatten() for p in parameters])
            self.pieces.append(Piece(params, OPTIMIZERS[lanes.optimizer].init(params), name in penalised))
        layers = lane_dropouts(self.module)
        keys = {f"{n}.key" for n in layers}  # come with every step
        idle = {f"{n}.{b}" for n, layer in layers.items() if not layer.active for b in ("threshold", "scale")}
        rest = [_rest(m) for m in modules]
        self._buffers = {n: torch.stack([r[n].detach() for r in rest]) for n in rest[0] if n not in keys | idle}
        self._kernel = _Kernel(self.module)
        self._wants_compiling = compiled
        self._compiled: _CompiledProgram | None = None
        self._batch = (
            0  # rows of a batch that the compiled program takes: those of the first; the last of an epoch may be smaller
        )
        self._blocks = self._cut()

    def step(self, x_VBF: Tensor, y_VB: Tensor, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        self.steps += 1
        number = torch.tensor(float(self.steps), dtype=lr_V.dtype)
        lr_V1 = lr_V.unsqueeze(1)
        if self._wants_compiling and self._compiled is None:
            self._batch = x_VBF.shape[1]
            self._compiled = _compiled_program(self.module, self.lanes, self._batch)
        losses = []
        for block in self._blocks:
            rows = block.rows
            keys = None if keys_VK2 is None else keys_VK2[rows]
            whole = rows.stop - rows.start == BLOCK and x_VBF.shape[1] == self._batch
            args = (block.pieces, block.buffers, block.lanes, x_VBF[rows], y_VB[rows], keys, lr_V1[rows], number)
            if whole and self._compiled is not None:
                losses.append(self._compiled(self._kernel.run, *args))
            else:
                losses.append(self._kernel.run(*args))
        return torch.cat(losses)

    def _cut(self) -> list[_Block]:
        """The stack as blocks of consecutive members; their tensors are views, so a step on a block changes the stack."""
        size = BLOCK if self._wants_compiling else self.num_members
        blocks = []
        for start in range(0, self.num_members, size):
            rows = slice(start, min(start + size, self.num_members))
            pieces = [Piece(p.params[rows], {n: t[rows] for n, t in p.state.items()}, p.penalised) for p in self.pieces]
            blocks.append(_Block(rows, pieces, {n: t[rows] for n, t in self._buffers.items()}, self.lanes.of(rows)))
        return blocks

    def predict(self, x_NF: Tensor) -> Tensor:
        self.module.eval()

        names = [*self._shapes, *self._buffers]

        def forward(x: Tensor, *tensors: Tensor) -> Tensor:
            return as_outputs(self._kernel.call(dict(zip(names, tensors, strict=True)), x))

        with torch.no_grad():
            return vmap(forward, in_dims=(None, *[0] * len(names)))(x_NF, *self.weights().values(), *self._buffers.values())

    def weights(self) -> dict[str, Tensor]:
        return {n: piece.params.view(-1, *shape) for (n, shape), piece in zip(self._shapes.items(), self.pieces, strict=True)}

    def buffers(self) -> dict[str, Tensor]:
        return self._buffers

    def keep(self, rows: Tensor) -> None:
        """Drop all members but ``rows`` (indices, in order): the stack shrinks, and so does the time of a step."""
        for piece in self.pieces:
            piece.params = piece.params[rows]
            piece.state = {n: t[rows] for n, t in piece.state.items()}
        self._buffers = {n: t[rows] for n, t in self._buffers.items()}
        self.lanes = self.lanes.of(rows)
        self._blocks = self._cut()


class _Kernel:
    """The stacked step as a function of tensors alone, so that one compiled program serves every fleet of its kind."""

    def __init__(self, module: nn.Module) -> None:
        layers = {n: layer for n, layer in lane_dropouts(module).items() if layer.active}
        self.module = module
        self.key_names = [f"{n}.key" for n in layers]
        self.num_keys = [layer.num_calls for layer in layers.values()]
        self.shapes = {n: p.shape for n, p in module.named_parameters() if p.requires_grad}
        self._homes = _homes(module)

    def run(
        self,
        pieces: Sequence[Piece],
        buffers: dict[str, Tensor],
        lanes: Lanes,
        x_VBF: Tensor,
        y_VB: Tensor,
        keys_VK2: Tensor | None,
        lr_V1: Tensor,
        number: Tensor,
    ) -> Tensor:
        """One step; pieces and buffers change in place. The losses before it, (variants,)."""
        if not self.module.training:
            self.module.train()
        leaves = {
            n: piece.params.detach().view(-1, *shape).requires_grad_()
            for (n, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }
        lent = dict(buffers)
        if keys_VK2 is not None:
            lent.update(zip(self.key_names, keys_VK2.split(self.num_keys, dim=1), strict=True))
        outputs_VBC, after = self._forward(leaves, lent, x_VBF)
        loss_V = training_loss(lanes, outputs_VBC, y_VB)
        grads = torch.autograd.grad(loss_V.sum(), list(leaves.values()), allow_unused=True)
        with torch.no_grad():
            for name, tensor in buffers.items():
                tensor.copy_(after[name])
            flat = [
                torch.zeros_like(piece.params) if g is None else g.reshape(piece.params.shape)
                for piece, g in zip(pieces, grads, strict=True)
            ]
            update_(lanes, pieces, flat, lr_V1, number)
        return loss_V.detach()

    def _forward(self, leaves: dict[str, Tensor], buffers: dict[str, Tensor], x_VBF: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Outputs of every member, and the buffers after the pass: a module may also have put a new tensor in one's place."""
        names = [*leaves, *buffers]

        def forward(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            lent = dict(zip(names, tensors, strict=True))
            outputs = as_outputs(self.call(lent, x))
            return (outputs, *(lent[n] for n in buffers))

        outputs_VBC, *after = vmap(forward)(x_VBF, *leaves.values(), *buffers.values())
        return outputs_VBC, dict(zip(buffers, after, strict=True))

    def call(self, lent: dict[str, Tensor], x: Tensor) -> Any:
        """The module's forward pass with other tensors in the place of its own; ``lent`` holds what they are after it.

        Does what ``functional_call`` does, which the compiler knows, with a fifth of its overhead for small networks.
        """
        if torch.compiler.is_compiling():
            return functional_call(self.module, lent, (x,))
        own = [(home, key, home[key]) for home, key, _ in self._homes]
        try:
            for home, key, name in self._homes:
                if name in lent:
                    home[key] = lent[name]
            return self.module(x)
        finally:
            for (home, key, tensor), (_, _, name) in zip(own, self._homes, strict=True):
                if name in lent:
                    lent[name] = home[key]
                home[key] = tensor


class _CompiledProgram:
    """A kernel run through ``torch.compile``, for blocks and batches of one size; threads may share it."""

    def __init__(self, kernel: _Kernel) -> None:
        self._kernel = kernel
        # The skeleton and the settings' structure are this kernel's own and do not change: only the tensors need looking at.
        self._run = torch.compile(kernel.run, fullgraph=True, dynamic=False, options={"guard_filter_fn": _tensor_guards})
        self._tried = False
        self._failed = False
        self._lock = threading.Lock()

    def __call__(self, own: Callable[..., Tensor], *args: Any) -> Tensor:
        """Run the step on ``args``; by ``own``, the caller's kernel, when the compiler has failed on this program."""
        with self._lock if not self._tried else nullcontext():  # one thread compiles, the others wait for its program
            if not self._tried:
                try:
                    return self._step(*args)
                except Exception as error:  # whatever the compiler may raise; it has not touched the tensors yet
                    self._failed = True
                    what = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                    warnings.warn(
                        f"a fleet runs uncompiled, because its step cannot be compiled: {what}", RuntimeWarning, stacklevel=2
                    )
                finally:
                    self._tried = True
        return own(*args) if self._failed else self._step(*args)

    def _step(self, *args: Any) -> Tensor:
        # The step holds its own call of autograd.grad. The setting is of this thread, so it is made at every call.
        with torch._dynamo.config.patch(trace_autograd_ops=True):
            return self._run(*args)


_PROGRAMS: dict[Hashable, _CompiledProgram] = {}


def _compiled_program(module: nn.Module, lanes: Lanes, batch: int) -> _CompiledProgram:
    """The compiled step for modules of this kind; made once a process, taken from the compiler's cache on disk by the next."""
    active = tuple(n for n, layer in lane_dropouts(module).items() if layer.active)
    off = (*(value is None for value in (lanes.smoothing, lanes.l1, lanes.l2, lanes.clip_norm)), *lanes.settings)
    kind = (signature(module), active, lanes.optimizer, lanes.loss, off, batch)
    if kind not in _PROGRAMS:
        _PROGRAMS[kind] = _CompiledProgram(_Kernel(copy.deepcopy(module)))  # a skeleton that no other thread works on
    return _PROGRAMS[kind]


def _homes(module: nn.Module) -> list[tuple[dict[str, Any], str, str]]:
    """Where each tensor of a module lives: the dict, the key, and its name; a tied tensor has several homes and one name."""
    names: dict[int, str] = {}
    homes: list[tuple[dict[str, Any], str, str]] = []
    for prefix, part in module.named_modules():
        for home in (part._parameters, part._buffers):
            for key, tensor in home.items():
                if tensor is not None:
                    name = names.setdefault(id(tensor), f"{prefix}.{key}" if prefix else key)
                    homes.append((home, key, name))
    return homes


def _tensor_guards(guards: Sequence[Any]) -> list[bool]:
    return torch.compiler.keep_tensor_guards_unsafe(guards)


def _rest(module: nn.Module) -> dict[str, Tensor]:
    return {**{n: p for n, p in module.named_parameters() if not p.requires_grad}, **dict(module.named_buffers())}
