"""The one training driver: variants in, outcomes out, for a fleet of one or many.

Axes: V members still training, B batch, N rows, S steps of an epoch, P parameters of one member.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from winnow.data import Prepared
from winnow.errors import ModelError
from winnow.methods import OPTIMIZERS, factors, noise_keys
from winnow.models import build
from winnow.recipe import HIGHER_IS_BETTER, Outcome, Variant, derive_seed
from winnow.train import _checkpoint, _metrics
from winnow.train._checkpoint import Checkpoint
from winnow.train._lanes import rehearse, replace_dropout
from winnow.train._layers import make_stackable
from winnow.train._program import Alone, BaseProgram, Lanes
from winnow.train._stacked import Stacked, stacking

__all__ = ["EpochReport", "Finished", "build_members", "dtype_of", "make_lanes", "num_steps", "train_fleet"]

_EVALUATION_VALUES = 2**24  # outputs and inputs of all members held at once while validating: bounds memory, not results


# Building seeds PyTorch's global generator and puts it back: fleets that start in several threads do so in turn.
_BUILDING = threading.Lock()


@dataclass(frozen=True)
class Finished:
    """A member that has left its fleet: its outcome, and its best weights under the names of the user's module (None when it
    failed).
    """

    variant: Variant
    outcome: Outcome
    weights: dict[str, Tensor] | None


@dataclass(frozen=True)
class EpochReport:
    """What a fleet says after each epoch: members still training, optimiser steps of all members in the epoch, its seconds,
    the best score so far.
    """

    members: int
    member_steps: int
    seconds: float
    best: float


def num_steps(variant: Variant, num_rows: int) -> int:
    """Optimiser steps in one epoch over ``num_rows`` training rows."""
    size = min(_resolved_batch(variant), num_rows)
    return num_rows // size if variant.train.drop_last else math.ceil(num_rows / size)


def build_members(variants: Sequence[Variant], prepared: Prepared) -> list[nn.Module]:
    """A fresh module for each variant, its dropout layers replaced, in the variant's precision.

    Raises:
        ModelError: as ``models.build`` does; and for a model with nothing to train.
    """
    modules = []
    for variant in variants:
        module = build(variant.model, in_shape=prepared.in_shape, out_features=prepared.out_features, seed=variant.seed)
        dropout = variant.train.dropout
        rate = None if dropout is None else float(dropout)
        make_stackable(replace_dropout(module, rate), only_noisy=True, rate=rate)
        module.to(dtype_of(variant))
        if not any(p.requires_grad for p in module.parameters()):
            raise ModelError(f"model {variant.model.use!r} has no parameters to train")
        modules.append(module)
    return modules


def dtype_of(variant: Variant) -> torch.dtype:
    """The floating-point type that the variant trains in."""
    return {"float32": torch.float32, "float64": torch.float64}[variant.train.precision]


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


@dataclass
class _Member:
    """What the driver remembers of one variant between epochs."""

    variant: Variant
    rates: NDArray[np.float64]  # the learning rate at every step of the training, (steps,)
    score: float = math.nan  # of the best weights
    tie_break: float = math.inf  # validation loss of the best weights
    reference: float = math.nan  # the score that patience counts from
    waited: int = 0
    best_epoch: int = -1
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    result: Finished | None = None

    def facts(self) -> dict[str, Any]:
        """All of it as plain data, but the weights."""
        plain = {n: v for n, v in vars(self).items() if n not in ("variant", "rates", "result")}
        return {**plain, "outcome": None if self.result is None else self.result.outcome.to_dict()}

    def take(self, facts: dict[str, Any], weights: dict[str, Tensor]) -> None:
        """Become what ``facts`` say; ``weights`` are its best ones if it has left."""
        for name, value in facts.items():
            if name != "outcome":
                setattr(self, name, value)
        if facts["outcome"] is not None:
            self.result = Finished(self.variant, Outcome(**facts["outcome"]), weights or None)


class _Run:
    def __init__(
        self, variants: Sequence[Variant], prepared: Prepared, modules: Sequence[nn.Module], *, stacked: bool, compiled: bool
    ) -> None:
        first = variants[0]
        self.dtype = dtype_of(first)
        self.prepared = prepared
        self.x, self.y = prepared.tensors("train", self.dtype)
        self.x_validation, self.y_validation = prepared.tensors("validation", self.dtype)
        self.batch = min(_resolved_batch(first), len(self.x))
        self.steps = num_steps(first, len(self.x))
        draws = rehearse(modules[0], self.x[: min(4, self.batch)])
        lanes = make_lanes(variants, prepared.task, self.dtype)
        if stacked:
            self.program: BaseProgram = Stacked(modules, lanes, compiled=compiled)
        else:
            self.program = Alone(modules[0], lanes, noise_seed=first.seed if draws else None)
        self.label = f"stacked x {len(variants)}{', compiled' if compiled else ''}" if stacked else "alone"
        self.members = [
            _Member(v, float(v.train.optimizer.lr) * factors(v.train.schedule, self.steps * v.train.epochs)) for v in variants
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
                member.result = self._failed(member, epoch, bad)
                leaving.append(i)
                continue
            if _improves(member, mine):
                member.best_epoch, member.score, member.tie_break = epoch, mine[member.variant.metric], mine["loss"]
                member.metrics = {n: v for n, v in mine.items() if n != "loss"}
                improved.append(i)
            if _should_leave(member, epoch, mine[member.variant.metric]):
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
                member.result = Finished(member.variant, self._outcome(member, epoch), weights)
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

    def _outcome(self, member: _Member, epoch: int) -> Outcome:
        return Outcome(
            variant_id=member.variant.id,
            status="finished",
            score=member.score,
            metrics=member.metrics,
            curves=member.curves,
            best_epoch=member.best_epoch,
            epochs=epoch + 1,
            steps=(epoch + 1) * self.steps,
            seconds=member.seconds,
            fleet=self.label,
        )

    def _failed(self, member: _Member, epoch: int, step: int) -> Finished:
        lr = member.rates[epoch * self.steps + step]
        reason = (
            f"diverged: the loss was not finite at step {step + 1} of epoch {epoch + 1} (learning rate {lr:.3g}); "
            "lower the learning rate or clip gradients with train.clip_norm"
        )
        outcome = Outcome(
            variant_id=member.variant.id,
            status="failed",
            reason=reason,
            curves=member.curves,
            epochs=epoch + 1,
            steps=(epoch + 1) * self.steps,
            seconds=member.seconds,
            fleet=self.label,
        )
        return Finished(member.variant, outcome, None)

    def _best(self) -> float:
        scores = [m.score for m in self.members if not math.isnan(m.score)]
        if not scores:
            return math.nan
        return max(scores) if HIGHER_IS_BETTER[self.members[0].variant.metric] else min(scores)


def _improves(member: _Member, metrics: dict[str, float]) -> bool:
    """Whether these weights are the member's best: a better score, or the same score with a lower loss (accuracy has many
    ties).
    """
    score = metrics[member.variant.metric]
    if math.isnan(member.score):
        return True
    if score == member.score:
        return metrics["loss"] < member.tie_break
    return (score > member.score) == HIGHER_IS_BETTER[member.variant.metric]


def _should_leave(member: _Member, epoch: int, score: float) -> bool:
    if epoch + 1 == member.variant.train.epochs:
        return True
    stopping = member.variant.train.early_stopping
    if stopping is None:
        return False
    gain = score - member.reference if HIGHER_IS_BETTER[member.variant.metric] else member.reference - score
    if math.isnan(member.reference) or gain > float(stopping.min_delta):
        member.reference, member.waited = score, 0
    else:
        member.waited += 1
    return member.waited >= int(stopping.patience)


def _order(seed: int, epoch: int, num_rows: int) -> Tensor:
    """The order of the training rows in one epoch, a function of seed and epoch alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(num_rows, generator=generator)


def _resolved_batch(variant: Variant) -> int:
    return int(variant.train.batch_size)


def make_lanes(variants: Sequence[Variant], task: str, dtype: torch.dtype) -> Lanes:
    """The lane settings of a fleet as tensors. What is off for all of them is None."""
    trains = [v.train for v in variants]

    def column(values: Iterator[float] | Sequence[float]) -> Tensor:
        return torch.tensor([float(v) for v in values], dtype=torch.float64).to(dtype)

    def optional(name: str) -> Tensor | None:
        values = column([getattr(t, name) for t in trains])
        return values if bool((values != 0).any()) else None

    kind = trains[0].optimizer.kind
    method = OPTIMIZERS[kind]
    settings = {n: column([getattr(t.optimizer, n) for t in trains]).unsqueeze(1) for n in method.settings}
    settings = {n: values for n, values in settings.items() if n not in method.optional or bool((values != 0).any())}
    clips = column([math.inf if t.clip_norm is None else t.clip_norm for t in trains])
    loss = trains[0].loss
    l1, l2 = optional("l1"), optional("l2")
    return Lanes(
        optimizer=kind,
        loss={"classification": "cross_entropy", "regression": "mse"}[task] if loss == "auto" else loss,
        settings=settings,
        smoothing=optional("label_smoothing"),
        l1=None if l1 is None else l1.unsqueeze(1),
        l2=None if l2 is None else l2.unsqueeze(1),
        clip_norm=clips if bool(torch.isfinite(clips).any()) else None,
    )
