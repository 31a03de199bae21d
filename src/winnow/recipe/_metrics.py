"""Metrics by name: winnow's own, or a class from elsewhere by its import path."""

from __future__ import annotations

import inspect
import math
import re
import sys
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from winnow.errors import Problem, RecipeError, did_you_mean, nearest
from winnow.metrics import METRICS, BaseMetric, Task
from winnow.recipe import _names, _objects
from winnow.spec import describe

__all__ = [
    "Metric",
    "better",
    "is_own_metric",
    "metric_label",
    "metric_names",
    "metric_of",
    "resolve_metric",
]

_BY_NAME = {metric.name: metric for metric in METRICS}
_NAMES = ("auto", *_BY_NAME)
_ALIASES = {alias: metric.name for metric in METRICS for alias in metric.aliases}


def metric_of(name: str) -> type[BaseMetric]:
    """Return the metric that a resolved name stands for.

    Raises:
        RecipeError: a metric that is not known; a class that cannot be found, is none, or says too
            little of itself.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    if not is_own_metric(name):
        message = f"unknown metric {name!r}{did_you_mean(name, _BY_NAME)}"
        raise RecipeError([Problem("metric", message)])
    try:
        found = _objects.resolve(name)
    except _objects.ObjectNotFound as error:
        raise RecipeError([Problem("metric", str(error))]) from None
    if not (inspect.isclass(found) and issubclass(found, BaseMetric)):
        message = f"expected a subclass of winnow.metrics.BaseMetric, but {name!r} is none"
        raise RecipeError([Problem("metric", message)])
    missing = [what for what in ("task", "higher_is_better", "value") if not _has(found, what)]
    if missing:
        message = f"{name!r} does not say its {', '.join(missing)}"
        raise RecipeError([Problem("metric", message)])
    return found


def is_own_metric(name: str) -> bool:
    """Return whether a name is that of a class from elsewhere."""
    return name.startswith(_objects.PREFIX) or _objects.is_import_path(name)


def metric_names(task: Task) -> tuple[str, ...]:
    """Return the names of winnow's own metrics for a task; the first is what ``auto`` means."""
    return tuple(metric.name for metric in METRICS if metric.task == task)


def metric_label(name: str) -> str:
    """Return what people call a metric; nothing is imported for it."""
    if name in _BY_NAME:
        return _BY_NAME[name].label
    if not is_own_metric(name):
        return name.replace("_", " ")
    is_here = name.startswith(_objects.PREFIX) or name.partition(":")[0] in sys.modules
    try:
        if is_here:
            return metric_of(name).label
    except RecipeError:
        pass
    # made in another process
    return re.split(r"[:.]", re.sub(r"-[0-9a-f]{16}$", "", name))[-1]


def resolve_metric(metric: str, task: Task) -> str:
    """Return the metric that ``metric`` means for ``task``: ``auto`` is accuracy for classification
    and rmse for regression.
    """
    return metric_names(task)[0] if metric == "auto" else metric


def better(metric: str, a: float, b: float) -> bool:
    """Return whether score ``a`` beats score ``b`` on ``metric``. NaN never beats anything."""
    if math.isnan(a) or math.isnan(b):
        return not math.isnan(a)
    return a > b if metric_of(metric).higher_is_better else a < b


def _has(metric: type[BaseMetric], what: str) -> bool:
    return getattr(metric, what, None) is not getattr(BaseMetric, what, None)


# -- the setting -----------------------------------------------------------------------------------


def _named(value: Any) -> Any:
    if inspect.isclass(value) and issubclass(value, BaseMetric):
        return value.name if value in METRICS else _names.own(value, "a metric")
    if not isinstance(value, str):
        raise ValueError(f"expected the name of a metric, or its class, got {describe(value)}")
    if value in _NAMES or is_own_metric(value):
        return value
    close = _ALIASES.get(value.lower().replace(" ", "_").replace("-", "_"))
    close = close or nearest(value, _NAMES)
    hint = f" - did you mean {close!r}?" if close else ""
    raise ValueError(f"expected one of {', '.join(_NAMES)}, got {describe(value)}{hint}")


Metric = Annotated[
    Annotated[Literal[_NAMES], Tag("name")] | Annotated[str, Field(pattern=".:."), Tag("class")],  # type: ignore[valid-type]
    Discriminator(lambda value: "name" if value in _NAMES else "class"),
    BeforeValidator(_named),
]
