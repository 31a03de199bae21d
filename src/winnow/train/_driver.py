"""The one training driver: variants in, outcomes out, for a fleet of one or many.

Axes: V members still training, B batch, N rows, S steps of an epoch, P parameters of one member.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from winnow.data import Prepared
from winnow.methods import factors, noise_keys
from winnow.recipe import HIGHER_IS_BETTER, Variant, derive_seed
from winnow.train import _checkpoint, _metrics
from winnow.train._build import build_members
from winnow.train._checkpoint import Checkpoint
from winnow.train._lanes import rehearse
from winnow.train._member import Finished, Member
from winnow.train._program import Alone, BaseProgram
from winnow.train._settings import batch_size, dtype_of, make_lanes, num_steps
from winnow.train._stacked import Stacked, stacking

__all__ = ["EpochReport", "train_fleet"]

_EVALUATION_VALUES = 2**24  # outputs and inputs of all members held at once while validating: bounds memory, not results


# Building seeds PyTorch's global generator and puts it back: fleets that start in several threads do so in turn.
_BUILDING = threading.Lock()


@dataclass(frozen=True)
class EpochReport:
    """What a fleet says after each epoch: members still training, optimiser steps of all members in the epoch, its seconds,
    the best score so far.
    """

    members: int
    member_steps: int
    seconds: float
    best: float


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
        compiled: run the stacked program through ``torch.compile``.
        on_epoch: called after each epoch.
        checkpoint: where the fleet's state is written between epochs; when there is one of these variants already, training
            goes on from it to the same bits, in the way it was begun. The caller removes it.
        checkpoint_seconds: at least so long between two checkpoints.

    Returns:
        One result for each variant, in their order. What a member gets does not depend on the others.

    Fleets may train in several threads at once; a model that draws from PyTorch's global generator may not be among them.

    Raises:
        ModelError: the model cannot be built.
        WorkspaceError: the checkpoint cannot be written, or is of a newer winnow.
    """
    begun = None if checkpoint is None else _checkpoint.read(checkpoint, [v.id for v in variants])
    if begun is not None:
        stacked, compiled = begun.stacked, begun.compiled
    stacked = len(variants) > 1 if stacked is None else stacked
    with _BUILDING:
        run = _Run(variants, prepared, build_members(variants, prepared), stacked=stacked, compiled=compiled)
    with stacking() if stacked else nullcontext():
        if begun is not None:
            run.restore(begun)
        return run.train(on_epoch, checkpoint, checkpoint_seconds)


class _Run:
    def __init__(
        self, variants: Sequence[Variant], prepared: Prepared, modules: Sequence[nn.Module], *, stacked: bool, compiled: bool
    ) -> None:
        first = variants[0]
        self.dtype = dtype_of(first)
        self.prepared = prepared
        self.x, self.y = prepared.tensors("train", self.dtype)
        self.x_validation, self.y_validation = prepared.tensors("validation", self.dtype)
        self.batch = batch_size(first, len(self.x))
        self.steps = num_steps(first, len(self.x))
        draws = rehearse(modules[0], self.x[: min(4, self.batch)])
        lanes = make_lanes(variants, prepared.task, self.dtype)
        if stacked:
            self.program: BaseProgram = Stacked(modules, lanes, compiled=compiled)
        else:
            self.program = Alone(modules[0], lanes, noise_seed=first.seed if draws else None)
        self.label = f"stacked x {len(variants)}{', compiled' if compiled else ''}" if stacked else "alone"
        self.members = [
            Member(v, float(v.train.optimizer.lr) * factors(v.train.schedule, self.steps * v.train.epochs)) for v in variants
        ]
        self.alive = list(self.members)
        self.epoch = 0  # the next one
        self.stacked, self.compiled = stacked, compiled
        self.best = {n: t.clone() for n, t in self._module_tensors().items()}  # weights and buffers at each member's best epoch

    def train(
        self, on_epoch: Callable[[EpochReport], None] | None, checkpoint: Path | None, checkpoint_seconds: float
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
            if on_epoch is not None:
                on_epoch(EpochReport(taught, taught * self.steps, seconds, self._best()))
            self.epoch += 1
            if checkpoint is not None and self.alive and time.perf_counter() - written >= checkpoint_seconds:
                _checkpoint.write(checkpoint, self.state())
                written = time.perf_counter()
        return [m.result for m in self.members if m.result is not None]

    def _teach(self, epoch: int) -> Tensor:
        """One epoch of steps; the losses, (steps, variants)."""
        order_VN = torch.stack([_order(m.variant.seed, epoch, len(self.x)) for m in self.alive])
        first = epoch * self.steps
        lr_SV = torch.from_numpy(np.stack([m.rates[first : first + self.steps] for m in self.alive], axis=1)).to(self.dtype)
        keys_SVK2 = None
        if self.program.num_keys:
            seeds = [m.variant.seed for m in self.alive]
            keys_SVK2 = torch.from_numpy(noise_keys(seeds, self.program.num_keys, range(first, first + self.steps)))
        losses = []
        for s in range(self.steps):
            rows_VB = order_VN[:, s * self.batch : (s + 1) * self.batch]
            x_VBF = self.x.index_select(0, rows_VB.flatten()).view(*rows_VB.shape, *self.x.shape[1:])
            losses.append(self.program.step(x_VBF, self.y[rows_VB], None if keys_SVK2 is None else keys_SVK2[s], lr_SV[s]))
        return torch.stack(losses)

    def _validate(self) -> dict[str, NDArray[np.float64]]:
        """Validation metrics by name, each (variants,), and under ``loss`` the training loss's kind without smoothing."""
        chunk = max(1, _EVALUATION_VALUES // (len(self.alive) * max(self.x[0].numel(), self.prepared.out_features, 64)))
        outputs_VNC = torch.cat([self.program.predict(x) for x in self.x_validation.split(chunk)], dim=1)
        if self.prepared.task == "classification":
            metrics = _metrics.classification(outputs_VNC, self.y_validation)
            metrics["loss"] = metrics["log_loss"]
        else:
            scale = self.prepared.preparation.target_scale
            metrics = _metrics.regression(outputs_VNC, self.y_validation, scale)
            metrics["loss"] = (metrics["rmse"] / scale).square()
        return {name: value.numpy() for name, value in metrics.items()}

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

    def restore(self, begun: Checkpoint) -> None:
        """Take up where a fleet of the same variants was."""
        for i, (member, facts) in enumerate(zip(self.members, begun.members, strict=True)):
            prefix = f"left.{i}."
            member.take(facts, {n.removeprefix(prefix): t for n, t in begun.tensors.items() if n.startswith(prefix)})
        rows = [i for i, m in enumerate(self.members) if m.result is None]
        if len(rows) < len(self.members):
            assert isinstance(self.program, Stacked)
            self.program.keep(torch.tensor(rows))
        self.alive = [self.members[i] for i in rows]
        self.epoch, self.program.steps = begun.epoch, begun.steps
        for name, tensor in self.program.tensors().items():
            tensor.copy_(begun.tensors[f"live.{name}"])
        self.best = {n: begun.tensors[f"best.{n}"] for n in self.best}

    def _module_tensors(self) -> dict[str, Tensor]:
        return {**self.program.weights(), **self.program.buffers()}

    def _best(self) -> float:
        scores = [m.score for m in self.members if not math.isnan(m.score)]
        if not scores:
            return math.nan
        return max(scores) if HIGHER_IS_BETTER[self.members[0].variant.metric] else min(scores)


def _order(seed: int, epoch: int, num_rows: int) -> Tensor:
    """The order of the training rows in one epoch, a function of seed and epoch alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(num_rows, generator=generator)
