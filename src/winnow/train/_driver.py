"""The one training driver: variants in, outcomes out, for a fleet of one or many.

Axes: V members still training, B batch, N rows, S steps of an epoch, P parameters of one member.
"""

from __future__ import annotations

import copy
import math
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from winnow.data import Prepared
from winnow.errors import WorkspaceError
from winnow.methods import factors, noise_keys
from winnow.recipe import HIGHER_IS_BETTER, Train, Variant
from winnow.train import _checkpoint
from winnow.train._batches import open_batches
from winnow.train._build import build_members
from winnow.train._checkpoint import Checkpoint, UnusableCheckpoint
from winnow.train._device import training_device
from winnow.train._lanes import rehearse
from winnow.train._member import Finished, Member
from winnow.train._memory import OutOfMemory, evaluation_rows, is_out_of_memory, row_bytes
from winnow.train._metrics import BaseTally, Classification, Regression
from winnow.train._program import Alone, BaseProgram
from winnow.train._settings import batch_size, dtype_of, make_lanes, num_steps
from winnow.train._stacked import Stacked, stacking

__all__ = ["EpochReport", "train_fleet"]


_FEW = 8  # rows that show what a pass does

# Building seeds PyTorch's global generator and puts it back: fleets that start in several threads do so in turn.
_BUILDING = threading.Lock()


@dataclass(frozen=True)
class EpochReport:
    """What a fleet says after each epoch.

    Attributes:
        fleet: the id of its first variant.
        members: those that trained in the epoch.
        member_steps: optimiser steps of all members in the epoch.
        taken: optimiser steps of all members since training began, also before a kill.
        seconds: of the epoch.
        best: score so far; NaN before the first.
        message: something that the user should know.
    """

    fleet: str
    members: int
    member_steps: int
    taken: int
    seconds: float
    best: float
    message: str | None = None


def train_fleet(
    variants: Sequence[Variant],
    prepared: Prepared,
    *,
    stacked: bool | None = None,
    compiled: bool = False,
    on_epoch: Callable[[EpochReport], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 20.0,
) -> list[Finished]:
    """Train variants as one fleet.

    Args:
        variants: of equal shape settings (see ``run.plan``).
        prepared: the data of all of them.
        stacked: run the stacked program; None: when there is more than one variant.
        compiled: run the stacked program as compiled blocks; on a GPU each is captured as a CUDA graph.
        on_epoch: called after each epoch; without it, messages are warnings.
        checkpoint: where the fleet's state is written between epochs; when there is one of these variants already, training
            goes on from it to the same bits, in the way it was begun. The caller removes it. A file that cannot be used, or a
            state that cannot be written (a full disk, say), is a message: training goes on.
        checkpoint_seconds: at least so long between two checkpoints.

    Returns:
        One result for each variant, in their order. What a member gets does not depend on the others.

    Fleets may train in several threads at once; a model that draws from a global generator may not be among them.

    Raises:
        ModelError: the model cannot be built.
        OutOfMemory: the fleet does not fit; it names the members that had left before.
        WorkspaceError: the checkpoint is of a newer winnow.
    """
    left: list[Finished] = []
    try:
        return _train_fleet(variants, prepared, stacked, compiled, on_epoch, checkpoint, checkpoint_seconds, left)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = f"out of memory ({(str(error).strip().splitlines() or [type(error).__name__])[0][:200]})"
    raise OutOfMemory(reason, left)  # not above, where the first error's traceback would hold on to the fleet's tensors


def _train_fleet(
    variants: Sequence[Variant],
    prepared: Prepared,
    stacked: bool | None,
    compiled: bool,
    on_epoch: Callable[[EpochReport], None] | None,
    checkpoint: Path | None,
    checkpoint_seconds: float,
    left: list[Finished],
) -> list[Finished]:
    """``train_fleet``; also when it fails, ``left`` holds the members that have left."""
    begun, message = None, None
    if checkpoint is not None:
        try:
            begun = _checkpoint.read(checkpoint, [v.id for v in variants])
        except UnusableCheckpoint as error:
            message = f"{error}: its variants train from the start"
    if begun is not None:
        stacked, compiled = begun.stacked, begun.compiled
    stacked = len(variants) > 1 if stacked is None else stacked
    with _BUILDING:
        run = _Run(variants, prepared, build_members(variants, prepared), stacked=stacked, compiled=compiled)
    with closing(run.batches), stacking() if stacked else nullcontext():
        if begun is not None and not run.restore(begun):
            message = f"{checkpoint} was written by another version of winnow: its variants train from the start"
        try:
            return run.train(on_epoch, checkpoint, checkpoint_seconds, message)
        finally:
            left += [m.result for m in run.members if m.result is not None]


class _Run:
    def __init__(
        self, variants: Sequence[Variant], prepared: Prepared, modules: Sequence[nn.Module], *, stacked: bool, compiled: bool
    ) -> None:
        first = variants[0]
        self.dtype = dtype_of(first)
        self.prepared = prepared
        self.device = training_device()
        self.batches = open_batches(prepared, self.dtype, first.data.split.seed, self.device)
        self.batch = batch_size(first, len(prepared.train))
        self.steps = num_steps(first, len(prepared.train))
        x, _ = prepared.head("train", _FEW, self.dtype)
        draws = rehearse(modules[0], x[: min(4, self.batch)])
        lanes = make_lanes(variants, prepared.task, self.dtype).map(lambda t: t.to(self.device))
        for module in modules:
            module.to(self.device)
        if stacked:
            self.program: BaseProgram = Stacked(modules, lanes, compiled=compiled)
        else:
            self.program = Alone(modules[0], lanes, noise_seed=first.seed if draws else None)
        with stacking() if stacked else nullcontext():
            # now, while all members are there, so that a resumed fleet finds the same
            self.row_bytes = row_bytes(self.program, x.to(self.device))
        self.label = f"stacked x {len(variants)}{', compiled' if compiled else ''}" if stacked else "alone"
        self.members = [Member(v, i, v.train, _rates(v.train, self.steps)) for i, v in enumerate(variants)]
        self.alive = list(self.members)
        self.ranks = first.metric == "roc_auc"  # which keeps all rows' outputs: only where it is asked for
        self.epoch = 0  # the next one
        self.stacked, self.compiled = stacked, compiled
        self.best = {n: t.clone() for n, t in self._module_tensors().items()}  # weights and buffers at each member's best epoch

    def train(
        self,
        on_epoch: Callable[[EpochReport], None] | None = None,
        checkpoint: Path | None = None,
        checkpoint_seconds: float = 0.0,
        message: str | None = None,
    ) -> list[Finished]:
        written = time.perf_counter()
        while self.alive:
            epoch = self.epoch
            began = time.perf_counter()
            taught = len(self.alive)
            loss_SV = self._teach(epoch)
            scores = self._validate()
            seconds = time.perf_counter() - began
            for member in self.alive:
                member.seconds += seconds / taught
            self._book(epoch, loss_SV, scores)
            self.epoch += 1
            if on_epoch is not None:
                on_epoch(self._report(taught, seconds, message))
            elif message is not None:
                warnings.warn(message, RuntimeWarning, stacklevel=3)
            message = None
            if checkpoint is not None and self.alive and time.perf_counter() - written >= checkpoint_seconds:
                try:
                    _checkpoint.write(checkpoint, self.state())
                except WorkspaceError as error:  # what it guards against may never come: no reason to end what goes well
                    message = f"{error}; training goes on, but what is in training now would be lost if it were stopped"
                written = time.perf_counter()
        return [m.result for m in self.members if m.result is not None]

    def _report(self, taught: int, seconds: float, message: str | None) -> EpochReport:
        taken = sum(self.epoch * self.steps if m.result is None else m.result.outcome.steps for m in self.members)
        first = self.members[0].variant.id
        return EpochReport(first, taught, taught * self.steps, taken, seconds, self._best(), message)

    def _teach(self, epoch: int) -> Tensor:
        """One epoch of steps; the losses, (steps, variants)."""
        first = epoch * self.steps
        seeds = [m.variant.seed for m in self.alive]
        lr_SV = torch.from_numpy(np.stack([m.rates[first : first + self.steps] for m in self.alive], axis=1)).to(
            self.device, self.dtype
        )
        keys_SVK2 = None
        if self.program.num_keys:
            keys = noise_keys(seeds, self.program.num_keys, range(first, first + self.steps))
            keys_SVK2 = torch.from_numpy(keys).to(self.device)
        losses = []
        for s, (x_VBF, y_VB) in enumerate(self.batches.epoch(epoch, seeds, size=self.batch, steps=self.steps)):
            losses.append(self.program.step(x_VBF, y_VB, None if keys_SVK2 is None else keys_SVK2[s], lr_SV[s]))
        return torch.stack(losses).cpu()

    def _validate(self) -> dict[str, NDArray[np.float64]]:
        """Validation metrics by name, each (variants,), and under ``loss`` the training loss's kind without smoothing."""
        scale = self.prepared.preparation.target_scale
        tally: BaseTally = Classification(ranks=self.ranks) if self.prepared.task == "classification" else Regression(scale)
        for x_BF, y_B in self.batches.validation(evaluation_rows(len(self.alive), self.row_bytes)):
            tally.add(self.program.predict(x_BF), y_B)
        metrics = tally.values()
        metrics["loss"] = metrics["log_loss"] if "log_loss" in metrics else (metrics["rmse"] / scale).square()
        return {name: value.cpu().numpy() for name, value in metrics.items()}

    def _book(self, epoch: int, loss_SV: Tensor, metrics: dict[str, NDArray[np.float64]]) -> None:
        """Write the epoch into every member's record, keep its weights where they are the best, let those leave that are done."""
        train_loss = loss_SV.double().mean(dim=0).tolist()
        finite_SV = torch.isfinite(loss_SV)
        improved, leaving = [], []
        for i, member in enumerate(self.alive):
            mine = {name: float(values[i]) for name, values in metrics.items()}
            for name, value in {
                "train_loss": train_loss[i],
                "validation_loss": mine["loss"],
                f"validation_{member.variant.metric}": mine[member.variant.metric],
                "lr": float(member.rates[(epoch + 1) * self.steps - 1]),
            }.items():
                member.curves.setdefault(name, []).append(value)
            if not bool(finite_SV[:, i].all()) or not math.isfinite(mine["loss"]):
                bad = int((~finite_SV[:, i]).int().argmax()) if not bool(finite_SV[:, i].all()) else self.steps - 1
                member.result = member.failed(epoch, bad, self.steps, self.label)
                leaving.append(i)
                continue
            if member.improves(mine):
                member.best_epoch, member.score, member.tie_break = epoch, mine[member.variant.metric], mine["loss"]
                member.metrics = {n: v for n, v in mine.items() if n != "loss"}
                improved.append(i)
            if member.should_leave(epoch, mine[member.variant.metric]):
                leaving.append(i)
        if improved:
            rows = torch.tensor(improved)
            for name, tensor in self._module_tensors().items():
                self.best[name][rows] = tensor[rows]
        self._leave(epoch, leaving)

    def _leave(self, epoch: int, leaving: list[int]) -> None:
        for i in leaving:
            member = self.alive[i]
            if member.result is None:
                weights = self.program.state_dict(i, self.best)
                member.result = Finished(member.variant, member.outcome(epoch, self.steps, self.label), weights)
        if leaving:
            rows = torch.tensor([i for i in range(len(self.alive)) if i not in set(leaving)], dtype=torch.int64)
            self.alive = [self.alive[i] for i in rows.tolist()]
            if self.alive:
                assert isinstance(self.program, Stacked)  # a fleet of one that lets its member go is empty
                self.program.keep(rows)
                self.best = {n: t[rows] for n, t in self.best.items()}

    def copy(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Let each member of ``target`` (positions among those that still train) go on as the one of ``source`` would, but with
        its own order of rows and its own noise.

        It takes over what training has made of the other, its settings, its best weights so far, its patience and its curves.
        Its id, its seed and the seconds it has taken stay its own.
        """
        assert isinstance(self.program, Stacked)
        rows, onto = torch.tensor(source), torch.tensor(target)
        self.program.copy(rows, onto)
        for tensor in self.best.values():
            tensor[onto] = tensor[rows]
        facts = [copy.deepcopy(self.alive[i].facts()) for i in source]  # all, before the first changes
        for i, theirs in zip(target, facts, strict=True):
            self._remember(self.alive[i], {**theirs, "seconds": self.alive[i].seconds}, {})

    def _remember(self, member: Member, facts: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
        member.take(facts, weights)
        member.train = self.members[member.settings_of].variant.train
        member.rates = _rates(member.train, self.steps)

    def state(self) -> Checkpoint:
        """The fleet between two epochs."""
        tensors = {f"live.{n}": t for n, t in self.program.tensors().items()}
        tensors |= {f"best.{n}": t for n, t in self.best.items()}
        for i, member in enumerate(self.members):
            weights = member.result.weights if member.result is not None else None
            tensors |= {f"left.{i}.{n}": t for n, t in (weights or {}).items()}
        return Checkpoint(
            variant_ids=tuple(m.variant.id for m in self.members),
            stacked=self.stacked,
            compiled=self.compiled,
            epoch=self.epoch,
            steps=self.program.steps,
            members=[m.facts() for m in self.members],
            tensors=tensors,
        )

    def restore(self, begun: Checkpoint) -> bool:
        """Take up where a fleet of the same variants was; False, and nothing is changed, if its tensors are not the program's."""
        alive = sum(facts["outcome"] is None for facts in begun.members)
        mine = {f"live.{n}": t for n, t in self.program.tensors().items()} | {f"best.{n}": t for n, t in self.best.items()}
        theirs = {n: t.shape for n, t in begun.tensors.items() if not n.startswith("left.")}
        if theirs != {n: (alive, *t.shape[1:]) for n, t in mine.items()}:
            return False
        for i, (member, facts) in enumerate(zip(self.members, begun.members, strict=True)):
            prefix = f"left.{i}."
            weights = {n.removeprefix(prefix): t for n, t in begun.tensors.items() if n.startswith(prefix)}
            self._remember(member, facts, weights)
        settings = [m.settings_of for m in self.members]
        if settings != list(range(len(settings))):
            assert isinstance(self.program, Stacked)
            self.program.copy(torch.tensor(settings), torch.arange(len(settings)))
        rows = [i for i, m in enumerate(self.members) if m.result is None]
        if len(rows) < len(self.members):
            assert isinstance(self.program, Stacked)
            self.program.keep(torch.tensor(rows))
        self.alive = [self.members[i] for i in rows]
        self.epoch, self.program.steps = begun.epoch, begun.steps
        for name, tensor in self.program.tensors().items():
            tensor.copy_(begun.tensors[f"live.{name}"])
        self.best = {n: begun.tensors[f"best.{n}"].to(self.device) for n in self.best}
        return True

    def _module_tensors(self) -> dict[str, Tensor]:
        return {**self.program.weights(), **self.program.buffers()}

    def _best(self) -> float:
        scores = [m.score for m in self.members if not math.isnan(m.score)]
        if not scores:
            return math.nan
        return max(scores) if HIGHER_IS_BETTER[self.members[0].variant.metric] else min(scores)


def _rates(train: Train, steps: int) -> NDArray[np.float64]:
    """The learning rate at every step of a training of so many steps an epoch, (steps,)."""
    return float(train.optimizer.lr) * factors(train.schedule, steps * train.epochs)
