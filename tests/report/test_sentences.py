from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from winnow.compression import CandidateRecord
from winnow.evaluation import EvaluationRecord
from winnow.execution import PlanRecord
from winnow.report import Documents, _caveats, _sentences, _tables
from winnow.study import AblationRecord, ComparisonRecord, FinalRecord, SearchRecord

Plain = dict[str, dict[str, Any]]


def of(kind: Callable[[Any], Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of plain data, which is read as the record that it takes."""
    return lambda data, *more: function(kind(data), *more)


answer = of(Documents.of, _sentences.answer)
score_shown = of(Documents.of, _sentences.score_shown)
covers = of(Documents.of, _caveats.covers)
few_rows = of(Documents.of, _caveats.few_rows)
left_out = of(Documents.of, _caveats.left_out)
power_note = of(AblationRecord.from_dict, _caveats.power_note)
leader_notes = of(SearchRecord.from_dict, _caveats.leader_notes)
curve_notes = of(FinalRecord.from_dict, _caveats.curve_notes)
speed = of(CandidateRecord.from_dict, _tables.speed)
fleets = of(PlanRecord.from_dict, _tables.fleets)
members = of(PlanRecord.from_dict, _tables.members)
failures = of(Documents.of, _tables.failures)
confused = of(EvaluationRecord.from_dict, _tables.confused)
residuals = of(EvaluationRecord.from_dict, _tables.residuals)
curve_rows = of(FinalRecord.from_dict, _tables.curve_rows)
remark = of(ComparisonRecord.from_dict, _sentences.remark)


def plain(sentences: Any) -> str:
    text = " ".join(map(str, sentences)) if isinstance(sentences, list) else str(sentences)
    for mark in ("<code>", "</code>", "<strong>", "</strong>"):
        text = text.replace(mark, "")
    return text.replace("\u00a0", " ")


def with_verdicts(documents: Plain, **verdicts: str) -> Plain:
    documents = copy.deepcopy(documents)
    row = documents["ablation"]["comparisons"][0]
    documents["ablation"]["comparisons"] = [
        row | {"name": name, "verdict": v.replace("_", " ")} for name, v in verdicts.items()
    ]
    return documents


def test_each_verdict_has_its_own_words(classified: Plain) -> None:
    said = plain(
        answer(
            with_verdicts(
                classified, a="helps", b="helps", c="hurts", d="no_difference", e="undecided"
            )
        )
    )
    assert (
        "a and b help; c hurts; d makes no difference (within ±0.005). Of e we cannot tell." in said
    )


def test_a_part_that_is_needed_is_told_with_its_failures(classified: Plain) -> None:
    documents = with_verdicts(classified, a="helps", b="needed")
    documents["ablation"]["comparisons"][1].update(failed=5, failed_with=0, trained=10)
    said = plain(answer(documents))
    assert "a helps; b is needed (without it 5 of 10 trainings fail, 0 with it)." in said


def test_what_stands_beside_a_verdict() -> None:
    row = {
        "verdict": "helps",
        "at_least_smallest": True,
        "failed": 1,
        "failed_with": 0,
        "trained": 10,
    }
    assert remark(row, 0.005) == "without it 1 of 10 trainings failed, 0 with it; by 0.005 or more"
    assert remark(row | {"failed": 0, "at_least_smallest": False}, 0.005) == ""
    assert (
        remark({"verdict": "no difference", "identical": True}, 0.005)
        == "no prediction changes without it"
    )
    saved = {"mean": 8.0, "low": 7.0, "high": 9.0, "confidence": 0.95, "n": 10}
    assert (
        remark({"verdict": "no difference", "saved": saved}, 0.1)
        == "it saves 8.0 [7.0, 9.0] epochs a training"
    )
    never = saved | {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert remark({"saved": never}, 0.1) == "it never stopped a training before its last epoch"
    unclear = saved | {"low": -1.0, "high": 17.0}
    assert (
        remark({"verdict": "undecided", "saved": unclear}, 0.1)
        == "epochs that it saves: 8 [-1, 17]"
    )
    assert "not known" in remark(
        {"verdict": "needed", "saved": saved | {"mean": None, "low": None, "high": None, "n": 0}},
        0.1,
    )


def test_early_stopping_is_told_by_what_it_saves(classified: Plain) -> None:
    documents = with_verdicts(classified, early_stopping="no_difference")
    documents["ablation"]["comparisons"][0]["saved"] = {
        "mean": 8.0,
        "low": 7.0,
        "high": 9.0,
        "confidence": 0.95,
        "n": 10,
    }
    said = plain(answer(documents))
    assert (
        "early_stopping is there to save time: it saves 8.0 [7.0, 9.0] epochs a training." in said
    )


def test_a_long_list_of_parts_is_counted(classified: Plain) -> None:
    said = plain(answer(with_verdicts(classified, **{f"part{i}": "undecided" for i in range(20)})))
    assert "Of part0, part1, part2, part3, part4, part5 and 14 more we cannot tell." in said


def test_the_score_is_the_best_founded_one(classified: Plain) -> None:
    assert score_shown(classified)[1:] == ("test accuracy", "5 final seeds, 360 test rows")
    del classified["evaluation"]
    assert score_shown(classified)[1:] == (
        "validation accuracy",
        "5 final seeds, validation rows",
    )
    del classified["final"]
    assert score_shown(classified)[1:] == (
        "validation accuracy",
        "5 fresh seeds, validation rows",
    )
    assert "no final training was run" in plain(answer(classified))
    del classified["search"]["best"]
    assert "no score with an interval yet" in plain(answer(classified))
    assert plain(answer({})) == "No training has finished yet, so there is no answer."


def test_what_ships_is_set_beside_what_it_was(classified: Plain) -> None:
    said = plain(answer(classified))
    assert (
        "What ships is int8: 34.8 kB instead of 108 kB (3.1 × smaller), 0.0121 ms instead of "
        "0.0712 ms at batch 1 " in said
    )
    assert "It loses 0.003 [0.001, 0.005] of accuracy on the validation rows." in said
    classified["compression"]["chosen"] = "eager"
    assert "What ships is eager, 108 kB: nothing smaller kept the budget." in plain(
        answer(classified)
    )


def test_a_ratio_reads_the_right_way_round() -> None:
    read = [
        plain(_sentences.times(r, "faster", "slower")) for r in (2.5, 0.5, 1.01, None, float("nan"))
    ]
    assert read == ["2.5 × faster", "2 × slower", "about the same", "–", "–"]


def test_a_rejected_simplification_is_not_called_one(classified: Plain) -> None:
    simplified = classified["ablation"]["simplified"]
    simplified.update(dropped=[], kept=simplified["dropped"], accepted=False)
    said = plain(answer(classified))
    assert "was not shown to be without loss, so nothing was dropped" in said
    assert "goes on without" not in said


def test_what_came_back_is_told_beside_what_went(classified: Plain) -> None:
    simplified = classified["ablation"]["simplified"]
    first, *rest = simplified["dropped"]
    failed, passed = (
        {**simplified["checks"][0], "accepted": ok, "without": w}
        for ok, w in ((False, [first, *rest]), (True, [first]))
    )
    simplified.update(dropped=[first], kept=rest, checks=[failed, passed])
    said = plain(answer(classified))
    assert f"The recipe goes on without {first} (gain" in said
    assert "95 % interval" in said
    assert "came back: not shown to be without loss as well." in said
    passed["identical"] = True
    assert f"The recipe goes on without {first}, which changed no prediction." in plain(
        answer(classified)
    )


@pytest.mark.parametrize("pairs", [4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("parts", [1, 3, 8])
def test_too_few_seeds_are_called_too_few(pairs: int, parts: int) -> None:
    """Oracle: the smallest p value of SciPy's exact permutation test of signs, times the number
    of parts (Holm's first step).
    """
    differences = np.arange(1.0, pairs + 1)  # all on one side: the most extreme sample there is
    best = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=10_000
    ).pvalue
    ablation = {
        "comparisons": [{"name": str(i), "n": pairs} for i in range(parts)],
        "confidence": 0.95,
    }
    note = power_note(ablation)
    assert (note is not None) == (best * parts > 0.05)
    if note is not None:
        assert "no part could have been found to help or hurt at the level 0.05" in plain(note)


def test_the_note_on_power_says_how_many_seeds_it_takes(classified: Plain) -> None:
    assert power_note(classified["ablation"]) is None
    for row in classified["ablation"]["comparisons"]:
        row["n"] = 5
    note = plain(power_note(classified["ablation"]))
    assert (
        "With 5 pairs of seeds and 8 parts the smallest corrected p value that the test can give "
        "is 0.500" in note
    )
    assert "At least 9 seeds are needed." in note  # 8 * 2 / 2**9 = 0.031, 8 * 2 / 2**8 = 0.062


def test_leaders_that_overlap_are_not_ranked(classified: Plain) -> None:
    search = classified["search"]
    assert "we cannot tell which of them is better" in plain(leader_notes(search))
    for i, leader in enumerate(search["leaders"]):
        leader["interval"].update(mean=0.9 - 0.1 * i, low=0.89 - 0.1 * i, high=0.91 - 0.1 * i)
    assert "we cannot tell" not in plain(leader_notes(search))
    assert "chose itself" in plain(leader_notes(search | {"leaders": []}))


def test_curves_that_still_rise_and_seeds_that_failed_are_told(classified: Plain) -> None:
    outcomes = classified["final"]["outcomes"]
    for outcome in outcomes:
        outcome["best_epoch"] = outcome["epochs"] - 1
    outcomes[0]["status"] = "failed"
    said = plain(curve_notes(classified["final"]))
    assert "1 of 5 seeds failed" in said
    assert "4 seeds of 5 kept the weights of the last epoch" in said


def test_the_interval_says_what_it_covers(classified: Plain) -> None:
    said = plain(covers(classified))
    assert (
        "95 % interval over 5 trainings that differ only in their seed, and over 360 test rows "
        "as a sample" in said
    )
    del classified["evaluation"]
    said = plain(covers(classified))
    assert (
        "95 % t interval of the mean over 5 trainings that differ only in their seed, on one "
        "fixed split" in said
    )
    assert "does not cover the choice of rows" in said


def test_few_test_rows_are_warned_of(classified: Plain) -> None:
    assert few_rows(classified) is None
    classified["evaluation"]["rows"] = 49
    assert "49 test rows are few" in plain(few_rows(classified))


def test_speeds_carry_intervals_where_there_are_any(classified: Plain) -> None:
    eager, onnx, _ = classified["compression"]["candidates"]
    assert speed(onnx, "1", "versus_eager") == "6.65 [6.52, 6.79]"
    assert speed(eager, "64", "versus_eager") == "1"
    del onnx["speedup"]
    assert [speed(onnx, b, "versus_eager") for b in ("1", "64")] == ["6.65", "–"]


def test_fleets_of_a_kind_share_a_row(classified: Plain) -> None:
    rows = fleets(classified["plan"])
    assert [(r.study, r.number, r.members, r.how) for r in rows] == [
        ("search", 2, 16, "stacked"),
        ("search", 1, 31, "stacked"),
        ("search", 1, 1, "alone"),
        ("ablate", 1, 4, "process"),
    ]
    assert members(classified["plan"]) == 68


def test_failures_are_gathered_from_every_stage(classified: Plain) -> None:
    classified["final"]["outcomes"][1].update(
        status="failed", reason="the loss became NaN in epoch 2"
    )
    classified["ablation"]["comparisons"][0].update(lost=2, failed=2)
    assert [(r.stage, r.reason) for r in failures(classified)][2:] == [
        ("ablation", "2 pairs lost to failed trainings: 2 failed without it, 0 with it"),
        ("final training", "the loss became NaN in epoch 2"),
    ]


def test_confusions_are_those_off_the_diagonal(classified: Plain) -> None:
    rows = confused(classified["evaluation"])
    assert rows[0] == ("8", "1", 2, 2 / 35)
    assert sum(r.rows for r in rows) == 7


def test_residual_quantiles_equal_numpys(regressed: Plain) -> None:
    scatter = regressed["evaluation"]["scatter"]
    errors = np.subtract(scatter["prediction"], scatter["truth"])
    np.testing.assert_allclose(
        list(residuals(regressed["evaluation"]).values()),
        np.quantile(errors, [0.05, 0.25, 0.5, 0.75, 0.95]),
    )


def test_long_curves_are_thinned_and_keep_both_ends(classified: Plain) -> None:
    outcome = classified["final"]["outcomes"][0]
    outcome["curves"] = {
        "train_loss": np.linspace(1, 0, 500).tolist(),
        "validation_accuracy": np.linspace(0, 1, 500).tolist(),
    }
    rows = curve_rows({"outcomes": [outcome]})
    assert len(rows) <= _tables.MAX_CURVE_ROWS + 1
    assert (rows[0].epoch, rows[-1].epoch) == (1, 500)
    assert rows[-1].score == 1.0


def test_lines_that_differ_are_marked() -> None:
    assert _tables.recipe_lines("a: 1\nb: 2\n", "a: 1\nb: 3\nc: 4\n") == [
        (False, "a: 1"),
        (True, "b: 3"),
        (True, "c: 4"),
    ]
    assert _tables.recipe_lines(None, "a: 1") == [(False, "a: 1")]


def test_what_the_minutes_left_out_is_said() -> None:
    budget = {"minutes": 2.0, "notes": ["search: 8 trials, not 64 trials", "ablate: no ablation"]}
    assert plain(left_out({"budget": budget})) == (
        "The run was given 2 minutes, so less was done than the recipe asks for. "
        "search: 8 trials, not 64 trials; ablate: no ablation."
    )
    assert left_out({"budget": {"minutes": 2.0, "notes": []}}) is None
    assert left_out({}) is None
