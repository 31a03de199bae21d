"""Figures of the answer: the ablation as a forest plot, test metrics, confusion, predictions,
compression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from winnow.compression import CompressionRecord, LatencyRecord
from winnow.evaluation import EvaluationRecord, ScatterRecord
from winnow.report import _format as fmt
from winnow.report._errors import NothingToDraw
from winnow.report._style import (
    BLUE,
    GREY,
    ORANGE,
    TEAL,
    VERDICTS,
    blank,
    error_bars,
    fold,
    label,
    labels,
    translucent,
)
from winnow.study import AblationRecord, ComparisonRecord

__all__ = ["compression", "confusion", "forest", "metrics", "truth_scatter"]


def forest(ablation: AblationRecord) -> go.Figure:
    """Each part's mean effect with its interval, the largest help on top; the band is the smallest
    effect of interest.

    Args:
        ablation: the document ``ablation``. Right of zero the part helps, left of it the part
            hurts.

    Raises:
        NothingToDraw: no part was compared.
    """
    rows = [c for c in ablation.comparisons if fmt.finite(c.mean)]
    if not rows:
        raise NothingToDraw("No part could be compared, so there is no forest plot to draw.")
    rows = sorted(rows, key=lambda c: -c.mean)
    metric, smallest = (
        fmt.words(ablation.metric or "score"),
        ablation.smallest_effect or 0,
    )
    figure = blank(38 * len(rows) + 120)
    if smallest:
        band = {
            "x0": -smallest,
            "x1": smallest,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "layer": "below",
            "line": {"width": 0},
        }
        figure.add_shape(type="rect", fillcolor=translucent(GREY, 0.18), **band)
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    names = labels(c.name for c in rows)
    for verdict, (color, symbol, _, said) in VERDICTS.items():
        _add_verdict(
            figure,
            said,
            [(n, c) for n, c in zip(names, rows, strict=True) if c.verdict == verdict],
            color,
            symbol,
        )
    figure.update_layout(margin_r=190)
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=names[::-1],
        showgrid=False,
        range=[-0.6, len(rows) - 0.4],
    )
    figure.update_xaxes(title_text=f"← hurts    effect on {metric}    helps →")
    _label_rows(figure, rows, names)
    return figure


def _add_verdict(
    figure: go.Figure,
    said: str,
    named: Sequence[tuple[str, ComparisonRecord]],
    color: str,
    symbol: str,
) -> None:
    if not named:
        return
    rows = [c for _, c in named]
    figure.add_scatter(
        x=[c.mean for c in rows],
        y=[name for name, _ in named],
        mode="markers",
        name=said,
        marker={
            "color": color,
            "symbol": symbol,
            "size": 12,
            "line": {"color": color, "width": 2 if "open" in symbol else 0},
        },
        error_x=error_bars(rows, color, width=5),
        text=[
            f"{fmt.interval(c, sign=True)}, Holm p {fmt.p_value(c.p_holm)}, n = {c.n}" for c in rows
        ],
        hovertemplate="%{y}: " + said + "<br>%{text}<extra></extra>",
    )


def _label_rows(figure: go.Figure, rows: Sequence[ComparisonRecord], names: Sequence[str]) -> None:
    """The intervals as text right of the plot; on a narrow page the names stand above their
    rows instead.
    """
    common = {"xref": "paper", "showarrow": False, "xanchor": "left", "align": "left"}
    places = fmt.common_places(rows)
    wide = [
        {**common, "x": 1.015, "y": n, "text": fmt.interval(c, sign=True, decimals=places)}
        for c, n in zip(rows, names, strict=True)
    ]
    narrow = [{**common, "x": 0, "y": n, "yshift": 15, "text": n} for n in names]
    figure.layout.annotations = wide
    figure.layout.meta = {
        "narrow": {
            "annotations": narrow,
            "yaxis.showticklabels": False,
            "margin.r": 12,
            "height": 46 * len(rows) + 130,
        }
    }


def metrics(evaluation: EvaluationRecord) -> go.Figure:
    """Each metric on the test rows: one dot per final seed, the mean with its interval below, a
    ring around the shipped model.

    Raises:
        NothingToDraw: no metric was measured.
    """
    shown = [
        (name, i) for name, i in evaluation.metrics.items() if i is not None and fmt.finite(i.mean)
    ]
    if not shown:
        raise NothingToDraw("No metric was measured on the test rows.")
    figure = blank(300)
    for i, (name, interval) in enumerate(shown):
        axes = {
            "xaxis": f"x{i + 1}" if i else "x",
            "yaxis": f"y{i + 1}" if i else "y",
            "showlegend": i == 0,
        }
        per_seed = list(evaluation.per_seed.get(name, ()))
        _add_metric(figure, name, interval, per_seed, evaluation.shipped.get(name), axes)
        suffix = str(i + 1) if i else ""
        ticks = {
            "tickvals": [0],
            "ticktext": [label(fmt.words(name))],
            "range": [-1, 1],
            "showgrid": False,
            "fixedrange": True,
        }
        figure.update_layout({f"yaxis{suffix}": ticks, f"xaxis{suffix}": {"nticks": 6}})
    fold(figure, len(shown), columns=2, row_pixels=52, gap_x=0.25, gap_pixels=34)
    return figure


def _add_metric(
    figure: go.Figure,
    name: str,
    interval: fmt.Shown,
    per_seed: Any,
    shipped: Any,
    axes: Any,
) -> None:
    said = fmt.words(name)
    figure.add_scatter(
        x=per_seed,
        y=[0.4] * len(per_seed),
        mode="markers",
        name="one final seed",
        marker={"color": translucent(BLUE, 0.7), "size": 8},
        hovertemplate=f"{said} %{{x:.5g}}<extra></extra>",
        **axes,
    )
    figure.add_scatter(
        x=[interval.mean],
        y=[-0.4],
        mode="markers",
        name="mean and interval",
        marker={"color": ORANGE, "size": 9, "symbol": "diamond"},
        error_x=error_bars([interval], ORANGE),
        text=[fmt.interval(interval)],
        hovertemplate=f"{said} %{{text}}<extra></extra>",
        **axes,
    )
    if fmt.finite(shipped):
        ring = {"color": BLUE, "size": 14, "symbol": "circle-open", "line": {"width": 1.8}}
        figure.add_scatter(
            x=[shipped],
            y=[0.4],
            mode="markers",
            name="shipped",
            marker=ring,
            hoverinfo="skip",
            **axes,
        )


def confusion(evaluation: EvaluationRecord) -> go.Figure:
    """Counts of truth (rows) against prediction (columns); the color is the share of the row.

    Raises:
        NothingToDraw: the task has no classes.
    """
    counts = [list(row) for row in evaluation.confusion or ()]
    if not counts:
        raise NothingToDraw("There is no confusion matrix: the task has no classes.")
    classes = labels(evaluation.classes or range(len(counts)), 18)
    shares = [[n / sum(row) if sum(row) else 0.0 for n in row] for row in counts]
    figure = blank(min(620, 150 + 40 * len(classes)), showlegend=False)
    for name, color, right in (("right", BLUE, True), ("wrong", ORANGE, False)):
        # At most 60 % of the color: text in the page's ink stays readable on it, light or dark. A
        # single wrong row shows.
        least = 0.05 if right else 0.2
        figure.add_heatmap(
            name=name,
            z=[
                [x if (i == j) is right and (x or right) else None for j, x in enumerate(row)]
                for i, row in enumerate(shares)
            ],
            x=classes,
            y=classes,
            zmin=0,
            zmax=1,
            colorscale=[[0, translucent(color, least)], [1, translucent(color, 0.6)]],
            showscale=False,
            xgap=1,
            ygap=1,
            hoverongaps=False,
            customdata=counts,
            hovertemplate="truth %{y}, predicted %{x}<br>%{customdata} rows, %{z:.1%} of this "
            "truth<extra></extra>",
        )
    if len(classes) <= 20:
        figure.layout.annotations = [
            {
                "x": i,
                "y": j,
                "text": str(n),
                "showarrow": False,
                "font": {"size": 12 if len(classes) <= 12 else 10},
            }
            for j, row in enumerate(counts)
            for i, n in enumerate(row)
            if n
        ]
    tick_mode = "linear" if len(classes) <= 30 else "auto"
    category = {
        "type": "category",
        "tickson": "boundaries",
        "tickmode": tick_mode,
        "constrain": "domain",
        "ticks": "",
    }
    figure.update_xaxes(title_text="predicted", constraintoward="left", **category)
    figure.update_yaxes(title_text="truth", autorange="reversed", scaleanchor="x", **category)
    figure.layout.meta = {
        "narrow": {"height": min(480, 96 + 31 * len(classes)), "margin.l": 4, "margin.r": 4}
    }
    return figure.update_layout(margin_t=10)


def truth_scatter(evaluation: EvaluationRecord) -> go.Figure:
    """Predicted against true values of test rows; on the diagonal a prediction is right.

    Raises:
        NothingToDraw: the document holds no predictions.
    """
    scatter = evaluation.scatter or ScatterRecord()
    pairs = [
        (t, p)
        for t, p in zip(scatter.truth, scatter.prediction, strict=True)
        if fmt.finite(t) and fmt.finite(p)
    ]
    if not pairs:
        raise NothingToDraw(
            "There are no predictions to draw: the task is not regression, or none was recorded."
        )
    figure = blank(440, showlegend=False)
    truth, prediction = [t for t, _ in pairs], [p for _, p in pairs]
    ends = [min(truth + prediction), max(truth + prediction)]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        name="right",
        line={"color": GREY, "width": 1.2},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=truth,
        y=prediction,
        mode="markers",
        name="test row",
        marker={"color": translucent(BLUE, 0.6), "size": 6},
        hovertemplate="truth %{x:.4g}<br>predicted %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(title_text="truth", constrain="domain", constraintoward="left")
    figure.update_yaxes(title_text="predicted", scaleanchor="x", constrain="domain")
    figure.layout.meta = {"narrow": {"height": 350}}
    return figure.update_layout(margin_t=10)


def batches(compressed: CompressionRecord) -> list[str]:
    """The batch sizes that latencies were measured at, ascending, as the document spells them."""
    found = {b for c in compressed.candidates for b in c.latency}
    return sorted(
        found, key=lambda b: (not str(b).isdigit(), int(b) if str(b).isdigit() else 0, str(b))
    )


def compression(compressed: CompressionRecord) -> go.Figure:
    """Size, and median latency by batch size (the whisker ends at the 95th percentile), of each
    candidate.

    Raises:
        NothingToDraw: there are no candidates.
    """
    candidates = compressed.candidates
    if not candidates:
        raise NothingToDraw("No candidate was measured.")
    figure = blank(240)
    panels: list[tuple[str, list[Any], list[Any]]] = [
        (
            "size, kB",
            [None if c.bytes is None else c.bytes / 1000 for c in candidates],
            [None] * len(candidates),
        )
    ]
    for batch in batches(compressed):
        timed = [c.latency.get(batch, LatencyRecord()) for c in candidates]
        panels.append(
            (
                f"ms at batch {batch}",
                [t.median_ms for t in timed],
                [t.p95_ms for t in timed],
            )
        )
    for i, (title, values, upper) in enumerate(panels):
        _add_bars(figure, i, title, candidates, values, upper, compressed.chosen)
    fold(figure, len(panels), columns=3, row_pixels=max(76, 30 * len(candidates)), gap_x=0.06)
    return figure


def _add_bars(
    figure: go.Figure, i: int, title: str, candidates: Any, values: Any, upper: Any, chosen: Any
) -> None:
    suffix = str(i + 1) if i else ""
    names = labels((c.name for c in candidates), 24)
    for name, color, wanted in (("chosen", TEAL, True), ("not chosen", GREY, False)):
        rows = [k for k, c in enumerate(candidates) if (c.name == chosen) is wanted]
        reach = [
            upper[k] - values[k] if fmt.finite(upper[k]) and fmt.finite(values[k]) else 0
            for k in rows
        ]
        figure.add_bar(
            x=[values[k] for k in rows],
            y=[names[k] for k in rows],
            orientation="h",
            name=name,
            showlegend=i == 0 and bool(rows),
            marker={"color": translucent(color, 0.85)},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": reach,
                "arrayminus": [0] * len(rows),
                "color": GREY,
                "width": 4,
            }
            if any(reach)
            else None,
            hovertemplate=f"%{{y}}: %{{x:.4g}} {label(title)}<extra></extra>",
            xaxis=f"x{suffix}",
            yaxis=f"y{suffix}",
        )
    y_axis = {
        "categoryorder": "array",
        "categoryarray": names[::-1],
        "showgrid": False,
        "showticklabels": i % 3 == 0,
    }
    figure.update_layout(
        {
            f"yaxis{suffix}": y_axis,
            f"xaxis{suffix}": {"title": {"text": title}, "rangemode": "tozero", "nticks": 5},
        }
    )
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.layout.meta = {
        "narrow": {**figure.layout.meta["narrow"], f"yaxis{suffix}.showticklabels": True}
    }
