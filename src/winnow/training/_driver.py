"""The one training driver: variants in, outcomes out, for a fleet of one or many.

After each epoch, one pass over the validation rows gives what the metrics of each half of them are
made of. A half is scored at the epoch that the other half chooses, so that no row scores an epoch
that it had a part in choosing. All rows together choose the weights that are kept.

Axes: V members still training, B batch, N rows, S steps of an epoch, P parameters of one member, H
parts (halves) of the validation rows, K sums that metrics are made of.
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
from torch import Tensor, nn

from winnow.data import PreparedData
from winnow.errors import WorkspaceError, first_line
from winnow.recipe import Variant, metric_of
from winnow.training import _checkpoint
from winnow.training._augment import Augmentation
from winnow.training._batches import open_batches
from winnow.training._build import build_members, build_program
from winnow.training._checkpoint import Checkpoint, UnusableCheckpoint
from winnow.training._device import training_device
from winnow.training._digest import OutputDigest
from winnow.training._find_methods import rates, stopping_of
from winnow.training._member import EpochChoice, Member, MemberResult
from winnow.training._memory import OutOfMemory, evaluation_rows, is_out_of_memory, row_bytes
from winnow.training._metrics import Metrics
from winnow.training._noise import noise_keys
from winnow.training._settings import batch_size, dtype_of, num_steps
from winnow.training._stack import stacking
from winnow.training._stacked import StackedProgram
from winnow.training._teacher import open_teacher
from winnow.training._validation import Pass, Validation
from winnow.trees import map_tree

__all__ = ["EpochReport", "train_fleet"]


_FEW = 8  # rows that show what a pass does

# Building seeds PyTorch's global generator and puts it back: fleets that start in several threads
# do so in turn.
_BUILDING = threading.Lock()


@dataclass(frozen=True)
class EpochReport:
    """What a fleet says after each epoch.

    Attributes:
        fleet: the id of its first variant.
        members: those that trained in the epoch.
        member_steps: optimizer steps of all members in the epoch.
        taken: optimizer steps of all members since training began, also before a kill.
        seconds: of the epoch.
        best: the best score of a member so far; NaN before the first.
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
    prepared: PreparedData,
    *,
    stacked: bool | None = None,
    compiled: bool = False,
    on_epoch: Callable[[EpochReport], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 20.0,
) -> list[MemberResult]:
    """Train variants as one fleet.

    Args:
        variants: of equal shape settings (see ``run.plan``).
        prepared: the data of all of them.
        stacked: run the stacked program; None: when there is more than one variant.
        compiled: run the stacked program as compiled blocks; on a GPU each is captured as a CUDA
            graph.
        on_epoch: called after each epoch; without it, messages are warnings.
        checkpoint: where the fleet's state is written between epochs; when there is one of these
            variants already, training goes on from it to the same bits, in the way it was begun.
            The caller removes it. A file that cannot be used, or a state that cannot be written (a
            full disk, say), is a message: training goes on.
        checkpoint_seconds: at least so long between two checkpoints.

    Returns:
        One result for each variant, in their order. What a member gets does not depend on the
        others.

    Fleets may train in several threads at once; a model that draws from a global generator may not
    be among them.

    Raises:
        ModelError: the model cannot be built.
        OutOfMemory: the fleet does not fit; it names the members that had left before.
        WorkspaceError: the checkpoint is of a newer winnow.
    """
    left: list[MemberResult] = []
    try:
        return _train_fleet(
            variants, prepared, stacked, compiled, on_epoch, checkpoint, checkpoint_seconds, left
        )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = f"out of memory ({first_line(error)})"
    # Not above, where the first error's traceback would hold on to the fleet's tensors
    raise OutOfMemory(reason, left)


def _train_fleet(
    variants: Sequence[Variant],
    prepared: PreparedData,
    stacked: bool | None,
    compiled: bool,
    on_epoch: Callable[[EpochReport], None] | None,
    checkpoint: Path | None,
    checkpoint_seconds: float,
    left: list[MemberResult],
) -> list[MemberResult]:
    """Do what ``train_fleet`` does; also when it fails, ``left`` holds the members that have
    left.
    """
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
        run = _Run(
            variants,
            prepared,
            build_members(variants, prepared),
            stacked=stacked,
            compiled=compiled,
        )
    with closing(run.batches), stacking() if stacked else nullcontext():
        if begun is not None and not run.restore(begun):
            message = (
                f"{checkpoint} was written by another version of winnow: its variants train from "
                f"the start"
            )
        try:
            return run.train(on_epoch, checkpoint, checkpoint_seconds, message)
        finally:
            left += [m.result for m in run.members if m.result is not None]


class _Run:
    def __init__(
        self,
        variants: Sequence[Variant],
        prepared: PreparedData,
        modules: Sequence[nn.Module],
        *,
        stacked: bool,
        compiled: bool,
    ) -> None:
        first = variants[0]
        self.dtype = dtype_of(first)
        self.prepared = prepared
        self.device = training_device()
        self.batches = open_batches(prepared, self.dtype, first.data.split.seed, self.device)
        self.batch = batch_size(first, len(prepared.train))
        self.steps = num_steps(first, len(prepared.train))
        self.teacher = open_teacher(first, prepared, self.device)
        self.num_classes = prepared.out_features if prepared.task == "classification" else None
        self.program = build_program(
            modules, variants, prepared, stacked=stacked, compiled=compiled, device=self.device
        )
        x, _ = prepared.head("train", _FEW, self.dtype)
        with stacking() if stacked else nullcontext():
            # now, while all members are there, so that a resumed fleet finds the same
            few = map_tree(lambda tensor: tensor.to(self.device), x)
            self.row_bytes = row_bytes(self.program, few)
        self.label = (
            f"stacked x {len(variants)}{', compiled' if compiled else ''}" if stacked else "alone"
        )
        self.validation = Validation(
            prepared, seed=first.data.split.seed, metric=first.metric, device=self.device
        )
        stoppings = [stopping_of(variant.train) for variant in variants]
        self.members = [
            Member(
                variant,
                i,
                variant.train,
                rates(variant.train, self.steps * variant.train.epochs),
                stopping,
                [EpochChoice.before(stopping) for _ in range(self.validation.num_choices)],
            )
            for i, (variant, stopping) in enumerate(zip(variants, stoppings, strict=True))
        ]
        self.alive = list(self.members)
        self.metric = first.metric
        self.epoch = 0  # the next one
        self.stacked, self.compiled = stacked, compiled
        # Weights and buffers at each member's best epoch
        self.best = {n: t.clone() for n, t in self._module_tensors().items()}

    def train(
        self,
        on_epoch: Callable[[EpochReport], None] | None = None,
        checkpoint: Path | None = None,
        checkpoint_seconds: float = 0.0,
        message: str | None = None,
    ) -> list[MemberResult]:
        written = time.perf_counter()
        while self.alive:
            epoch = self.epoch
            began = time.perf_counter()
            taught = len(self.alive)
            losses_SVK = self._teach(epoch)
            at_once = evaluation_rows(len(self.alive), self.row_bytes)
            found = self.validation.run(self.program, self.batches.validation(at_once))
            seconds = time.perf_counter() - began
            for member in self.alive:
                member.seconds += seconds / taught
            self._record(epoch, losses_SVK, found)
            self.epoch += 1
            if on_epoch is not None:
                on_epoch(self._report(taught, seconds, message))
            elif message is not None:
                warnings.warn(message, RuntimeWarning, stacklevel=3)
            message = None
            if (
                checkpoint is not None
                and self.alive
                and time.perf_counter() - written >= checkpoint_seconds
            ):
                try:
                    _checkpoint.write(checkpoint, self.state())
                # What it guards against may never come: no reason to end what goes well
                except WorkspaceError as error:
                    message = (
                        f"{error}; training goes on, but what is in training now would be lost "
                        f"if it were stopped"
                    )
                written = time.perf_counter()
        return [m.result for m in self.members if m.result is not None]

    def _report(self, taught: int, seconds: float, message: str | None) -> EpochReport:
        taken = sum(
            self.epoch * self.steps if m.result is None else m.result.outcome.steps
            for m in self.members
        )
        first = self.members[0].variant.id
        return EpochReport(
            first, taught, taught * self.steps, taken, seconds, self._best(), message
        )

    def _teach(self, epoch: int) -> Tensor:
        """Take one epoch of steps; return the losses, (steps, variants, losses)."""
        first = epoch * self.steps
        seeds = [m.variant.seed for m in self.alive]
        lr_SV = torch.from_numpy(
            np.stack([m.rates[first : first + self.steps] for m in self.alive], axis=1)
        ).to(self.device, self.dtype)
        keys_SVK2 = None
        if self.program.num_keys:
            keys = noise_keys(seeds, self.program.num_keys, range(first, first + self.steps))
            keys_SVK2 = torch.from_numpy(keys).to(self.device)
        augment = Augmentation(
            [m.train for m in self.alive],
            seeds,
            range(first, first + self.steps),
            num_classes=self.num_classes,
            like=lr_SV,
            teacher=self.teacher,
        )
        losses = []
        batches = self.batches.epoch(epoch, seeds, size=self.batch, steps=self.steps)
        for s, batch in enumerate(batches):
            keys_VK2 = None if keys_SVK2 is None else keys_SVK2[s]
            losses.append(self.program.step(augment(batch, first + s), keys_VK2, lr_SV[s]))
        return torch.stack(losses).cpu()

    def _record(self, epoch: int, losses_SVK: Tensor, found: Pass) -> None:
        """Write the epoch into every member's record, keep its weights where they are the best,
        drop those that are done.
        """
        views = found.metrics()
        loss_SV = losses_SVK.sum(dim=-1)
        train_loss = loss_SV.double().mean(dim=0).tolist()
        term_VK = losses_SVK.double().mean(dim=0).tolist()
        auxiliary = [term.name for term in self.program.methods.losses]
        finite_SV = torch.isfinite(loss_SV)
        finite = finite_SV.all(dim=0).tolist()
        # In the order of a member's choices
        improved: list[list[int]] = [[] for _ in range(self.validation.num_choices)]
        leaving = []
        for i, member in enumerate(self.alive):
            metric = member.variant.metric
            scores, losses = views[metric][i], views["loss"][i]
            for name, value in {
                "train_loss": train_loss[i],
                "validation_loss": losses[-1],
                f"validation_{metric}": scores[-1],
                "lr": float(member.rates[(epoch + 1) * self.steps - 1]),
                **{f"train_loss.{n}": v for n, v in zip(auxiliary, term_VK[i], strict=True) if n},
            }.items():
                member.curves.setdefault(name, []).append(value)
            if not finite[i] or not math.isfinite(losses[-1]):
                bad = self.steps - 1 if finite[i] else int((~finite_SV[:, i]).int().argmax())
                member.result = member.failed(epoch, bad, self.steps, self.label)
                leaving.append(i)
                continue
            how = {
                "metric": metric,
                "train_loss": train_loss[i],
                "num_epochs": member.train.epochs,
                "stopping": member.stopping,
            }
            for choice, score, loss, better_now in zip(
                member.choices, scores, losses, improved, strict=True
            ):
                if choice.see(epoch, score, loss, **how):
                    better_now.append(i)
            if member.is_done(epoch):
                leaving.append(i)
        if improved[-1]:
            rows = torch.tensor(improved[-1])
            for name, tensor in self._module_tensors().items():
                self.best[name][rows] = tensor[rows]
            for i in improved[-1]:
                self.alive[i].digest = OutputDigest.text(found.digests[i])
        if self.validation.hold(found, improved) or leaving:
            self._score(self.validation.score(found.state), leaving)
        self._drop(epoch, leaving)

    def _score(self, metrics: Metrics, leaving: list[int]) -> None:
        """Write down what every member scores, and all metrics of those that leave."""
        for i, member in enumerate(self.alive):
            member.score = float(metrics[member.variant.metric][i, 0])
        for i in leaving:
            self.alive[i].metrics = {
                n: float(values[i, 0]) for n, values in metrics.items() if n != "loss"
            }

    def _drop(self, epoch: int, leaving: list[int]) -> None:
        for i in leaving:
            member = self.alive[i]
            if member.result is None:
                weights = self.program.state_dict(i, self.best)
                member.result = MemberResult(
                    member.variant, member.outcome(epoch, self.steps, self.label), weights
                )
        if leaving:
            rows = torch.tensor(
                [i for i in range(len(self.alive)) if i not in set(leaving)], dtype=torch.int64
            )
            self.alive = [self.alive[i] for i in rows.tolist()]
            if self.alive:
                # A fleet of one that lets its member go is empty
                assert isinstance(self.program, StackedProgram)
                self.program.keep(rows)
                self.best = {n: t[rows] for n, t in self.best.items()}
                self.validation.keep(rows)

    def copy(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Let each member of ``target`` (positions among those that still train) go on as the one
        of ``source`` would, but with its own order of rows and its own noise.

        It takes over what training has made of the other, its settings, its best weights so far,
        what each half of the validation rows chose, its patience and its curves. Its id, its seed
        and the seconds it has taken stay its own.
        """
        assert isinstance(self.program, StackedProgram)
        rows, onto = torch.tensor(source), torch.tensor(target)
        self.program.copy(rows, onto)
        self.validation.copy(rows, onto)
        for tensor in self.best.values():
            tensor[onto] = tensor[rows]
        # All, before the first changes
        facts = [copy.deepcopy(self.alive[i].facts()) for i in source]
        for i, theirs in zip(target, facts, strict=True):
            self._remember(self.alive[i], {**theirs, "seconds": self.alive[i].seconds}, {})

    def _remember(
        self, member: Member, facts: Mapping[str, Any], weights: dict[str, Tensor]
    ) -> None:
        member.take(facts, weights)
        member.train = self.members[member.settings_of].variant.train
        member.rates = rates(member.train, self.steps * member.train.epochs)
        member.stopping = stopping_of(member.train)

    def state(self) -> Checkpoint:
        """Return the fleet between two epochs."""
        tensors = {f"live.{n}": t for n, t in self.program.tensors().items()}
        tensors |= {f"best.{n}": t for n, t in self.best.items()}
        held = self.validation.held
        tensors |= {} if held is None else {"held_sums": held}
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
        """Take up where a fleet of the same variants was; False, and nothing is changed, if its
        tensors are not the program's.
        """
        alive = sum(facts["outcome"] is None for facts in begun.members)
        mine = {f"live.{n}": t for n, t in self.program.tensors().items()} | {
            f"best.{n}": t for n, t in self.best.items()
        }
        theirs = {
            n: t.shape
            for n, t in begun.tensors.items()
            if n != "held_sums" and not n.startswith("left.")
        }
        held = begun.tensors.get("held_sums")
        if (
            theirs != {n: (alive, *t.shape[1:]) for n, t in mine.items()}
            or held is None
            or held.shape[:2] != (alive, self.validation.parts)
        ):
            return False
        for i, (member, facts) in enumerate(zip(self.members, begun.members, strict=True)):
            prefix = f"left.{i}."
            weights = {
                n.removeprefix(prefix): t for n, t in begun.tensors.items() if n.startswith(prefix)
            }
            self._remember(member, facts, weights)
        settings = [m.settings_of for m in self.members]
        if settings != list(range(len(settings))):
            assert isinstance(self.program, StackedProgram)
            self.program.copy(torch.tensor(settings), torch.arange(len(settings)))
        rows = [i for i, m in enumerate(self.members) if m.result is None]
        if len(rows) < len(self.members):
            assert isinstance(self.program, StackedProgram)
            self.program.keep(torch.tensor(rows))
        self.alive = [self.members[i] for i in rows]
        self.epoch, self.program.steps = begun.epoch, begun.steps
        for name, tensor in self.program.tensors().items():
            tensor.copy_(begun.tensors[f"live.{name}"])
        self.best = {n: begun.tensors[f"best.{n}"].to(self.device) for n in self.best}
        self.validation.held = held
        return True

    def _module_tensors(self) -> dict[str, Tensor]:
        """Return what is validated and kept, by name, live."""
        return {**self.program.evaluated_weights(), **self.program.buffers()}

    def _best(self) -> float:
        scores = [m.score for m in self.members if not math.isnan(m.score)]
        if not scores:
            return math.nan
        return max(scores) if metric_of(self.metric).higher_is_better else min(scores)
