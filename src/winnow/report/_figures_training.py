"""Figures of how the answer was found: search history, slices of the ranges, learning curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from winnow.report import _format as fmt
from winnow.report._errors import NothingToDraw
from winnow.report._style import (
    BLUE,
    GREY,
    ORANGE,
    blank,
    error_bars,
    fold,
    label,
    labels,
    log_axis,
    translucent,
)
from winnow.study import FinalRecord, LeaderRecord, MemberRecord, SearchRecord, TrialRecord

__all__ = [
    "curve_focus",
    "curves",
    "focus",
    "mean_curve",
    "score_curve",
    "search_history",
    "slices",
]


def _scored(search: SearchRecord) -> list[tuple[TrialRecord, float]]:
    """The trials that have a score, with it."""
    trials = [(t, t.score) for t in search.trials if t.score is not None and fmt.finite(t.score)]
    if not trials:
        raise NothingToDraw("No trial finished, so there is no history to draw.")
    return trials


def focus(search: SearchRecord) -> tuple[float, float] | None:
    """The range of scores the search figures open with, when a few poor trials would squash the
    rest; None: all of them.

    Trials worse than 3 interquartile ranges beyond the worse quartile are left outside; zooming out
    shows them.
    """
    scores = [t.score for t in search.trials if t.score is not None and fmt.finite(t.score)]
    ends = [
        end
        for leader in search.leaders
        if leader.interval is not None
        for end in (leader.interval.low, leader.interval.high)
    ]
    higher = search.higher_is_better is not False
    return _window(
        scores, always=[e for e in ends if fmt.finite(e)], keep_low=not higher, keep_high=higher
    )


def _window(
    values: Sequence[float], *, always: Sequence[float] = (), keep_low: bool, keep_high: bool
) -> tuple[float, float] | None:
    """A range without the values more than 3 interquartile ranges beyond the quartiles; None when
    there are none, or few values.

    ``always`` lies within it; ``keep_low`` and ``keep_high`` say that nothing is far on that side.
    """
    values = sorted(values)
    if len(values) < 8:
        return None
    low, high = values[len(values) // 4], values[(3 * len(values)) // 4]
    reach = 3 * (high - low)
    kept = [
        v for v in values if (keep_low or v >= low - reach) and (keep_high or v <= high + reach)
    ]
    if len(kept) == len(values) or kept[0] == kept[-1]:
        return None
    bottom, top = min([kept[0], *always]), max([kept[-1], *always])
    pad = 0.06 * (top - bottom)
    return bottom - pad, top + pad


def _best_so_far(scores: Sequence[float], higher: bool) -> list[float]:
    best: list[float] = []
    for score in scores:
        best.append(score if not best else max(best[-1], score) if higher else min(best[-1], score))
    return best


def _described(trial: TrialRecord) -> str:
    return "<br>".join(f"{label(path)}: {label(fmt.value(v))}" for path, v in trial.values.items())


def search_history(search: SearchRecord) -> go.Figure:
    """Score by trial with the best so far, the leaders with their intervals on fresh seeds, failed
    trials along the foot.

    Args:
        search: the document ``search``.

    Raises:
        NothingToDraw: no trial finished.
    """
    trials = _scored(search)
    metric = fmt.words(search.metric or "score")
    figure = blank(380)
    numbers, scores = [t.number for t, _ in trials], [score for _, score in trials]
    figure.add_scatter(
        x=numbers,
        y=scores,
        mode="markers",
        name="trial",
        marker={"color": translucent(BLUE, 0.8), "size": 7},
        text=[_described(t) for t, _ in trials],
        hovertemplate=f"trial %{{x}}: {metric} %{{y:.4g}}<br>%{{text}}<extra></extra>",
    )
    figure.add_scatter(
        x=numbers,
        y=_best_so_far(scores, search.higher_is_better is not False),
        mode="lines",
        name="best so far",
        line={"color": BLUE, "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
    )
    _add_leaders(figure, search.leaders, metric)
    _add_failed(figure, [t for t in search.trials if t.status == "failed"])
    figure.update_xaxes(title_text="trial", showgrid=False)
    figure.update_yaxes(title_text=f"{metric}, validation rows")
    if window := focus(search):
        figure.layout.yaxis.range = window
    return figure


def _add_leaders(figure: go.Figure, leaders: Sequence[LeaderRecord], metric: str) -> None:
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
        y=[i.mean for i in intervals],
        mode="markers",
        name="leader, trained again on fresh seeds",
        marker={"color": ORANGE, "size": 9, "symbol": "diamond"},
        error_y=error_bars(intervals, ORANGE),
        text=[fmt.interval(i) for i in intervals],
        hovertemplate=f"trial %{{x}} on fresh seeds<br>{metric} %{{text}}<extra></extra>",
    )


def _add_failed(figure: go.Figure, failed: Sequence[TrialRecord]) -> None:
    if not failed:
        return
    figure.add_scatter(
        x=[t.number for t in failed],
        y=[0.02] * len(failed),  # on a second axis: a failed trial has no score
        yaxis="y2",
        mode="markers",
        name="failed",
        marker={"color": GREY, "size": 7, "symbol": "x"},
        text=[label(t.reason or "no reason recorded", 120) for t in failed],
        hovertemplate="trial %{x} failed<br>%{text}<extra></extra>",
    )
    figure.layout.yaxis2 = {
        "overlaying": "y",
        "range": [0, 1],
        "visible": False,
        "fixedrange": True,
    }


def slices(search: SearchRecord) -> go.Figure:
    """Score against the value of each range, one panel per range; leaders are diamonds.

    Raises:
        NothingToDraw: no trial finished, or the recipe left nothing open.
    """
    trials = _scored(search)
    ranges = search.ranges
    if not ranges:
        raise NothingToDraw("The recipe left nothing open, so there are no ranges to look along.")
    figure = blank(300, showlegend=False)
    leaders = {leader.trial for leader in search.leaders}
    window = focus(search)
    columns = 3
    for i, (path, spelled) in enumerate(ranges.items()):
        suffix = "" if i == 0 else str(i + 1)
        here = [(t, score) for t, score in trials if path in t.values]
        _add_slice(figure, suffix, path, spelled, here, leaders)
        y_axis: dict[str, Any] = {
            "showticklabels": i % columns == 0,
            "matches": None if i == 0 else "y",
        }
        if window:
            y_axis["range"] = window
        figure.update_layout({f"yaxis{suffix}": y_axis})
        figure.layout.meta = {
            "narrow": {**figure.layout.meta["narrow"], f"yaxis{suffix}.showticklabels": True}
        }
    fold(figure, len(ranges), columns=columns, row_pixels=150, gap_x=0.045)
    return figure.update_layout(margin_t=10)


def _add_slice(
    figure: go.Figure,
    suffix: str,
    path: str,
    spelled: Any,
    trials: Sequence[tuple[TrialRecord, float]],
    leaders: set[int],
) -> None:
    kind = next(iter(spelled)) if isinstance(spelled, Mapping) and spelled else "uniform"
    plain = kind == "choice"
    options = [fmt.option(o) for o in spelled[kind]] if plain else []
    shown = dict(zip(options, labels(options, 16), strict=True))
    taken = [t.values[path] for t, _ in trials]
    xs = [shown.get(fmt.option(v), label(fmt.option(v), 16)) for v in taken] if plain else taken
    axis: dict[str, Any] = {"title": {"text": label(path, 34)}, "showgrid": not plain}
    if plain:
        axis |= {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(shown.values()),
        }
    elif kind == "log":
        axis |= log_axis(*spelled[kind])
    figure.update_layout({f"xaxis{suffix}": axis})
    lead = [t.number in leaders for t, _ in trials]
    figure.add_scatter(
        x=xs,
        y=[score for _, score in trials],
        mode="markers",
        name=label(path),
        xaxis=f"x{suffix}",
        yaxis=f"y{suffix}",
        marker={
            "color": [ORANGE if x else translucent(BLUE, 0.6) for x in lead],
            "symbol": ["diamond" if x else "circle" for x in lead],
            "size": [9 if x else 6 for x in lead],
            "line": {"width": 0},
        },
        text=[str(t.number) for t, _ in trials],
        hovertemplate="trial %{text}: %{y:.4g} at %{x}<extra></extra>",
    )


def curves(final: FinalRecord) -> go.Figure:
    """Loss and score by epoch for every final seed (thin) and their mean (thick), with each seed's
    best weights marked.

    The mean ends with the epoch that every finished seed reached: beyond it, it would be one of
    fewer seeds.

    Raises:
        NothingToDraw: no final training finished, or it left no curves.
    """
    done = [o for o in final.outcomes if o.status == "finished" and o.curves]
    if not done:
        raise NothingToDraw("No final training left curves to draw.")
    figure = blank(360)
    score = score_curve(done)
    losses = [("train_loss", "training", ORANGE), ("validation_loss", "validation", BLUE)]
    drawn = [
        v for key, _, _ in losses for o in done for v in o.curves.get(key, ()) if fmt.finite(v)
    ]
    for key, name, color in losses:
        _add_curves(figure, "", key, f"{name} (mean)", color, done)
    # A steep start would leave the rest of a linear axis flat.
    steep = bool(drawn) and min(drawn) > 0 and max(drawn) / min(drawn) > 15
    scale = log_axis(min(drawn), max(drawn)) if steep else {}
    figure.update_layout(xaxis_title_text="epoch", yaxis={"title": {"text": "loss"}, **scale})
    if score:
        _add_curves(figure, "2", score, None, BLUE, done)
        _add_best(figure, score, done)
        name = fmt.words(score.removeprefix("validation_"))
        score_title = {"text": f"{name}, validation rows"}
        figure.update_layout(
            {
                "xaxis2": {"title": {"text": "epoch"}},
                "yaxis2": {"title": score_title, "range": curve_focus(final)},
            }
        )
    fold(figure, 2 if score else 1, columns=2, row_pixels=270, gap_x=0.12)
    return figure


def score_curve(outcomes: Sequence[MemberRecord]) -> str | None:
    """The name of the curve that holds the score: the first ``validation_...`` that is not the
    loss.
    """
    keys = [key for o in outcomes for key in o.curves]
    return next(
        (key for key in keys if key.startswith("validation_") and key != "validation_loss"), None
    )


def curve_focus(final: FinalRecord) -> tuple[float, float] | None:
    """The range the score's curves open with, when the first epochs would squash the rest;
    None: all of it.
    """
    done = [o for o in final.outcomes if o.curves]
    key = score_curve(done)
    values = [v for o in done if key for v in o.curves.get(key, ()) if fmt.finite(v)]
    return _window(values, keep_low=False, keep_high=False)


def mean_curve(outcomes: Sequence[MemberRecord], key: str) -> list[float]:
    """The mean over outcomes at each epoch that all of them reached with a finite value;
    (epochs,).
    """
    columns = [o.curves[key] for o in outcomes if o.curves.get(key)]
    rows = zip(*columns, strict=False)  # stops at the shortest, on purpose
    return [
        sum(row) / len(row) if all(fmt.finite(v) for v in row) else float("nan") for row in rows
    ]


def _add_curves(
    figure: go.Figure,
    suffix: str,
    key: str,
    name: str | None,
    color: str,
    done: Sequence[MemberRecord],
) -> None:
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    for outcome in done:
        y = list(outcome.curves.get(key, ()))
        figure.add_scatter(
            x=list(range(1, len(y) + 1)),
            y=y,
            mode="lines",
            name=f"seed {outcome.seed}",
            showlegend=False,
            line={"color": translucent(color, 0.35), "width": 1},
            hovertemplate=f"seed {outcome.seed}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            **axes,
        )
    mean = mean_curve(done, key)
    figure.add_scatter(
        x=list(range(1, len(mean) + 1)),
        y=mean,
        mode="lines",
        name=name or f"{fmt.words(key)} (mean)",
        showlegend=name is not None,
        line={"color": color, "width": 2.4},
        hovertemplate="mean, epoch %{x}: %{y:.4g}<extra></extra>",
        **axes,
    )


def _add_best(figure: go.Figure, key: str, done: Sequence[MemberRecord]) -> None:
    kept = [o for o in done if 0 <= o.best_epoch < len(o.curves.get(key, ()))]
    figure.add_scatter(
        x=[o.best_epoch + 1 for o in kept],
        y=[o.curves[key][o.best_epoch] for o in kept],
        mode="markers",
        name="weights kept, one per seed",
        marker={"color": ORANGE, "size": 7, "symbol": "diamond"},
        text=[json.dumps(o.seed) for o in kept],
        hovertemplate="seed %{text}: weights of epoch %{x}, %{y:.4g}<extra></extra>",
        xaxis="x2",
        yaxis="y2",
    )
