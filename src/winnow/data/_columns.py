"""Fitted columns as plain data: what was learned about each column of the training rows, and
nothing else.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from winnow.methods import Curve
from winnow.recipe import Task
from winnow.trees import Input

__all__ = [
    "MAX_SIZE",
    "Block",
    "ClassKind",
    "Column",
    "Kind",
    "Target",
    "days",
    "iso_date",
    "rows_at_once",
]

Kind = Literal["number", "boolean", "category"]
ClassKind = Literal["text", "integer", "boolean", "number"]

# Features are float32: what lies beyond would turn infinite
MAX_SIZE = float(np.finfo(np.float32).max)
_EPOCH = dt.datetime(1970, 1, 1)
_MOST_ROWS = 4096
_MOST_VALUES = 2**22  # 16 MiB in single precision


@dataclass(frozen=True)
class Column:
    """One column of a table: how it is turned into features, and what was seen in the training
    rows.

    Attributes:
        name: the column's name.
        kind: ``number`` (also dates, as days since 1970), ``boolean`` (0 or 1), or ``category``
            (one feature per category).
        format: ``date``: values are dates; ``code``: the categories were whole numbers in the
            source; None otherwise.
        fill: the value that stands in for a gap (number, boolean).
        mean, scale: a number becomes ``(value - mean) / scale``; 0 and 1 when it is left as it is.
        curve: what a number becomes in place of that; None: there is none.
        indicator: one more feature, 1 where there was a gap (number).
        categories: those with a feature each.
        others: how many rarer categories share one more feature; 0: there is none, and an unseen
            category gives zeros.
        gaps: training rows without a value; a category column with gaps has a feature for them.
        missing_allowed: whether a row may leave the value open.
        minimum, maximum: of the training rows (number).
        whole: every training value was a whole number.
        typical: the median, or the most frequent value, of the training rows.
        example: the first value of the training rows.
        decimal, unit: how numbers were written in the text of the source: the mark before the
            decimals, and the currency or percent sign beside them; None where they were plain.
        dates: the form of dates in the text of the source, in strptime's letters; None: ISO 8601.
        written: a value as it stood in the text of the source, where that was neither plain numbers
            nor ISO dates.
    """

    name: str
    kind: Kind
    format: Literal["date", "code"] | None = None
    fill: float = 0.0
    mean: float = 0.0
    scale: float = 1.0
    indicator: bool = False
    categories: tuple[str, ...] = ()
    others: int = 0
    gaps: int = 0
    missing_allowed: bool = True
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False
    typical: Any = None
    example: Any = None
    decimal: Literal[".", ","] | None = None
    unit: str | None = None
    dates: str | None = None
    written: str | None = None
    curve: Curve | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features this column gives, in order."""
        if self.kind != "category":
            return (self.name, f"{self.name} (missing)") if self.indicator else (self.name,)
        own = tuple(f"{self.name}={category}" for category in self.categories)
        other = (f"{self.name} (other)",) if self.others else ()
        return own + other + ((f"{self.name} (missing)",) if self.gaps else ())

    def positions(self, values: Sequence[str | None]) -> np.ndarray:
        """For each category the number of its feature, -1 for none: an unseen category without
        ``others``, or an unknown gap.
        """
        table: dict[str | None, int] = {category: i for i, category in enumerate(self.categories)}
        other = len(self.categories) if self.others else -1
        table[None] = len(self.categories) + bool(self.others) if self.gaps else -1
        return np.fromiter((table.get(v, other) for v in values), dtype=np.int64, count=len(values))

    def schema(self) -> dict[str, Any]:
        """Return the column as forms and API documents need it; dates as ISO text."""
        show = (
            (lambda v: None if v is None else iso_date(v))
            if self.format == "date"
            else (lambda v: v)
        )
        item: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "required": True,
            "missing_allowed": self.missing_allowed,
        }
        if self.format:
            item["format"] = self.format
        item |= {
            key: value
            for key, value in (("unit", self.unit), ("written", self.written))
            if value is not None
        }
        if self.kind == "number":
            item |= {
                "minimum": show(self.minimum),
                "maximum": show(self.maximum),
                "whole": self.whole,
            }
        if self.kind == "category":
            item |= {"categories": list(self.categories), "others": self.others}
        return item | {
            "typical": show(self.typical),
            "example": show(self.example),
            "gaps": self.gaps,
        }


@dataclass(frozen=True)
class Block:
    """Rows that are arrays themselves, (C, ...), or one of several inputs that are: one mean and
    one deviation for each channel.

    Attributes:
        name: the field that holds a row's array.
        shape: of one row, (C, ...); () where a row has one value.
        mean, scale: (C,) each, or (1,) for one value; a value becomes ``(value - mean) / scale``.
            Empty for whole numbers and booleans, which stay as they are.
        curves: what a value becomes in place of that, for each channel, None where it does not;
            empty where no channel has one.
        minimum, maximum: over the training rows.
        dtype: in which the model gets it.
    """

    name: str
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    minimum: float
    maximum: float
    curves: tuple[Curve | None, ...] = ()
    dtype: str = "float32"

    @property
    def input(self) -> Input:
        """What the model gets."""
        return Input(self.shape, self.dtype)

    @property
    def kind(self) -> Literal["numbers", "whole numbers", "booleans"]:
        """What its values are, in words."""
        if self.input.is_float:
            return "numbers"
        return "booleans" if self.dtype == "bool" else "whole numbers"

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, ``x_0_0_0`` and so on, in the order of the flattened row."""
        if not self.shape:
            return (self.name,)
        return tuple(f"{self.name}_{'_'.join(map(str, place))}" for place in np.ndindex(self.shape))

    def schema(self) -> dict[str, Any]:
        """Return the block as API documents need it; ``dtype`` where that is not float32."""
        dtype = {} if self.input.is_float else {"dtype": self.dtype}
        return {
            "name": self.name,
            "kind": "array",
            "required": True,
            "missing_allowed": False,
            "shape": list(self.shape),
            **dtype,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }


@dataclass(frozen=True)
class Target:
    """What is predicted: classes in their order, or a number with the mean and deviation of the
    training rows.

    Attributes:
        name: of the target column.
        task: what kind of prediction it is.
        classes: labels as text, in the order of the model's outputs (classification).
        kind: what the labels were: ``integer`` turns ``"3"`` back into 3 (classification).
        mean, scale: the model is trained on ``(value - mean) / scale`` (regression).
        minimum, maximum: of the training rows (regression).
    """

    name: str
    task: Task
    classes: tuple[str, ...] = ()
    kind: ClassKind = "number"
    mean: float = 0.0
    scale: float = 1.0
    minimum: float | None = None
    maximum: float | None = None

    @staticmethod
    def label(value: Any) -> str:
        """Return the text of a class: ``3`` for 3 and 3.0, ``True``, or the text itself."""
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return str(int(value))
        return str(value)

    def values(self) -> np.ndarray:
        """Return the classes as they were in the data, (C,): text, whole numbers, booleans or
        numbers.
        """
        if self.kind == "text":
            return np.array(self.classes, dtype=object)
        if self.kind == "boolean":
            return np.array([label == "True" for label in self.classes])
        return np.array([int(x) if self.kind == "integer" else float(x) for x in self.classes])

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return class indices as int64, or standardized float32, of raw target values ``y`` (N,),
        (N,).
        """
        if self.task == "regression":
            return ((y.astype(np.float64) - self.mean) / self.scale).astype(np.float32)
        table = {label: i for i, label in enumerate(self.classes)}
        return np.array([table[self.label(value)] for value in y.tolist()], dtype=np.int64)


def rows_at_once(values: int) -> int:
    """Return rows of so many values that are held at once where a whole part is gone through piece
    by piece: at most 4096, and 16 MiB.
    """
    return max(1, min(_MOST_ROWS, _MOST_VALUES // max(1, values)))


def days(value: Any) -> float:
    """Return days since 1970-01-01 (UTC) of a date, a datetime, ISO text or a number of days; NaN
    for None.

    Raises:
        ValueError: for anything else.
    """
    if value is None:
        return math.nan
    if isinstance(value, np.datetime64):
        return (
            math.nan
            if np.isnat(value)
            else float(value.astype("datetime64[us]").astype(np.int64)) / 86_400e6
        )
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value.strip().replace("/", "-"))
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return (value - _EPOCH) / dt.timedelta(days=1)
    if isinstance(value, dt.date):
        return float((value - _EPOCH.date()).days)
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        raise ValueError(f"expected a date, got {type(value).__name__}")
    return float(value)


def iso_date(value: float) -> str:
    """Return ISO text of a number of days since 1970: a date, with the time of day when there is
    one.
    """
    moment = _EPOCH + dt.timedelta(days=value)
    moment = moment.replace(microsecond=0)
    return moment.date().isoformat() if moment.time() == dt.time() else moment.isoformat()
