"""Compress: the same model smaller and faster, as long as it stays as good."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from winnow.bundle import BATCH_SIZES, export_onnx, inference_copy, measure_parity
from winnow.compression._attempts import try_all
from winnow.compression._candidates import Float32, candidates_of
from winnow.compression._choice import Prefer, choose, confidence_for
from winnow.compression._compressed import CompressionResult, Ingredients
from winnow.compression._latency import LatencyTiming
from winnow.compression._notes import notes
from winnow.compression._score_loss import Judge
from winnow.compression._trial import CompressionTrial, Criterion, eager_call, onnx_call
from winnow.data import PreparedData
from winnow.methods import COMPRESSORS, BaseCompressor, ExportedModel, Int8, in_order
from winnow.metrics import METRICS
from winnow.recipe import Recipe, is_own_metric, made
from winnow.records import keep
from winnow.threads import threads_of_torch
from winnow.trees import Tree

__all__ = ["TrainedModel", "compress", "compress_module", "compressors_of"]

_SUM_TOLERANCE = 1e-3  # of outputs that look like probabilities, from 1


class _Ledger(Protocol):
    def put_document(self, name: str, content: dict[str, Any], /) -> Any: ...
    def get_document(self, name: str, /) -> Mapping[str, Any] | None: ...


class _Workspace(Protocol):
    @property
    def ledger(self) -> _Ledger: ...


class TrainedModel(Protocol):
    """What compression needs of ``winnow.study.TrainingResult``."""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def prepared(self) -> PreparedData: ...
    @property
    def metric(self) -> str: ...
    @property
    def workspace(self) -> _Workspace: ...

    def module(self, i: int | None = None, /) -> nn.Module:
        """Return the trained member that ships."""


def compress(
    trained: TrainedModel, *, budget: float | None = None, timing: LatencyTiming | None = None
) -> CompressionResult:
    """Export the trained model that ships, compress it, measure every form of it, and choose.

    A compressed model is chosen only where the rows show that it keeps the budgets and that it
    brings what the recipe prefers.

    Args:
        trained: what ``winnow.train`` gave.
        budget: in place of the recipe's ``compress.budget``: the largest loss of the score that is
            accepted on the validation rows; for rmse and mae as a share of the score.
        timing: how much is measured; None: about 6 s in all.

    Raises:
        ModelError: the model cannot be exported to ONNX.
        RecipeError: a compressor of the recipe cannot be found, or refuses its arguments.
    """
    recipe = trained.recipe
    compressed = compress_module(
        trained.module(),
        trained.prepared,
        metric=trained.metric,
        budget=recipe.compress.budget if budget is None else budget,
        log_loss_budget=recipe.compress.log_loss_budget,
        prefer=recipe.compress.prefer,
        methods=compressors_of(recipe),
        timing=timing,
        model=recipe.model.model_dump(mode="json"),
        recipe_yaml=recipe.to_yaml(),
    )
    keep(trained.workspace.ledger, compressed.record)
    return compressed


def compressors_of(recipe: Recipe) -> list[BaseCompressor]:
    """Return the compressors that a recipe names, with their settings.

    Raises:
        RecipeError: one cannot be found, is none, or refuses its arguments.
    """
    return [
        made(record, COMPRESSORS, BaseCompressor, f"compress.methods[{i}]")
        for i, record in enumerate(recipe.compress.methods)
    ]


def compress_module(
    module: nn.Module,
    prepared: PreparedData,
    *,
    metric: str,
    budget: float,
    log_loss_budget: float = 0.02,
    prefer: Prefer = "speed",
    methods: Sequence[BaseCompressor] = (Int8(),),
    timing: LatencyTiming | None = None,
    model: Mapping[str, Any] | None = None,
    recipe_yaml: str | None = None,
) -> CompressionResult:
    """Compress any trained module, as ``compress`` does.

    The budgets are decided on the validation rows, never on the test rows, by the upper end of the
    interval of each loss. A loss over its budget should then ship in at most 5 % of cases, however
    many compressors are tried: more than two candidates are judged by wider intervals (Bonferroni).
    That two budgets must be kept needs no correction. Simulations with noise on every row and with
    rare rows that get other rows' answers found no more for a true loss of 1.5 budgets. As many
    rows as those seen cannot exclude are taken to lose what a model loses that knows nothing of
    them, so it takes some hundred rows or more before anything but float32 can ship; rows that lose
    still more are not covered where none was seen.

    Latency is measured on this machine, on one thread unless ``timing`` says otherwise, against
    eager PyTorch and against ONNX Runtime with the same float32 model.

    Args:
        module: with its trained weights; left unchanged.
        prepared: the rows it was trained on; calibration takes training rows.
        metric: the score, never ``auto``.
        budget: largest loss of the score that is accepted; for rmse and mae as a share of the
            score. Not negative.
        log_loss_budget: for classifiers, largest rise of the log loss in nats, since probabilities
            are served; not looked at where log_loss is the metric, which has ``budget``.
        prefer: ``speed``: a compressed model ships when it is shown to be faster than float32 in
            ONNX Runtime; ``size``: when it is smaller by at least a tenth and 20 kB, also where it
            is slower.
        methods: the compressors to try.
        timing: how much is measured; None: about 6 s in all.
        model: how the model was made, for the bundle.
        recipe_yaml: the recipe, for the bundle.

    Raises:
        ModelError: the model cannot be exported to ONNX, or its score is not defined on the
            validation rows.
        ValueError: for a budget below 0, an unknown metric, or a compressor given twice.

    Example:
        >>> import winnow
        >>> prepared = winnow.data.prepare(winnow.Data(source="sklearn:iris"))
        >>> module = nn.Linear(4, 3)  # trained, in earnest
        >>> quick = LatencyTiming(seconds=0.05)
        >>> found = compress_module(module, prepared, metric="accuracy", budget=0.1, timing=quick)
        >>> [candidate.name for candidate in found.candidates]
        ['eager', 'onnx', 'int8', 'int8 dynamic']
        >>> found.chosen  # a model so small does not become smaller
        'onnx'
    """
    _check_arguments(metric, budget, log_loss_budget, prefer)
    turns = in_order(methods)
    # What may be tried counts, not what will be: the rows must not decide how strictly they judge.
    confidence = confidence_for(sum(map(len, turns)))
    timing = timing or LatencyTiming()
    float32 = _export(module, prepared, timing.threads)
    judge = _judge(prepared, metric, confidence)
    criteria = _criteria(judge, budget, log_loss_budget)
    with threads_of_torch(timing.threads), torch.inference_mode():
        trial = CompressionTrial(
            float32.eager, prepared.validation.X, criteria, prepared.preparation
        )
        exported = ExportedModel(float32.onnx, prepared.train.X, float32.module)
        attempts = try_all(trial, exported, turns, threads=timing.threads)
        candidates = candidates_of(
            trial, float32, attempts.made, timing=timing, prefer=prefer, confidence=confidence
        )
    chosen = choose(candidates, prefer=prefer)
    verdicts = tuple(notes(candidates, chosen))
    return CompressionResult(
        metric=metric,
        budget=budget,
        prefer=prefer,
        allowed=trial.allowed,
        higher_is_better=judge.higher_is_better,
        candidates=tuple(candidates),
        declined=attempts.declined,
        chosen=chosen.name,
        notes=(*_warnings(trial.reference_outputs, prepared), *attempts.notes, *verdicts),
        verdict_notes=verdicts,
        rows=len(prepared.validation.X),
        threads=timing.threads,
        ingredients=_ingredients(
            float32, prepared, model or {"use": type(module).__name__}, recipe_yaml
        ),
    )


def _export(module: nn.Module, prepared: PreparedData, threads: int) -> Float32:
    eager = inference_copy(module)
    onnx = export_onnx(eager, prepared.inputs, example=_example(prepared))
    return Float32(
        module=eager,
        eager=eager_call(eager),
        weights={name: tensor.numpy() for name, tensor in eager.state_dict().items()},
        onnx=onnx,
        session=onnx_call(onnx, threads),
    )


def _example(prepared: PreparedData) -> Tree:
    """Return rows on which the exported model is compared with PyTorch."""
    return prepared.validation.X[: max(BATCH_SIZES)]


def _ingredients(
    float32: Float32,
    prepared: PreparedData,
    model: Mapping[str, Any],
    recipe_yaml: str | None,
) -> Ingredients:
    """Return what a bundle holds besides the model that ships."""
    parity = measure_parity(
        float32.module, float32.onnx, prepared.inputs, example=_example(prepared)
    )
    num_parameters = sum(parameter.numel() for parameter in float32.module.parameters())
    return Ingredients(
        preparation=prepared.preparation,
        weights=float32.weights,
        parity=parity,
        model={**model, "parameters": num_parameters},
        recipe_yaml=recipe_yaml,
    )


def _check_arguments(metric: str, budget: float, log_loss_budget: float, prefer: str) -> None:
    for name, value in (("budget", budget), ("log_loss_budget", log_loss_budget)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"`{name}` must be at least 0, got {value!r}")
    if prefer not in get_args(Prefer):
        ways = ", ".join(get_args(Prefer))
        raise ValueError(f"expected `prefer` to be one of {ways}, got {prefer!r}")
    known = [one.name for one in METRICS]
    if metric not in known and not is_own_metric(metric):
        raise ValueError(f"expected a metric of {', '.join(known)}, got {metric!r}")


def _criteria(judge: Judge, budget: float, log_loss_budget: float) -> list[Criterion]:
    """Return what must not get much worse, the score first."""
    criteria = [Criterion(judge, budget)]
    if judge.task == "classification" and judge.metric != "log_loss":
        criteria.append(Criterion(replace(judge, metric="log_loss"), log_loss_budget))
    return criteria


def _judge(prepared: PreparedData, metric: str, confidence: float) -> Judge:
    """Return the judge of the validation rows, in the units of the target."""
    y, decode = prepared.validation.y, prepared.preparation.decode
    if prepared.task == "regression":
        in_units = decode(y.reshape(-1, 1).astype(np.float64))
        y = np.asarray(in_units, dtype=np.float64).reshape(-1)
    return Judge(metric, prepared.task, y, decode, confidence)


def _warnings(outputs: NDArray[Any], prepared: PreparedData) -> list[str]:
    """Return what is to be said of the outputs of the trained model."""
    if prepared.task != "classification" or outputs.min() < 0:
        return []
    if np.abs(outputs.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        return []
    return [
        "the model's outputs look like probabilities, and prediction applies a softmax of its "
        "own: leave out the model's"
    ]
