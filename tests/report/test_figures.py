from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import plotly.graph_objects as go
import pytest
from markupsafe import Markup

import winnow.report
from winnow.report import NothingToDraw, ReportError, figure
from winnow.report.figures import FIGURES, BaseFigure
from winnow.report.figures._style import labels

Documents = dict[str, dict[str, Any]]


def named(drawn: go.Figure, name: str) -> Any:
    (trace,) = [t for t in drawn.data if t.name == name]
    return trace


def test_the_history_holds_every_trial_and_the_running_best(classified: Documents) -> None:
    search = classified["search"]
    drawn = figure("search_history", search)
    scored = [t for t in search["trials"] if t["score"] is not None]
    assert list(named(drawn, "trial").x) == [t["number"] for t in scored]
    assert list(named(drawn, "trial").y) == [t["score"] for t in scored]
    assert (
        list(named(drawn, "best so far").y)
        == np.maximum.accumulate([t["score"] for t in scored]).tolist()
    )
    assert list(named(drawn, "failed").x) == [
        t["number"] for t in search["trials"] if t["status"] == "failed"
    ]


def test_the_running_best_goes_down_where_lower_is_better(regressed: Documents) -> None:
    scores = [t["score"] for t in regressed["search"]["trials"] if t["score"] is not None]
    best = named(figure("search_history", regressed["search"]), "best so far")
    assert list(best.y) == np.minimum.accumulate(scores).tolist()


def test_error_bars_end_where_the_intervals_end(classified: Documents) -> None:
    leaders = classified["search"]["leaders"]
    leaders[0]["interval"]["low"] -= 0.01  # not every interval is symmetric
    drawn = named(
        figure("search_history", classified["search"]), "leader, trained again on fresh seeds"
    )
    np.testing.assert_allclose(
        np.add(drawn.y, drawn.error_y.array), [x["interval"]["high"] for x in leaders], rtol=1e-12
    )
    np.testing.assert_allclose(
        np.subtract(drawn.y, drawn.error_y.arrayminus),
        [x["interval"]["low"] for x in leaders],
        rtol=1e-12,
    )


def test_a_poor_trial_does_not_squash_the_others(classified: Documents) -> None:
    search = classified["search"]
    assert figure("search_history", search).layout.yaxis.range is None
    search["trials"][5]["score"] = 0.1
    low, high = figure("search_history", search).layout.yaxis.range
    assert low > 0.9
    assert high >= max(leader["interval"]["high"] for leader in search["leaders"])
    assert 0.1 in named(figure("search_history", search), "trial").y  # zooming out shows it


def test_there_is_a_slice_for_each_range(classified: Documents) -> None:
    search = classified["search"]
    drawn = figure("slices", search)
    assert [t.name for t in drawn.data] == list(search["ranges"])
    lr = named(drawn, "train.optimizer.lr")
    assert list(lr.x) == [
        t["values"]["train.optimizer.lr"] for t in search["trials"] if t["score"] is not None
    ]
    assert drawn.layout[lr.xaxis.replace("x", "xaxis")].type == "log"


def test_a_conditional_range_shows_the_trials_that_had_it(classified: Documents) -> None:
    search = classified["search"]
    for trial in search["trials"][::2]:
        del trial["values"]["train.optimizer.momentum"]
    drawn = named(figure("slices", search), "train.optimizer.momentum")
    assert len(drawn.x) == sum(
        "train.optimizer.momentum" in t["values"]
        for t in search["trials"]
        if t["score"] is not None
    )


def test_curves_hold_each_seed_and_a_mean_over_the_epochs_all_reached(
    classified: Documents,
) -> None:
    outcomes = classified["final"]["outcomes"]
    drawn = figure("curves", classified["final"])
    seed = outcomes[1]["seed"]
    assert [list(t.y) for t in drawn.data if t.name == f"seed {seed}"] == [
        outcomes[1]["curves"][key]
        for key in ("train_loss", "validation_loss", "validation_accuracy")
    ]
    shortest = min(len(o["curves"]["train_loss"]) for o in outcomes)
    expected = np.mean([o["curves"]["train_loss"][:shortest] for o in outcomes], axis=0)
    np.testing.assert_allclose(named(drawn, "training (mean)").y, expected, rtol=1e-12)
    kept = named(drawn, "weights kept, one per seed")
    assert list(kept.x) == [o["best_epoch"] + 1 for o in outcomes]
    np.testing.assert_allclose(kept.y, [o["score"] for o in outcomes])


def test_the_forest_has_a_row_for_each_part_under_its_verdict(classified: Documents) -> None:
    ablation = classified["ablation"]
    drawn = figure("forest", ablation)
    for trace in drawn.data:
        verdict = {"we cannot tell": "undecided"}.get(trace.name, trace.name)
        rows = {c["name"]: c for c in ablation["comparisons"] if c["verdict"] == verdict}
        assert set(trace.y) == set(rows)
        assert list(trace.x) == [rows[name]["mean"] for name in trace.y]
        np.testing.assert_allclose(
            np.add(trace.x, trace.error_x.array),
            [rows[n]["high"] for n in trace.y],
            rtol=1e-9,
            atol=1e-15,
        )
    means = [c["mean"] for c in sorted(ablation["comparisons"], key=lambda c: c["mean"])]
    order = {c["name"]: c["mean"] for c in ablation["comparisons"]}
    assert [order[n] for n in drawn.layout.yaxis.categoryarray] == means  # the largest help on top
    band = drawn.layout.shapes[0]
    assert (band.x0, band.x1) == (-ablation["smallest_effect"], ablation["smallest_effect"])
    # Verdicts differ by more than color
    assert len({t.marker.symbol for t in drawn.data}) == len(drawn.data)


def test_metrics_show_every_seed_the_mean_and_the_shipped_model(classified: Documents) -> None:
    evaluation = classified["evaluation"]
    drawn = figure("metrics", evaluation)
    seeds = [t for t in drawn.data if t.name == "one final seed"]
    assert [list(t.x) for t in seeds] == list(evaluation["per_seed"].values())
    means = [t for t in drawn.data if t.name == "mean and interval"]
    assert [t.x[0] for t in means] == [i["mean"] for i in evaluation["metrics"].values()]
    assert [t.x[0] for t in drawn.data if t.name == "shipped"] == list(
        evaluation["shipped"].values()
    )


def test_the_confusion_matrix_holds_counts_and_row_shares(classified: Documents) -> None:
    counts = np.array(classified["evaluation"]["confusion"])
    drawn = figure("confusion", classified["evaluation"])
    shares = counts / counts.sum(axis=1, keepdims=True)
    right, wrong = (
        np.array(t.z, dtype=float) for t in (named(drawn, "right"), named(drawn, "wrong"))
    )
    np.testing.assert_allclose(np.diag(right), np.diag(shares))
    off = ~np.eye(len(counts), dtype=bool)
    np.testing.assert_allclose(np.nan_to_num(wrong[off]), shares[off])
    assert np.isnan(np.diag(wrong)).all()
    assert {(a.y, a.x): int(a.text) for a in drawn.layout.annotations} == {
        (i, j): n for (i, j), n in np.ndenumerate(counts) if n
    }


def test_truth_against_prediction(regressed: Documents) -> None:
    scatter = regressed["evaluation"]["scatter"]
    drawn = named(figure("truth_scatter", regressed["evaluation"]), "test row")
    assert (list(drawn.x), list(drawn.y)) == (scatter["truth"], scatter["prediction"])


def test_compression_shows_size_and_latency_of_each_candidate(classified: Documents) -> None:
    compressed = classified["compression"]
    drawn = figure("compression", compressed)
    bars = [dict(zip(t.y, t.x, strict=True)) for t in drawn.data if t.name == "not chosen"]
    chosen = [t.x[0] for t in drawn.data if t.name == "chosen"]
    by_name = {c["name"]: c for c in compressed["candidates"]}
    assert bars[0] == {n: by_name[n]["bytes"] / 1000 for n in ("eager", "onnx")}
    assert bars[2] == {n: by_name[n]["latency"]["64"]["median_ms"] for n in ("eager", "onnx")}
    assert chosen == [34.817, *(by_name["int8"]["latency"][b]["median_ms"] for b in ("1", "64"))]


def test_names_cut_to_the_same_text_stay_apart() -> None:
    long = "encoder.layers.{}.self_attention.output_projection.weight"
    cut = labels([long.format(i) for i in range(3)], 24)
    assert len(set(cut)) == 3
    assert all(len(name) <= 28 for name in cut)
    assert labels(["a", "a (2)", "a"]) == ["a", "a (2)", "a (3)"]


def test_parts_with_long_names_keep_a_row_each(classified: Documents) -> None:
    for i, row in enumerate(classified["ablation"]["comparisons"]):
        row["name"] = (
            f"model.encoder.blocks.{i}.attention.query_key_value.output_projection.dropout"
        )
    drawn = figure("forest", classified["ablation"])
    assert len({name for t in drawn.data for name in t.y}) == len(
        classified["ablation"]["comparisons"]
    )


def test_a_panel_figure_says_how_it_folds_on_a_narrow_page(classified: Documents) -> None:
    drawn = figure("slices", classified["search"])
    narrow = drawn.layout.meta["narrow"]
    domains = [narrow[f"yaxis{i or ''}.domain"] for i in [0, *range(2, 7)]]
    assert all(narrow[f"xaxis{i or ''}.domain"] == [0, 1] for i in [0, *range(2, 7)])
    # One below the other, none touching
    assert all(a[0] > b[1] for a, b in itertools.pairwise(domains))
    assert narrow["height"] > drawn.layout.height


# -- the contract ----------------------------------------------------------------------------------

SECTIONS = Path(winnow.report.__file__).parent / "templates" / "sections"


def document_of(name: str, classified: Documents, regressed: Documents) -> dict[str, Any]:
    """The document of a figure, of a run that has something to draw in it."""
    source = regressed if name == "truth_scatter" else classified
    return source[FIGURES[name].document.NAME]


def test_every_figure_has_its_name_its_file_and_its_place_in_the_report() -> None:
    assert list(FIGURES) == [one.name for one in FIGURES.values()]
    assert set(FIGURES) == set(get_args(winnow.report.FigureName))
    sections = "".join(path.read_text() for path in SECTIONS.iterdir())
    for name, one in FIGURES.items():
        assert isinstance(one, BaseFigure)
        assert type(one).__module__ == f"winnow.report.figures._{name}"
        assert sections.count(f'm.figure("{name}")') == 1


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_json_and_leaves_its_document_alone(
    name: str, classified: Documents, regressed: Documents
) -> None:
    document = document_of(name, classified, regressed)
    before = json.dumps(document)
    drawn = figure(name, document)  # type: ignore[arg-type]
    assert json.loads(drawn.to_json())["data"]
    assert json.dumps(document) == before
    assert drawn.to_json() == figure(name, document).to_json()  # type: ignore[arg-type]
    assert drawn.layout.height > 0
    assert "narrow" in drawn.layout.meta


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_what_it_shows_and_how_it_is_read(
    name: str, classified: Documents, regressed: Documents
) -> None:
    one = FIGURES[name]
    record = one.document.from_dict(document_of(name, classified, regressed))
    assert len(one.alternative(record)) > 20
    caption = one.caption(record)
    assert isinstance(caption, Markup)
    assert caption.endswith(".")
    assert type(one).__doc__


@pytest.mark.parametrize("name", FIGURES)
def test_text_of_the_users_is_no_markup_in_a_figure(
    name: str, classified: Documents, regressed: Documents
) -> None:
    """Names of settings, parts, classes and candidates, which are all that a figure shows of them;
    a metric's are winnow's.
    """
    text = json.dumps(document_of(name, classified, regressed))
    for known in ("train.optimizer.lr", "int8", "mixup", "early_stopping"):
        text = text.replace(known, f"<b onclick=1>{known}</b>")
    one = FIGURES[name]
    record = one.document.from_dict(json.loads(text))
    assert "<b onclick" not in json.dumps(json.loads(one.draw(record).to_json()))
    assert "<b onclick" not in one.caption(record)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("search_history", "No trial finished"),
        ("slices", "No trial finished"),
        ("curves", "No final training left curves"),
        ("forest", "No part could be compared"),
        ("metrics", "No metric was measured"),
        ("confusion", "no confusion matrix"),
        ("truth_scatter", "no predictions to draw"),
        ("compression", "No candidate was measured"),
    ],
)
def test_a_document_with_nothing_in_it_says_so(name: Any, message: str) -> None:
    with pytest.raises(NothingToDraw, match=message):
        figure(name, {})


def test_a_recipe_with_nothing_open_has_no_slices(classified: Documents) -> None:
    with pytest.raises(NothingToDraw, match="left nothing open"):
        figure("slices", classified["search"] | {"ranges": {}})


def test_an_unknown_figure_names_the_nearest() -> None:
    with pytest.raises(
        ReportError, match=r"`name` must be a figure's, got 'forrest' - did you mean 'forest'\?"
    ):
        figure("forrest", {})  # type: ignore[arg-type]


def test_the_shop_window_holds_what_it_says() -> None:
    assert all(hasattr(winnow.report, name) for name in winnow.report.__all__)
