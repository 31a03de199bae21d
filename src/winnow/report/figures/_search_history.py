"""The search, trial by trial."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.report import _format as fmt
from winnow.report._caveats import outside
from winnow.report._focus import scored, search_focus
from winnow.report._sentences import say
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._style import BLUE, GREY, ORANGE, blank, error_bars, label, translucent
from winnow.study import LeaderRecord, SearchRecord, TrialRecord

__all__ = ["SearchHistory"]


class SearchHistory(BaseFigure[SearchRecord]):
    """Score by trial with the best so far, the leaders with their intervals on fresh seeds, failed
    trials along the foot.
    """

    name: ClassVar[str] = "search_history"
    document = SearchRecord

    def draw(self, search: SearchRecord, /) -> go.Figure:
        trials = scored(search)
        metric = fmt.words(search.metric or "score")
        is_higher_better = search.higher_is_better is not False
        figure = blank(380)
        _add_trials(figure, trials, metric, is_higher_better)
        _add_leaders(figure, search.leaders, metric)
        _add_failed(figure, [trial for trial in search.trials if trial.status == "failed"])
        figure.update_xaxes(title_text="trial", showgrid=False)
        figure.update_yaxes(title_text=f"{metric}, validation rows")
        window = search_focus(search)
        if window:
            figure.layout.yaxis.range = window
        return figure

    def alternative(self, search: SearchRecord, /) -> str:
        return "Score of each trial, with the best so far and the leaders' intervals on fresh seeds"

    def caption(self, search: SearchRecord, /) -> Markup:
        text = say("Score by trial. ")
        if search.leaders:
            interval = search.leaders[0].interval
            confidence = 0.95 if interval is None else interval.confidence or 0.95
            text += say(
                "Diamonds: the leaders on fresh seeds, with {} intervals over seeds, on the same "
                "validation rows.",
                fmt.level(confidence),
            )
        hidden = outside(search)
        return text + say(" {}", hidden) if hidden else text


def _add_trials(
    figure: go.Figure,
    trials: Sequence[tuple[TrialRecord, float]],
    metric: str,
    is_higher_better: bool,
) -> None:
    """Add a dot for each trial, and the line of the best so far."""
    numbers = [trial.number for trial, _ in trials]
    scores = [score for _, score in trials]
    figure.add_scatter(
        x=numbers,
        y=scores,
        mode="markers",
        name="trial",
        marker={"color": translucent(BLUE, 0.8), "size": 7},
        text=[_described(trial) for trial, _ in trials],
        hovertemplate=f"trial %{{x}}: {metric} %{{y:.4g}}<br>%{{text}}<extra></extra>",
    )
    figure.add_scatter(
        x=numbers,
        y=list(itertools.accumulate(scores, max if is_higher_better else min)),
        mode="lines",
        name="best so far",
        line={"color": BLUE, "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
    )


def _described(trial: TrialRecord) -> str:
    """Return the settings of a trial, one below the other."""
    lines = [f"{label(path)}: {label(fmt.value(value))}" for path, value in trial.values.items()]
    return "<br>".join(lines)


def _add_leaders(figure: go.Figure, leaders: Sequence[LeaderRecord], metric: str) -> None:
    """Add a diamond with error bars for each leader that was scored on fresh seeds."""
    shown = [
        (leader.trial, leader.interval)
        for leader in leaders
        if leader.interval is not None and fmt.finite(leader.interval.mean)
    ]
    if not shown:
        return
    intervals = [interval for _, interval in shown]
    figure.add_scatter(
        x=[trial for trial, _ in shown],
        y=[interval.mean for interval in intervals],
        mode="markers",
        name="leader, trained again on fresh seeds",
        marker={"color": ORANGE, "size": 9, "symbol": "diamond"},
        error_y=error_bars(intervals, ORANGE),
        text=[fmt.interval(interval) for interval in intervals],
        hovertemplate=f"trial %{{x}} on fresh seeds<br>{metric} %{{text}}<extra></extra>",
    )


def _add_failed(figure: go.Figure, failed: Sequence[TrialRecord]) -> None:
    """Add a cross for each failed trial, along the foot of the figure."""
    if not failed:
        return
    figure.add_scatter(
        x=[trial.number for trial in failed],
        y=[0.02] * len(failed),  # on a second axis: a failed trial has no score
        yaxis="y2",
        mode="markers",
        name="failed",
        marker={"color": GREY, "size": 7, "symbol": "x"},
        text=[label(trial.reason or "no reason recorded", 120) for trial in failed],
        hovertemplate="trial %{x} failed<br>%{text}<extra></extra>",
    )
    figure.layout.yaxis2 = {
        "overlaying": "y",
        "range": [0, 1],
        "visible": False,
        "fixedrange": True,
    }
