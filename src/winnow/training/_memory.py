"""How much memory a fleet takes at its peak: measured on a small one at the real batch size, then
multiplied.

Everything that a fleet holds has a leading V, so its memory grows in proportion; what two members
touch in one step and in one validation tells it for any number. Bytes are those of tensors: Python,
PyTorch itself and the data come on top.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from winnow.data import PreparedData
from winnow.recipe import Variant, metric_of
from winnow.training._augment import Augmentation
from winnow.training._batches import head_batch, open_batches
from winnow.training._build import build_members, build_program
from winnow.training._device import training_device
from winnow.training._digest import OutputDigest
from winnow.training._dummy_step import dummy_step
from winnow.training._member import MemberResult
from winnow.training._metrics import kept_bytes, membership, open_metric_state
from winnow.training._program import BaseProgram
from winnow.training._settings import batch_size, dtype_of, num_steps
from winnow.trees import Tree, main, map_tree

__all__ = [
    "Footprint",
    "OutOfMemory",
    "evaluation_rows",
    "footprint",
    "is_out_of_memory",
    "row_bytes",
]

# Of what all members' forward passes hold at once while validating: bounds memory, not results
_EVALUATION_BYTES = 2**26
_FEW = 4  # rows


class OutOfMemory(Exception):
    """A fleet did not fit.

    Attributes:
        finished: members that had left the fleet before.
    """

    def __init__(self, reason: str, finished: Sequence[MemberResult]) -> None:
        super().__init__(reason)
        self.finished = list(finished)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an operation failed because it was not given memory, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(
        error
    )


@dataclass(frozen=True)
class Footprint:
    """What one member of a fleet takes, in bytes.

    Attributes:
        program_bytes: weights, buffers, optimizer state.
        module_bytes: weights and buffers; the driver keeps a copy of the best.
        step_bytes: what an epoch's first step takes on top of that: the order of the rows, a batch,
            activations, gradients, temporaries.
        keys_bytes: learning rates and noise keys of an epoch.
        forward_bytes, forward_row_bytes: a validating forward pass and its metrics: once, and for
            each row of a chunk.
        planned_row_bytes: ``row_bytes``, from which the driver makes the chunks.
        validation_rows: rows to validate on.
        ranks_bytes: what the metric keeps of all rows to validate on; 0 for most.
        skeleton_bytes: of the module that lends a stack its forward pass; once, not for each
            member.
    """

    program_bytes: int
    module_bytes: int
    step_bytes: int
    keys_bytes: int
    forward_bytes: int
    forward_row_bytes: int
    planned_row_bytes: int
    validation_rows: int
    skeleton_bytes: int
    ranks_bytes: int = 0

    def peak_bytes(self, members: int, *, leaving: bool = False, checkpoints: bool = False) -> int:
        """Return the most that a fleet of so many members holds at once.

        Args:
            members: variants in the fleet, >= 1.
            leaving: whether members may leave before the end: the stack is then copied to a smaller
                one.
            checkpoints: whether its state is written while it trains, which copies it.
        """
        held = self.program_bytes + self.module_bytes
        rows = min(evaluation_rows(members, self.planned_row_bytes), self.validation_rows)
        on_top = (
            self.module_bytes,  # while it is built, the modules are there beside the stack
            self.keys_bytes + self.step_bytes,
            self.forward_bytes + rows * self.forward_row_bytes + self.ranks_bytes,
            self.program_bytes if leaving else 0,
            held if checkpoints else 0,
        )
        return self.skeleton_bytes + members * (held + max(on_top))


def footprint(
    variant: Variant, prepared: PreparedData, *, stacked: bool = True, free_bytes: float = math.inf
) -> Footprint:
    """Return what a member like ``variant`` takes.

    It is found by one step and one forward pass at the real batch size, on the device that it would
    train on; for a stacked one by those of two members. Nothing is changed.

    Args:
        variant: with nothing open.
        prepared: its data.
        stacked: whether it trains in a stacked program; a caller of that is inside ``stacking``.
        free_bytes: what may be taken for it.

    Raises:
        ModelError: the model cannot be built.
        OutOfMemory: by the forward pass of a few rows, the step would take more than
            ``free_bytes``.
    """
    group = [
        variant.model_copy(update={"seed": variant.seed + i}) for i in range(2 if stacked else 1)
    ]
    seeds = [v.seed for v in group]
    dtype = dtype_of(variant)
    batch = batch_size(variant, len(prepared.train))
    steps = num_steps(variant, len(prepared.train))
    modules = build_members(group, prepared)
    device = training_device()

    def there(tree: Tree) -> Tree:
        return map_tree(lambda tensor: tensor.to(device), tree)

    few = there(prepared.head("train", _FEW, dtype)[0])
    members = len(group)
    # Rows in memory lie on the device once, however many members there are
    batches = None if prepared.is_streamed else open_batches(prepared, dtype, 0, device)
    with _HighWater() as held:
        program = build_program(modules, group, prepared, stacked=stacked, device=device)
        planned_row_bytes = row_bytes(program, few)
        if held.now + members * batch * planned_row_bytes > free_bytes:
            raise OutOfMemory(
                f"{members * batch} rows of {planned_row_bytes:,} bytes do not fit "
                f"{free_bytes:,.0f}",
                [],
            )
        resident = held.now
        held.peak = held.now
        if batches is None:  # one batch for all
            rows = head_batch(prepared, batch, dtype).map(lambda tensor: tensor.to(device))
            first = rows.map(lambda tensor: tensor.expand(members, *tensor.shape))
        else:
            first = next(iter(batches.epoch(0, seeds, size=batch, steps=steps)))
        augment = Augmentation.of(group, prepared, range(1), dtype, device)
        dummy_step(program, augment(first, 0), seeds)
    several = min(len(prepared.validation), 2 * batch)
    x, y = there(prepared.head("validation", several, dtype))
    metric = metric_of(variant.metric)

    def validate(rows: int) -> None:
        metric_state = open_metric_state(
            prepared.task, variant.metric if metric.added_up else "", parts=2
        )
        digest = OutputDigest(rows, main(y).device)
        outputs_VBC = program.predict(map_tree(lambda tensor: tensor[:rows], x))
        targets_N = main(y)[:rows]
        of_part_NH = membership(torch.arange(rows, device=targets_N.device) % 2, 2)
        metric_state.add(outputs_VBC, targets_N, of_part_NH)
        digest.add(outputs_VBC)

    half = -(-several // 2)
    whole_bytes, half_bytes = _peak(lambda: validate(several)), _peak(lambda: validate(half))
    a_row = (whole_bytes - half_bytes) / max(several - half, 1)
    module_bytes = (
        sum(t.numel() * t.element_size() for t in (program.weights() | program.buffers()).values())
        // members
    )
    return Footprint(
        program_bytes=resident // members,
        module_bytes=module_bytes,
        step_bytes=(held.peak - resident) // members,
        # Of the rates three kinds, of the keys four while they are hashed
        keys_bytes=steps * 8 * (3 + 4 * program.num_keys),
        forward_bytes=max(0, int(whole_bytes - several * a_row)) // members,
        forward_row_bytes=int(a_row) // members,
        planned_row_bytes=planned_row_bytes,
        validation_rows=len(prepared.validation),
        skeleton_bytes=module_bytes if stacked else 0,
        ranks_bytes=kept_bytes(metric, len(prepared.validation), prepared.out_features),
    )


def row_bytes(program: BaseProgram, x_NF: Tree) -> int:
    """Return what one row takes in a validating forward pass of one member at its peak, in bytes.

    Args:
        program: of all members.
        x_NF: a few rows of inputs, each (rows, ...).
    """

    def peak(num_rows: int) -> int:
        def some(tensor: Tensor) -> Tensor:
            return tensor[torch.arange(num_rows, device=tensor.device) % len(tensor)]

        rows = map_tree(some, x_NF)
        return _peak(lambda: program.predict(rows))

    many, few = peak(2 * _FEW), peak(_FEW)
    return max((many - few) // (_FEW * program.num_members), 1)


def evaluation_rows(members: int, a_row_bytes: int) -> int:
    """Return how many rows so many members validate on at once."""
    return max(1, _EVALUATION_BYTES // (members * a_row_bytes))


def _peak(work: Callable[[], Any]) -> int:
    with _HighWater() as held:
        work()
    return held.peak


class _HighWater(TorchDispatchMode):
    """Bytes of the tensors that come to life inside: those that live ``now``, and their ``peak``.

    Sees what operations return, not what they use inside; for PyTorch's own that is little. PyTorch
    keeps whether any mode is
    on in globals: threads may not enter it at the same time.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # The guard against the compiler would import the compiler, which takes two seconds
        return False

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {storage._cdata for storage in _storages((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for storage in _storages(out):
            self._see(storage, known)
        # going backward, autograd adds gradients up in place, but not while it is watched
        if func is not torch.ops.aten.add.Tensor or torch._C._current_graph_task_id() == -1:
            self.peak = max(self.peak, self.now)
        return out

    def _see(self, storage: torch.UntypedStorage, known: set[int]) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place in self._alive or place in known:
            return

        def gone(_: Any) -> None:
            self.now -= size
            del self._alive[place]

        self.now += size
        self._alive[place] = weakref.ref(storage, gone)


def _storages(values: Any) -> Iterator[torch.UntypedStorage]:
    """Yield the storages of the tensors among some values; sparse ones have none."""
    for value in tree_leaves(values):
        if isinstance(value, Tensor) and value.layout is torch.strided:
            yield value.untyped_storage()
