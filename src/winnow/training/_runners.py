"""What runs the step of a stack: plainly as a whole, or as compiled blocks of members, each a CUDA
graph where there is a GPU.

Axes: V members, N rows, F features (any number of axes).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from winnow.training._compiled import CompiledProgram, WrongInputs, compiled
from winnow.training._device import CapturedGraph, can_capture
from winnow.training._signature import signature
from winnow.training._stack import Stack, StackedStep, StepInputs
from winnow.trees import Tree, leaves, like, map_tree, named_leaves

__all__ = ["BlockRunner", "PlainRunner"]

# Rows at most that a compiled program predicts at once, so that what lies between its layers stays
# in the caches
_CHUNK = 256


class PlainRunner:
    """Runs the stack as a whole, operation by operation.

    Args:
        kernel: the step.
        stack: of all members.

    Attributes:
        kernel: the step.
        stack: of all members; another one after ``keep``.
    """

    def __init__(self, kernel: StackedStep, stack: Stack) -> None:
        self.kernel = kernel
        self.stack = stack

    @property
    def is_compiled(self) -> bool:
        """Whether steps run as compiled programs."""
        return False

    def step(self, inputs: StepInputs) -> Tensor:
        """Take one step in place; return what adds up to the losses before it,
        (variants, losses).
        """
        return self.kernel.run(self.stack, inputs)

    def predict(self, x_NF: Tree) -> Tensor:
        """Return the main outputs for the same rows, (variants, rows, outputs)."""
        return self.kernel.predict(self.stack.module_tensors(), x_NF)

    def keep(self, rows: Tensor) -> None:
        """Drop all members but ``rows`` (indices, in order): the stack shrinks, and so does the
        time of a step.
        """
        self.stack = _of(self.stack, len(rows), lambda tensor: tensor[rows])


class BlockRunner(PlainRunner):
    """Runs compiled programs on blocks of members that fit into the processor's caches.

    The programs are made at the first step, for batches of its shape. A batch of another shape, as
    the last of an epoch may be, and a last block of few members run uncompiled; so does everything
    where the compiler fails.
    """

    def __init__(self, kernel: StackedStep, stack: Stack) -> None:
        super().__init__(kernel, stack)
        # A fleet that goes on with fewer cuts the same blocks, for the same bits
        self._begun_with = stack.num_members
        self._steps: CompiledProgram | None = None
        self._predicts: CompiledProgram | None = None
        self._is_made = self._predicts_made = False
        self._refused = False  # the compiled programs did not take what they were given
        self._batch: list[torch.Size] = []  # shapes that the compiled step takes, of one member
        self._chunk = 0  # rows that the compiled prediction takes
        self._captured: dict[int, CapturedGraph] = {}  # on a GPU, by the first row of the block
        self._blocks = [stack]

    @property
    def is_compiled(self) -> bool:
        """Whether steps run as compiled programs: from the first on, if the compiler can."""
        return self._steps is not None

    def step(self, inputs: StepInputs) -> Tensor:
        """Take one step in place; return what adds up to the losses before it,
        (variants, losses).
        """
        if not self._is_made:
            self._make_steps(inputs)
        losses = []
        for block in self._blocks:
            rows = block.rows
            losses.append(self._step_of(block, inputs.map(lambda t, rows=rows: t[rows])))  # type: ignore[misc]
        return torch.cat(losses)

    def predict(self, x_NF: Tree) -> Tensor:
        """Return the main outputs for the same rows, (variants, rows, outputs)."""
        if self._steps is not None and not self._predicts_made:
            self._make_predicts(x_NF)
        return torch.cat([self._predict_of(block, x_NF) for block in self._blocks])

    def keep(self, rows: Tensor) -> None:
        """Drop all members but ``rows`` (indices, in order)."""
        self._reseat(len(rows), lambda tensor: tensor[rows])

    # -- one block ---------------------------------------------------------------------------------

    def _step_of(self, block: Stack, inputs: StepInputs) -> Tensor:
        """Take the step of one block on its part of the batch."""
        if self._runs_compiled(block) and _shapes(inputs) == self._batch:
            assert self._steps is not None
            size = self._steps.members
            # Idle rows do as the last member
            filled = inputs.map(lambda tensor: _filled(tensor, size).contiguous())
            try:
                return self._run_compiled(block, list(filled.named().values()))[: block.num_members]
            except WrongInputs as error:
                self._refuse(error)
        return self.kernel.run(block.members_only(), inputs)

    def _run_compiled(self, block: Stack, batch: Sequence[Tensor]) -> Tensor:
        assert self._steps is not None
        if not can_capture(batch[0].device):
            return self._steps([*block.tensors(), *batch])
        start = block.rows.start
        if start not in self._captured:
            self._captured[start] = CapturedGraph(self._steps, block.tensors(), batch)
        return self._captured[start](batch)

    def _predict_of(self, block: Stack, x_NF: Tree) -> Tensor:
        """Return the outputs of the members of one block."""
        members = block.num_members
        if self._predicts is not None and self._runs_compiled(block):
            own = block.module_tensors().values()
            num_rows = len(leaves(x_NF)[0])
            parts = []
            try:
                for start in range(0, num_rows, self._chunk):
                    chunk = _rows_from(x_NF, start, self._chunk)
                    parts.append(self._predicts([*own, *leaves(chunk)])[:members])
                return torch.cat(parts, dim=1)[:, :num_rows]
            except WrongInputs as error:
                self._refuse(error)
        return self.kernel.predict(block.members_only().module_tensors(), x_NF)

    def _runs_compiled(self, block: Stack) -> bool:
        """Return whether there are compiled programs, and the block has as many rows as they
        take.
        """
        if self._steps is None or self._refused:
            return False
        return block.num_rows == self._steps.members

    def _refuse(self, error: WrongInputs) -> None:
        """Run uncompiled from now on; nothing has run of what the program refused."""
        self._refused = True
        warnings.warn(
            f"a fleet goes on uncompiled, because its compiled program refuses: {error}",
            RuntimeWarning,
            stacklevel=5,
        )

    # -- making the programs -----------------------------------------------------------------------

    def _make_steps(self, inputs: StepInputs) -> None:
        """Make the compiled step for batches like this one, or find it, and cut the stack into its
        blocks.
        """
        self._is_made = True
        whole = self.stack
        skeleton = copy.deepcopy(self.kernel.module)  # one that no other thread works on
        kernel = StackedStep(skeleton, mixed=self.kernel.mixed)
        own = dict(zip(whole.names(), whole.tensors(), strict=True))

        def step(*tensors: Tensor) -> Tensor:
            stack, rest = whole.like(tensors[: len(own)]), tensors[len(own) :]
            return kernel.run(stack, inputs.like(rest))

        places = tuple((n, place.start, place.stop) for n, place in self.kernel.key_places.items())
        penalized = tuple(bool(group.penalized) for group in whole.groups)
        forward = signature(self.kernel.module)
        structure = ("step", forward, places, penalized, whole.methods.structure())
        named = {**own, **inputs.named()}
        self._steps = compiled(structure, step, skeleton, named, fleet=self._begun_with)
        if self._steps is not None:
            self._batch = _shapes(inputs)
            self._reseat(whole.num_members, lambda tensor: tensor)

    def _make_predicts(self, x_NF: Tree) -> None:
        """Make the compiled prediction, for equal chunks of rows."""
        assert self._steps is not None
        self._predicts_made = True
        num_rows = len(leaves(x_NF)[0])
        num_chunks = -(-num_rows // _CHUNK)
        self._chunk = -(-num_rows // num_chunks)
        skeleton = copy.deepcopy(self.kernel.module)
        kernel = StackedStep(skeleton, mixed=self.kernel.mixed)
        own = self._blocks[0].module_tensors()
        chunk = map_tree(lambda tensor: tensor[: self._chunk].clone(), x_NF)

        def unpacked(tensors: Sequence[Tensor]) -> tuple[dict[str, Tensor], Tree]:
            values = iter(tensors)
            return {name: next(values) for name in own}, like(chunk, values)

        def predict(*tensors: Tensor) -> Tensor:
            return kernel.predict(*unpacked(tensors))

        def trial(*tensors: Tensor) -> None:
            # The rows are the same for all members, so vmap lets a pass look at their values, which
            # a capture would make constants. Given to each member for itself they are hidden, and
            # such a pass fails.
            stacked, x = unpacked(tensors)
            members = len(tensors[0])
            theirs = map_tree(lambda tensor: tensor.expand(members, *tensor.shape), x)
            kernel.predict(stacked, theirs, own_rows=True)

        shared = dict(named_leaves(chunk, "x"))
        structure = ("predict", signature(self.kernel.module), self.kernel.mixed)
        block = self._steps.members
        self._predicts = compiled(
            structure,
            predict,
            skeleton,
            {**own, **shared},
            shared=len(shared),
            fleet=block,
            block=block,
            trial=trial,
        )

    # -- blocks in memory --------------------------------------------------------------------------

    def _reseat(self, members: int, chosen: Callable[[Tensor], Tensor]) -> None:
        """Move the stack, or some of its rows, to new places in memory, with idle rows behind it
        where the last block wants them.
        """
        size = 1 if self._steps is None else self._steps.members
        rest = members % size
        room = members - rest + size if rest and _worth_filling(rest, size) else members

        def move(tensor: Tensor) -> Tensor:
            kept = chosen(tensor)
            return kept.clone() if room == members else _filled(kept, room)[:members]

        self.stack = _of(self.stack, members, move)
        self._captured = {}
        self._blocks = self._cut()

    def _cut(self) -> list[Stack]:
        """Return the stack as blocks of consecutive members.

        Their tensors are views, so a step on a block changes the stack.
        """
        members = self.stack.num_members
        size = members if self._steps is None else self._steps.members
        blocks = []
        for start in range(0, members, size):
            rows = slice(start, min(start + size, members))
            is_filled = _worth_filling(rows.stop - rows.start, size)
            reach = slice(start, start + size) if is_filled else rows
            block = self.stack.map(lambda tensor, reach=reach: _reaching(tensor, reach))  # type: ignore[misc]
            blocks.append(Stack(rows, block.groups, block.buffers, block.methods))
        return blocks


def _of(stack: Stack, members: int, change: Callable[[Tensor], Tensor]) -> Stack:
    """Return a stack of so many members, made of another's tensors."""
    changed = stack.map(change)
    return Stack(slice(0, members), changed.groups, changed.buffers, changed.methods)


def _shapes(inputs: StepInputs) -> list[torch.Size]:
    """Return the shapes of what comes with a step, of one member."""
    return [tensor.shape[1:] for tensor in inputs.named().values()]


def _rows_from(x_NF: Tree, start: int, count: int) -> Tree:
    """Return so many rows; where there are fewer left, the last again and again."""
    return map_tree(lambda t: _filled(t[start : start + count], count).contiguous(), x_NF)


def _filled(tensor: Tensor, size: int) -> Tensor:
    """Return the rows of a tensor, and the last again until there are ``size``."""
    missing = size - len(tensor)
    if missing == 0:
        return tensor
    return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])


def _worth_filling(members: int, size: int) -> bool:
    """Return whether so few members are quicker as a compiled block filled with idle rows than
    uncompiled, at about half the speed and a millisecond.
    """
    return members > size // 4


def _reaching(tensor: Tensor, rows: slice) -> Tensor:
    """Return rows of a stack's tensor, and of the idle ones behind its end."""
    start = tensor.storage_offset() + rows.start * tensor.stride(0)
    return tensor.as_strided((rows.stop - rows.start, *tensor.shape[1:]), tensor.stride(), start)
