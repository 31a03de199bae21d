"""Variants and outcomes: what is asked of training, and what training answers."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import model_validator

from winnow.errors import Problem, RecipeError
from winnow.recipe import _names, _space
from winnow.recipe._metrics import is_own_metric, metric_of
from winnow.recipe._ready import READY
from winnow.recipe._settings import Data, Model, Train
from winnow.recipe._used import USUAL
from winnow.spec import Index, Seed, Settings

__all__ = [
    "Cause",
    "Outcome",
    "Status",
    "Variant",
]

Status = Literal["finished", "failed"]

Cause = Literal["variant", "environment"]

OPTIONAL = (
    "classes",
    "version",
    "encoding",
    "separator",
    "decimal",
    "dates",
    "rare_below",
    "weights",
)  # settings of data that count where they are given

# and of training
OPTIONAL_OF_TRAINING = (
    "augment",
    "penalties",
    "auxiliary_losses",
    "teacher",
    "gradient_rules",
    "averaging",
)


class Variant(Settings):
    """A recipe with nothing open, plus the seed: exactly one training run, anywhere, any time.

    ``metric`` is the score that early stopping and the choice of the epoch go by. ``context`` is a
    digest of what the settings
    only name: the rows of the data and the source of the model. Two variants with the same ``id``
    give the same outcome.
    """

    data: Data
    model: Model
    train: Train
    metric: str  # resolved: never "auto"
    seed: Seed
    fold: Index | None = None
    context: str = ""

    @model_validator(mode="after")
    def _nothing_is_open(self) -> Self:
        problems = [
            Problem(path, "still open, and a variant has nothing open")
            for path in _space.find(self)
        ]
        if not is_own_metric(self.metric):  # one from elsewhere is looked for when it is used
            try:
                metric_of(self.metric)
            except RecipeError as error:
                problems += error.problems
        if problems:
            raise RecipeError(problems)
        return self

    @cached_property
    def id(self) -> str:
        """First 20 hex digits of the SHA-256 of the canonical form."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:20]

    def canonical(self) -> str:
        """Return JSON that is the same for every way of writing this variant down: defaults written
        out, keys sorted.

        Without what changes no number, and what only some sources have where it is not given: the
        ids of older ledgers still hold. A file stands without its folder, since the same file may
        be named from another place; ``context`` holds what is in it.
        """
        absent: dict[str, Any] = {
            name: True for name in OPTIONAL if getattr(self.data, name) is None
        }
        if self.data.rare_classes == "error":
            absent["rare_classes"] = True
        if self.data.split.order_by is None:
            absent["split"] = {"order_by"}
        prepare = {name for name in ("scale", "steps") if not getattr(self.data.prepare, name)}
        if prepare:
            absent["prepare"] = prepare
        train: dict[str, Any] = {
            name: True for name in OPTIONAL_OF_TRAINING if not getattr(self.train, name)
        }
        if isinstance(self.train.early_stopping, USUAL):
            train["early_stopping"] = {"kind"}
        model = set() if self.model.start else {"start"}
        content = self.model_dump(
            mode="json",
            exclude={"data": {"workers": True, **absent}, "train": train, "model": model},
        )
        for named in (content["model"], content["train"].get("teacher") or {}):
            _without_folders(named.get("start") or {})
        if _names.is_file(self.data.source):
            content["data"]["source"] = re.split(r"[/\\]", self.data.source)[-1]
        if self.model.use in READY:
            content["model"]["args"] = READY[self.model.use](**self.model.args).model_dump(
                mode="json"
            )
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _without_folders(start: dict[str, Any]) -> None:
    """Let files of tensors go by their names: ``context`` holds what is in them."""
    for setting in ("weights", "masks"):
        if start.get(setting) is not None:
            start[setting] = re.split(r"[/\\]", start[setting])[-1]


@dataclass(frozen=True)
class Outcome:
    """What training a variant gave.

    Attributes:
        variant_id: ``Variant.id``.
        status: ``finished``, or ``failed`` with a ``reason``.
        reason: why it failed, in a sentence; None when finished.
        cause: whose failure it was: the ``variant``'s own, which would come again (its loss
            diverged, its model raises), or the ``environment``'s, which need not (out of memory, a
            worker killed from outside, a full disk): a later run tries those again. None when
            finished.
        score: the variant's metric on the validation rows, which are cut in two halves: each half
            is scored at the epoch that the other one chose. All rows score, and none at an epoch
            that it had a part in choosing. NaN when failed.
        metrics: validation metrics of the same rows at the same epochs, by name: ``log_loss``,
            ``accuracy``, ... or ``rmse``, ...
        curves: per epoch, by name: ``train_loss``, ``validation_loss``, ``validation_<metric>``,
            ``lr``.
        best_epoch: epoch (from 0) that all validation rows together choose, whose weights are kept;
            -1 when failed. The curves say what it scored; as the best of many epochs on the rows
            that chose it, that is optimistic.
        epochs: epochs trained: with early stopping, until the two halves and all rows had each
            been stopped.
        steps: optimizer steps taken.
        seconds: this member's share of its fleet's wall time.
        weights: path of the weights, relative to the run directory, when they were kept.
        stopped: why it ended before its last epoch, by all validation rows, as ``code: text``; None
            when it did not.
        fleet: how it was trained: ``stacked x 16``, ``stacked x 16, compiled``, ``alone`` or
            ``process``.
        device: what it was trained on: ``cpu``, or the name of a GPU.
        versions: of winnow, Python and the libraries that made the numbers, by name.
        predictions_digest: of the outputs on all validation rows with the kept weights, 16 hex
            digits: the same for outputs that are the same to the bit, and else different but for
            one chance in billions. None when failed, and in older ledgers.
    """

    variant_id: str
    status: Status
    reason: str | None = None
    score: float = math.nan
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = -1
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    weights: str | None = None
    fleet: str = ""
    predictions_digest: str | None = None
    stopped: str | None = None
    cause: Cause | None = None
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status == "failed" and self.cause is None:
            object.__setattr__(self, "cause", "variant")

    @property
    def may_pass(self) -> bool:
        """Whether it failed through no fault of its own, so that trying again can help."""
        return self.cause == "environment"

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))
