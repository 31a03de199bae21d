"""The search, range by range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.report import _format as fmt
from winnow.report._errors import NothingToDraw
from winnow.report._focus import scored, search_focus
from winnow.report._sentences import say
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._style import (
    BLUE,
    ORANGE,
    add_narrow,
    axis_suffix,
    blank,
    fold,
    label,
    labels,
    log_axis,
    translucent,
)
from winnow.study import SearchRecord, TrialRecord

__all__ = ["RangeSlices"]

COLUMNS = 3
ScoredTrials = Sequence[tuple[TrialRecord, float]]


class RangeSlices(BaseFigure[SearchRecord]):
    """Score against the value of each range, one panel per range; leaders are diamonds."""

    name: ClassVar[str] = "slices"
    document = SearchRecord

    def draw(self, search: SearchRecord, /) -> go.Figure:
        trials = scored(search)
        ranges = search.ranges
        if not ranges:
            raise NothingToDraw(
                "The recipe left nothing open, so there are no ranges to look along."
            )
        figure = blank(300, showlegend=False)
        leaders = {leader.trial for leader in search.leaders}
        window = search_focus(search)
        for i, (path, spelled) in enumerate(ranges.items()):
            # A range inside an option of a choice is there only where that option was taken.
            here = [(trial, score) for trial, score in trials if path in trial.values]
            _add_slice(figure, axis_suffix(i), path, spelled, here, leaders)
            _set_score_axis(figure, i, window)
        fold(figure, len(ranges), columns=COLUMNS, row_pixels=150, gap_x=0.045)
        return figure.update_layout(margin_t=10)

    def alternative(self, search: SearchRecord, /) -> str:
        return "Score of each trial against the value of each open setting"

    def caption(self, search: SearchRecord, /) -> Markup:
        return say(
            "Score against the value of each open setting, one dot per trial; diamonds are the "
            "leaders. The other settings vary too, so a slope here is a hint, not an effect."
        )


def _set_score_axis(figure: go.Figure, i: int, window: tuple[float, float] | None) -> None:
    """Give panel ``i`` the score axis of the first, with numbers in the leftmost column alone."""
    suffix = axis_suffix(i)
    axis: dict[str, Any] = {
        "showticklabels": i % COLUMNS == 0,
        "matches": None if i == 0 else "y",
    }
    if window:
        axis["range"] = window
    figure.update_layout({f"yaxis{suffix}": axis})
    # Below each other, every panel is the leftmost.
    add_narrow(figure, {f"yaxis{suffix}.showticklabels": True})


def _add_slice(
    figure: go.Figure,
    suffix: str,
    path: str,
    spelled: Any,
    trials: ScoredTrials,
    leaders: Collection[int],
) -> None:
    """Add the panel of one range.

    Args:
        figure: to add to.
        suffix: of the axes of the panel.
        path: of the setting.
        spelled: the range as a recipe spells it.
        trials: that have the setting, with their scores.
        leaders: numbers of the trials that were trained again.
    """
    axis, values = _value_axis(spelled, [trial.values[path] for trial, _ in trials])
    axis["title"] = {"text": label(path, 34)}
    figure.update_layout({f"xaxis{suffix}": axis})
    is_leader = [trial.number in leaders for trial, _ in trials]
    figure.add_scatter(
        x=values,
        y=[score for _, score in trials],
        mode="markers",
        name=label(path),
        xaxis=f"x{suffix}",
        yaxis=f"y{suffix}",
        marker={
            "color": [ORANGE if leads else translucent(BLUE, 0.6) for leads in is_leader],
            "symbol": ["diamond" if leads else "circle" for leads in is_leader],
            "size": [9 if leads else 6 for leads in is_leader],
            "line": {"width": 0},
        },
        text=[str(trial.number) for trial, _ in trials],
        hovertemplate="trial %{text}: %{y:.4g} at %{x}<extra></extra>",
    )


def _value_axis(spelled: Any, taken: Sequence[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Return the axis of a range, and the values that trials took as they stand on it."""
    kind = next(iter(spelled)) if isinstance(spelled, Mapping) and spelled else "uniform"
    if kind == "choice":
        return _choice_axis(spelled[kind], taken)
    axis = log_axis(*spelled[kind]) if kind == "log" else {}
    return {"showgrid": True, **axis}, list(taken)


def _choice_axis(spelled: Sequence[Any], taken: Sequence[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Return the axis of a choice: every option in its order, also one that no trial took."""
    options = [fmt.option(option) for option in spelled]
    shown = dict(zip(options, labels(options, 16), strict=True))
    axis = {
        "showgrid": False,
        "type": "category",
        "categoryorder": "array",
        "categoryarray": list(shown.values()),
    }
    values: list[Any] = []
    for value in taken:
        option = fmt.option(value)
        values.append(shown.get(option, label(option, 16)))
    return axis, values
