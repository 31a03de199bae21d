"""The final trainings, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.report import _format as fmt
from winnow.report._curves import finished, mean_curve, score_curve
from winnow.report._errors import NothingToDraw
from winnow.report._focus import curve_focus
from winnow.report._sentences import say
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._style import BLUE, ORANGE, blank, fold, log_axis, translucent
from winnow.study import FinalRecord, MemberRecord

__all__ = ["LearningCurves"]

# Curve: (what it is called, its color)
LOSSES = {"train_loss": ("training", ORANGE), "validation_loss": ("validation", BLUE)}
STEEP = 15  # times: a start so much above the end would leave the rest of a linear axis flat


class LearningCurves(BaseFigure[FinalRecord]):
    """Loss and score by epoch for every final seed (thin) and their mean (thick), with each seed's
    best weights marked.

    The mean ends with the epoch that every finished seed reached: beyond it, it would be one of
    fewer seeds.
    """

    name: ClassVar[str] = "curves"
    document = FinalRecord

    def draw(self, final: FinalRecord, /) -> go.Figure:
        done = finished(final)
        if not done:
            raise NothingToDraw("No final training left curves to draw.")
        figure = blank(360)
        _add_losses(figure, done)
        score = score_curve(done)
        if score:
            _add_scores(figure, score, done, curve_focus(final))
        fold(figure, 2 if score else 1, columns=2, row_pixels=270, gap_x=0.12)
        return figure

    def alternative(self, final: FinalRecord, /) -> str:
        return "Loss and score by epoch for each final seed and their mean"

    def caption(self, final: FinalRecord, /) -> Markup:
        text = say(
            "Thin: one final seed each; thick: their mean, up to the last epoch that all of them "
            "reached. The curves are of all validation rows. Diamonds: the epoch that these "
            "choose, whose weights were kept; being the best of many on the rows that chose it, "
            "it looks better than the validation score as a rule."
        )
        if curve_focus(final):
            text += say(" The first epochs lie outside the range shown; a double click shows all.")
        return text


def _add_losses(figure: go.Figure, done: Sequence[MemberRecord]) -> None:
    """Add the panel of the losses."""
    drawn: list[float] = []
    for key, (name, color) in LOSSES.items():
        _add_curves(figure, "", key, f"{name} (mean)", color, done)
        for outcome in done:
            drawn += [value for value in outcome.curves.get(key, ()) if fmt.finite(value)]
    is_steep = bool(drawn) and min(drawn) > 0 and max(drawn) / min(drawn) > STEEP
    scale = log_axis(min(drawn), max(drawn)) if is_steep else {}
    figure.update_layout(xaxis_title_text="epoch", yaxis={"title": {"text": "loss"}, **scale})


def _add_scores(
    figure: go.Figure,
    key: str,
    done: Sequence[MemberRecord],
    window: tuple[float, float] | None,
) -> None:
    """Add the panel of the score, beside that of the losses."""
    _add_curves(figure, "2", key, None, BLUE, done)
    _add_best(figure, key, done)
    name = fmt.words(key.removeprefix("validation_"))
    figure.update_layout(
        xaxis2={"title": {"text": "epoch"}},
        yaxis2={"title": {"text": f"{name}, validation rows"}, "range": window},
    )


def _add_curves(
    figure: go.Figure,
    suffix: str,
    key: str,
    name: str | None,
    color: str,
    done: Sequence[MemberRecord],
) -> None:
    """Add one curve of every seed, and their mean.

    Args:
        figure: to add to.
        suffix: of the axes of the panel.
        key: names the curve.
        name: of the mean in the legend; None: it does not stand there.
        color: of all of them.
        done: the trainings.
    """
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    for outcome in done:
        values = list(outcome.curves.get(key, ()))
        figure.add_scatter(
            x=_epochs(values),
            y=values,
            mode="lines",
            name=f"seed {outcome.seed}",
            showlegend=False,
            line={"color": translucent(color, 0.35), "width": 1},
            hovertemplate=f"seed {outcome.seed}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            **axes,
        )
    mean = mean_curve(done, key)
    figure.add_scatter(
        x=_epochs(mean),
        y=mean,
        mode="lines",
        name=name or f"{fmt.words(key)} (mean)",
        showlegend=name is not None,
        line={"color": color, "width": 2.4},
        hovertemplate="mean, epoch %{x}: %{y:.4g}<extra></extra>",
        **axes,
    )


def _epochs(values: Sequence[float]) -> list[int]:
    """Return the epochs of a curve, which people count from 1."""
    return list(range(1, len(values) + 1))


def _add_best(figure: go.Figure, key: str, done: Sequence[MemberRecord]) -> None:
    """Add a diamond at the epoch whose weights were kept, for each seed."""
    kept = [o for o in done if 0 <= o.best_epoch < len(o.curves.get(key, ()))]
    figure.add_scatter(
        x=[outcome.best_epoch + 1 for outcome in kept],
        y=[outcome.curves[key][outcome.best_epoch] for outcome in kept],
        mode="markers",
        name="weights kept, one per seed",
        marker={"color": ORANGE, "size": 7, "symbol": "diamond"},
        text=[json.dumps(outcome.seed) for outcome in kept],
        hovertemplate="seed %{text}: weights of epoch %{x}, %{y:.4g}<extra></extra>",
        xaxis="x2",
        yaxis="y2",
    )
