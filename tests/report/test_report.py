from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from winnow.report import ReportError, figure, render_report, write_report
from winnow.report import _format as fmt
from winnow.report._report import _in_script
from winnow.report._tables import STAGES
from winnow.report.figures import FIGURES
from winnow.stats import Interval

from . import documents
from .page import Page

Documents = dict[str, dict[str, Any]]


def shown_as(document: dict[str, Any] | None, **how: Any) -> str:
    return fmt.interval(None if document is None else Interval.from_dict(document), **how)


SECTIONS = [
    "answer",
    "data",
    "plan",
    "search",
    "ablation",
    "simplification",
    "training",
    "test",
    "baselines",
    "compression",
    "recipe",
    "repeat",
    "notes",
]


def policy(page: Page) -> str:
    (content,) = [
        a["content"]
        for tag, a in page.elements
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert content is not None
    return content


# -- what it says ----------------------------------------------------------------------------------


def test_every_section_is_there_and_the_contents_lead_to_it(classified_page: str) -> None:
    page = Page(classified_page)
    assert [i for i in page.ids if i in SECTIONS] == SECTIONS
    assert [a["href"] for tag, a in page.elements if tag == "a"] == [f"#{s}" for s in SECTIONS]
    assert len(page.ids) == len(set(page.ids))


def test_the_headline_gives_winner_interval_verdicts_and_what_ships(
    classified: Documents, classified_page: str
) -> None:
    answer = Page(classified_page).sections["answer"]
    assert shown_as(classified["evaluation"]["metrics"]["accuracy"]) in answer
    assert "5 final seeds, 360 test rows" in answer
    assert "momentum, dropout and model.args.norm help; label_smoothing hurts" in answer
    assert "Of schedule and clip_norm we cannot tell." in answer
    assert "What ships is int8: 34.8 kB instead of 108 kB" in answer


def test_every_part_stands_in_the_ablation_table_with_its_numbers(
    classified: Documents, classified_page: str
) -> None:
    shown = Page(classified_page).sections["ablation"]
    places = fmt.common_places(map(Interval.from_dict, classified["ablation"]["comparisons"]))
    words = {"undecided": "we cannot tell"}
    for row in classified["ablation"]["comparisons"]:
        effect = shown_as(row, sign=True, decimals=places)
        said = words.get(row["verdict"], row["verdict"])
        numbers = (
            f"{effect} {fmt.p_value(row['p'])} {fmt.p_value(row['p_holm'])} {row['n']} "
            f"{fmt.number(row['mde'], places)}"
        )
        beside = "by 0.005 or more " if row["at_least_smallest"] else ""
        assert re.search(
            rf"{re.escape(row['name'])} {re.escape(row['what'])} . {said} "
            rf"{re.escape(beside)}{re.escape(numbers)}",
            shown,
        ), row["name"]
    assert "They cover the randomness of training on one fixed split" in shown


def test_every_metric_stands_in_the_test_table(classified: Documents, classified_page: str) -> None:
    shown = Page(classified_page).sections["test"]
    for name, interval in classified["evaluation"]["metrics"].items():
        assert f"{fmt.words(name)} {shown_as(interval)}" in shown
    assert "cover both what another seed would change and what other rows like these would" in shown


def test_the_model_stands_beside_simple_ones(classified: Documents, classified_page: str) -> None:
    page = Page(classified_page)
    shown = page.sections["baselines"]
    for row in classified["baselines"]["baselines"]:
        said = shown_as(row["gain"], sign=True) if row["gain"] else row["note"]
        assert said in shown
    assert (
        "Better than a constant by accuracy. Gradient boosting is better than the model that ships"
        in page.sections["answer"]
    )


@pytest.mark.parametrize(
    "text",
    ["no better than a constant: the model answers 'no' for every test row", "<b>not</b> shown"],
)
def test_a_model_that_is_no_better_than_a_constant_is_called_that(
    text: str, classified: Documents
) -> None:
    classified["baselines"] |= {"verdict": text, "beats_constant": False, "notes": []}
    html = render_report(classified)
    page = Page(html)
    for section in ("answer", "baselines"):
        assert text[1:] in page.sections[section]
    assert "<b>not</b>" not in html


def test_trials_leaders_and_ranges_are_told(classified: Documents, classified_page: str) -> None:
    search = classified["search"]
    shown = Page(classified_page).sections["search"]
    assert "64 trials proposed by TPE, 2 of them failed" in shown
    for path, spelled in search["ranges"].items():
        assert f"{path} {fmt.open_range(spelled)}" in shown
    for leader in search["leaders"]:
        assert shown_as(leader["interval"]) in shown
    for trial in search["trials"]:
        assert f"{trial['number']} {fmt.number(trial['score'])} {trial['status']}" in shown


def test_candidates_are_told_with_size_latency_and_loss(
    classified: Documents, classified_page: str
) -> None:
    shown = Page(classified_page).sections["compression"]
    for c in classified["compression"]["candidates"]:
        lost = shown_as(c["score_drop"])
        loss = f"{fmt.size(c['bytes'])} {fmt.number(c['score'])} {lost}".replace(fmt.NBSP, " ")
        assert loss in shown.replace(fmt.NBSP, " ")
        for timed in c["latency"].values():
            assert (
                f"{fmt.number(timed['median_ms'], significant=3)} / "
                f"{fmt.number(timed['p95_ms'], significant=3)}" in shown
            )
    assert classified["compression"]["notes"][0] in shown


def test_recipe_command_seeds_versions_and_machine_are_there(
    classified: Documents, classified_page: str
) -> None:
    page = Page(classified_page)
    for recipe in (classified["run"]["recipe_yaml"], classified["final"]["recipe_yaml"]):
        assert " ".join(recipe.split()) in page.sections["recipe"]
    repeat = page.sections["repeat"]
    assert classified["run"]["command"] in repeat
    assert all(
        f"{name} {version}" in repeat for name, version in classified["run"]["versions"].items()
    )
    assert all(
        str(seed) in repeat
        for seed in classified["final"]["seeds"] + classified["ablation"]["seeds"]
    )
    assert "processor Intel Xeon" in repeat


def test_a_run_that_went_on_elsewhere_says_what_changed() -> None:
    facts = documents.classification()
    first = {name: facts["run"][name] for name in ("versions", "machine")}
    other = {
        "versions": first["versions"] | {"torch": "99.0"},
        "machine": first["machine"] | {"device": "NVIDIA H100"},
    }
    facts["run"]["sittings"] = [{"began": "2026-01-01", **first}, {"began": "2026-01-02", **other}]
    repeat = Page(render_report(facts)).sections["repeat"]

    was = first["versions"]["torch"]
    assert (
        f"went on 2026-01-02 with torch 99.0 in place of {was}; device NVIDIA H100 in place of cpu"
        in repeat
    )
    assert "went on 2026-01-01" not in repeat


def test_failures_and_notes_are_told(classified: Documents, classified_page: str) -> None:
    shown = Page(classified_page).sections["notes"]
    assert "search trial 7 the loss became NaN in epoch 3" in shown
    assert classified["data"]["notes"][0] in shown


def test_a_regression_shows_predictions_and_no_confusion(
    regressed: Documents, regressed_page: str
) -> None:
    page = Page(regressed_page)
    assert "figure-truth_scatter" in page.ids
    assert "figure-confusion" not in page.ids
    assert f"RMSE {shown_as(regressed['evaluation']['metrics']['rmse'])}" in page.sections["test"]
    assert "loses more than the budget of 1.3 allows" in page.sections["compression"]
    assert "What ships is onnx" in page.sections["answer"]


def test_too_few_seeds_are_announced_above_the_forest(classified: Documents) -> None:
    for row in classified["ablation"]["comparisons"]:
        row["n"] = 5
    assert (
        "no part could have been found to help or hurt"
        in Page(render_report(classified)).sections["ablation"]
    )


# -- what is missing -------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", STAGES)
def test_a_missing_document_is_named(gone: str, classified: Documents) -> None:
    del classified[gone]
    page = Page(render_report(classified))
    what, _ = STAGES[gone]
    assert f"There is no {what} in this run" in page.text
    assert f"This run holds no {what}" in page.sections["answer"]


@pytest.mark.parametrize("only", STAGES)
@pytest.mark.parametrize("make", [documents.classification, documents.regression])
def test_one_document_alone_makes_a_report(only: str, make: Any) -> None:
    page = Page(render_report({only: make()[only]}))
    assert set(SECTIONS) <= set(page.ids)
    assert page.text.count("There is no") >= len(STAGES) - 2


def test_no_document_at_all_makes_a_report_without_figures() -> None:
    text = render_report({})
    page = Page(text)
    assert "No training has finished yet" in page.sections["answer"]
    assert len(text) < 40_000  # no figure, no library


def test_documents_that_hold_next_to_nothing_do_not_break_it() -> None:
    bare: Documents = {name: {} for name in STAGES}
    assert set(SECTIONS) <= set(Page(render_report(bare)).ids)
    unfinished = documents.classification()
    unfinished["search"].update(
        leaders=[],
        best=None,
        trials=[{"number": 0, "status": "failed", "reason": "no", "score": None}],
    )
    unfinished["ablation"].update(simplified=None)
    unfinished["ablation"]["comparisons"][0].update(
        mean=None, low=None, high=None, p=None, p_holm=None, mde=None, n=0, lost=10
    )
    unfinished["final"].update(
        shipped=None, score={"mean": None, "low": None, "high": None, "confidence": 0.95, "n": 0}
    )
    unfinished["evaluation"]["metrics"]["accuracy"] = None
    unfinished["compression"].update(
        chosen=None, candidates=[{"name": "eager", "bytes": None, "accepted": False}]
    )
    page = Page(render_report(unfinished))
    assert "No trial finished, so there is no history to draw." in page.sections["search"]


def test_a_document_it_does_not_know_is_mentioned(classified: Documents) -> None:
    assert (
        "'population', which this report does not show"
        in Page(render_report(classified | {"population": {}})).text
    )


def test_a_document_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ReportError, match="expected document 'search' as a mapping, got list"):
        render_report({"search": [1, 2]})  # type: ignore[dict-item]


# -- what it must not do ---------------------------------------------------------------------------

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>&amp;\"'{{ 7 * 7 }}"


def spoil(value: Any) -> Any:
    """Every text of a document made hostile, names of settings and columns included; words of
    the contract are left alone.
    """
    kept = {
        "finished",
        "failed",
        "helps",
        "hurts",
        "no difference",
        "undecided",
        "number",
        "category",
        "boolean",
        "tpe",
    }
    kept |= {"stacked", "alone", "process", "classification", "regression", "accuracy", "rmse"}
    if isinstance(value, str):
        return value if value in kept else value + EVIL
    if isinstance(value, list):
        return [spoil(v) for v in value]
    if isinstance(value, dict):
        return {k + EVIL if "." in k else k: spoil(v) for k, v in value.items()}
    return value


@pytest.mark.parametrize("make", [documents.classification, documents.regression])
def test_text_of_the_users_is_never_markup(make: Any) -> None:
    spoilt = {name: spoil(document) for name, document in make().items()}
    text = render_report(spoilt)
    page = Page(text)
    assert "alert('x')</script><img" not in text
    assert "49" not in page.sections["recipe"]
    assert all(tag != "img" for tag, _ in page.elements)
    own = Page(render_report(make()))
    assert len(page.scripts) == len(own.scripts)
    assert EVIL in page.sections["ablation"]
    assert EVIL in page.sections["data"]
    for attributes, content in page.scripts:
        if attributes.get("type") == "application/json":
            shown = json.dumps(json.loads(content)["data"])
            assert "<script>" not in shown  # Plotly reads some HTML in its texts


def test_json_cannot_end_its_script_element() -> None:
    text = json.dumps({"a": "</script><!-- & -->"})
    safe = str(_in_script(text))
    assert not set("<>&") & set(safe)
    assert json.loads(safe) == json.loads(text)


def test_nothing_is_loaded_from_anywhere(classified_page: str) -> None:
    page = Page(classified_page)
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "img"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert "@import" not in classified_page
    assert "url(" not in classified_page
    assert "default-src 'none'" in policy(page)


def test_only_its_own_two_scripts_may_run(classified_page: str) -> None:
    page = Page(classified_page)
    allowed = re.findall(r"'sha256-([^']+)'", policy(page))
    assert "unsafe-inline" not in policy(page).split("script-src")[1].split(";")[0]
    run = [content for attributes, content in page.scripts if not attributes.get("type")]
    assert len(run) == 1
    (packed,) = [
        content for attributes, content in page.scripts if attributes.get("id") == "library"
    ]
    library = gzip.decompress(base64.b64decode(packed)).decode()
    assert library == get_plotlyjs()
    assert allowed == [
        base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in (run[0], library)
    ]


@pytest.mark.parametrize("page", ["classified_page", "regressed_page"])
def test_the_figures_in_the_page_are_the_figures(page: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(page)
    source = documents.classification() if page == "classified_page" else documents.regression()
    held = {
        a["data-for"]: json.loads(content) for a, content in Page(text).scripts if "data-for" in a
    }
    other = "truth_scatter" if page == "classified_page" else "confusion"
    assert set(held) == set(FIGURES) - {other}
    for name, parsed in held.items():
        assert parsed == json.loads(figure(name, source[FIGURES[name].document.NAME]).to_json())  # type: ignore[arg-type]


def test_size_is_that_of_a_letter_with_pictures(classified_page: str, regressed_page: str) -> None:
    for text in (classified_page, regressed_page):
        assert 1_000_000 < len(text.encode()) < 3_000_000
    figures = sum(len(content) for a, content in Page(classified_page).scripts if "data-for" in a)
    assert figures < 200_000


def test_the_same_documents_make_the_same_file(tmp_path: Path, classified_page: str) -> None:
    path = write_report(documents.classification(), tmp_path / "deep" / "report.html")
    assert path == tmp_path / "deep" / "report.html"
    assert path.read_text(encoding="utf-8") == classified_page


def test_no_two_figures_share_a_frame(classified_page: str) -> None:
    frames = [a["data-figure"] for _, a in Page(classified_page).elements if "data-figure" in a]
    assert all(a != b for a, b in itertools.combinations(frames, 2))
    assert all(a.get("aria-label") for _, a in Page(classified_page).elements if "data-figure" in a)
