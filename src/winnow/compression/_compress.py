"""Compress: the same model smaller and faster, as long as it stays as good."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, get_args

import numpy as np
import torch
from torch import nn

from winnow.bundle import BATCH_SIZES, export_onnx, inference_copy, measure_parity
from winnow.compression._choice import Prefer, choose
from winnow.compression._compressed import CompressionResult, Ingredients
from winnow.compression._judge import Judge
from winnow.compression._latency import LatencyTiming
from winnow.compression._notes import notes
from winnow.compression._trial import (
    NOT_TRIED,
    CompressionTrial,
    eager_call,
    measure,
    onnx_call,
    try_int8,
)
from winnow.data import PreparedData
from winnow.metrics import METRICS
from winnow.recipe import Recipe, is_own_metric
from winnow.records import keep
from winnow.threads import threads_of_torch

__all__ = ["TrainedModel", "compress", "compress_module"]

_SUM_TOLERANCE = 1e-3  # of outputs that look like probabilities, from 1


class _Ledger(Protocol):
    def put_document(self, name: str, content: dict[str, Any], /) -> Any: ...
    def get_document(self, name: str, /) -> Mapping[str, Any] | None: ...


class _Workspace(Protocol):
    @property
    def ledger(self) -> _Ledger: ...


class TrainedModel(Protocol):
    """What compression needs of ``winnow.study.TrainedModel``."""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def prepared(self) -> PreparedData: ...
    @property
    def metric(self) -> str: ...
    @property
    def workspace(self) -> _Workspace: ...

    def module(self, i: int | None = None, /) -> nn.Module:
        """The trained member that ships."""


def compress(
    trained: TrainedModel, *, budget: float | None = None, timing: LatencyTiming | None = None
) -> CompressionResult:
    """Export the trained model that ships, quantize it, measure both, and choose.

    int8 is chosen only where the rows show that it keeps the budgets and that it brings what the
    recipe prefers.

    Args:
        trained: what ``winnow.train`` gave.
        budget: in place of the recipe's ``compress.budget``: the largest loss of the score that is
            accepted on the validation rows; for rmse and mae as a share of the score.
        timing: how much is measured.

    Raises:
        ModelError: the model cannot be exported to ONNX.
    """
    recipe = trained.recipe
    compressed = compress_module(
        trained.module(),
        trained.prepared,
        metric=trained.metric,
        budget=recipe.compress.budget if budget is None else budget,
        log_loss_budget=recipe.compress.log_loss_budget,
        prefer=recipe.compress.prefer,
        int8=recipe.compress.int8,
        timing=timing,
        model=recipe.model.model_dump(mode="json"),
        recipe_yaml=recipe.to_yaml(),
    )
    keep(trained.workspace.ledger, compressed.record)
    return compressed


def compress_module(
    module: nn.Module,
    prepared: PreparedData,
    *,
    metric: str,
    budget: float,
    log_loss_budget: float = 0.02,
    prefer: Prefer = "speed",
    int8: bool = True,
    timing: LatencyTiming | None = None,
    model: Mapping[str, Any] | None = None,
    recipe_yaml: str | None = None,
) -> CompressionResult:
    """``compress`` for any trained module.

    The budgets are decided on the validation rows, never on the test rows, by the upper end of the
    95 % interval of each loss. A loss over its budget should then pass in about 2.5 % of cases, and
    in at most twice as many where static and dynamic int8 are both tried (Bonferroni); that two
    budgets must be kept needs no correction. Simulations with noise on every row and with rare rows
    that get other rows' answers found no more for a true loss of 1.5 budgets. As many rows as those
    seen cannot exclude are taken to lose what a model loses that knows nothing of them, so it takes
    some hundred rows or more before int8 can ship; rows that lose still more are not covered where
    none was seen. Latency is measured on this machine, on one thread unless ``timing`` says
    otherwise, against eager PyTorch and against ONNX Runtime with the same float32 model. When
    static int8 fails, reaches less than half of the weights, misses the budget or is not smaller,
    dynamic int8 is tried as well.

    Args:
        module: with its trained weights; left unchanged.
        prepared: the rows it was trained on; calibration takes training rows.
        metric: the score, never ``auto``.
        budget: largest loss of the score that is accepted; for rmse and mae as a share of the
            score. Not negative.
        log_loss_budget: for classifiers, largest rise of the log loss in nats, since probabilities
            are served; not looked at where log_loss is the metric, which has ``budget``.
        prefer: ``speed``: int8 ships when it is shown to be faster than float32 in ONNX Runtime;
            ``size``: when it is smaller by at least a tenth and 20 kB, also where it is slower.
        int8: whether to quantize.
        timing: how much is measured; None: about 6 s in all.
        model: how the model was made, for the bundle.
        recipe_yaml: the recipe, for the bundle.

    Raises:
        ModelError: the model cannot be exported to ONNX, or its score is not defined on the
            validation rows.
        ValueError: for a budget below 0 or an unknown metric.
    """
    for name, value in (("budget", budget), ("log_loss_budget", log_loss_budget)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"`{name}` must be at least 0, got {value!r}")
    if prefer not in get_args(Prefer):
        raise ValueError(
            f"expected `prefer` to be one of {', '.join(get_args(Prefer))}, got {prefer!r}"
        )
    if metric not in {m.name for m in METRICS} and not is_own_metric(metric):
        known = ", ".join(m.name for m in METRICS)
        raise ValueError(f"expected a metric of {known}, got {metric!r}")
    timing = timing or LatencyTiming()
    eager, rows = inference_copy(module), prepared.validation.X
    few = rows[: max(BATCH_SIZES)]
    onnx = export_onnx(eager, prepared.in_shape, example=few)
    judge = _judge(prepared, metric)
    is_extra = prepared.task == "classification" and metric != "log_loss"
    others = [(replace(judge, metric="log_loss"), log_loss_budget)] if is_extra else []
    with threads_of_torch(timing.threads), torch.inference_mode():
        trial = CompressionTrial(
            judge,
            budget,
            rows,
            timing,
            eager_call(eager),
            onnx_call(onnx, timing.threads),
            prepared.preparation,
            others,
        )
        tried = try_int8(trial, onnx, prepared.train.X) if int8 else NOT_TRIED
        weights = {name: t.numpy() for name, t in eager.state_dict().items()}
        candidates = measure(
            trial, onnx, sum(w.nbytes for w in weights.values()), tried.models, prefer=prefer
        )
    chosen = choose(candidates)
    verdicts = tuple(notes(candidates, chosen))
    parameters = sum(p.numel() for p in eager.parameters())
    return CompressionResult(
        metric=metric,
        budget=budget,
        prefer=prefer,
        allowed=trial.allowed,
        higher_is_better=judge.higher_is_better,
        candidates=tuple(candidates),
        chosen=chosen.name,
        notes=(*_warnings(trial, prepared), *tried.notes, *verdicts),
        verdict_notes=verdicts,
        rows=len(rows),
        threads=timing.threads,
        ingredients=Ingredients(
            preparation=prepared.preparation,
            weights=weights,
            parity=measure_parity(eager, onnx, prepared.in_shape, example=few),
            model={**(model or {"use": type(module).__name__}), "parameters": parameters},
            recipe_yaml=recipe_yaml,
        ),
    )


def _warnings(trial: CompressionTrial, prepared: PreparedData) -> list[str]:
    outputs = trial.reference_outputs
    if (
        prepared.task != "classification"
        or outputs.min() < 0
        or np.abs(outputs.sum(axis=1) - 1).max() > _SUM_TOLERANCE
    ):
        return []
    return [
        "the model's outputs look like probabilities, and prediction applies a softmax of its "
        "own: leave out the model's"
    ]


def _judge(prepared: PreparedData, metric: str) -> Judge:
    y, decode = prepared.validation.y, prepared.preparation.decode
    if prepared.task == "regression":
        y = np.asarray(decode(y.reshape(-1, 1).astype(np.float64)), dtype=np.float64).reshape(-1)
    return Judge(metric, prepared.task, y, decode)
