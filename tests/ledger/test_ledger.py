"""What goes in comes out, once, and in order."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars
import pytest

from winnow.errors import WorkspaceError
from winnow.ledger import Ledger, _database
from winnow.methods import SGD
from winnow.pipeline import export_run
from winnow.recipe import Model, Outcome, Train, Variant

MakeVariant = Callable[..., Variant]
MakeOutcome = Callable[..., Outcome]


def counts(path: Path) -> dict[str, int]:
    """Rows per table, as SQLite itself sees them."""
    with sqlite3.connect(path) as connection:
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in tables
        }
    connection.close()
    return found


# -- outcomes --------------------------------------------------------------------------------------


def test_an_outcome_comes_back_equal(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    v = variant(3, fold=1, context="abc")
    o = outcome(v, weights="weights/x.safetensors")
    ledger.record([(v, o)])
    assert ledger.outcome(v.id) == o
    assert ledger.variants([v.id]) == {v.id: v}


def test_it_is_still_there_after_closing(
    tmp_path: Path, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    path, v = tmp_path / "deep" / "er" / "ledger.db", variant()
    with Ledger.open(path) as first:
        first.record([(v, outcome(v))])
    with Ledger.open(str(path)) as second:
        assert second.outcome(v.id) == outcome(v)
    with Ledger.open(f"sqlite:///{path}") as third:
        assert third.outcome(v.id) == outcome(v)


def test_nan_and_infinity_come_back(
    ledger: Ledger, variant: MakeVariant, failed: Callable[[Variant], Outcome]
) -> None:
    v, w = variant(0), variant(1)
    lost = failed(v)
    diverged = Outcome(
        w.id,
        "finished",
        score=math.inf,
        metrics={"r2": -math.inf, "rmse": math.nan},
        seconds=math.nan,
    )
    ledger.record([(v, lost), (w, diverged)])
    got = ledger.outcomes([v.id, w.id], curves=True)
    assert math.isnan(got[v.id].score)
    assert got[v.id].reason == lost.reason
    np.testing.assert_array_equal(got[v.id].curves["train_loss"], [2.3, math.nan])
    assert got[w.id].score == math.inf
    assert got[w.id].metrics["r2"] == -math.inf
    assert math.isnan(got[w.id].metrics["rmse"])
    assert math.isnan(got[w.id].seconds)


def test_numpy_numbers_are_numbers(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    v = variant()
    odd = outcome(
        v,
        score=np.float32(0.5),
        steps=np.int64(2**40),
        best_epoch=np.int32(1),
        metrics={"accuracy": np.float32(0.5)},
        curves={"lr": np.array([0.1, 0.2])},
    )
    ledger.record([(v, odd)])
    got = ledger.outcome(v.id)
    assert got is not None
    assert (got.score, got.steps, got.best_epoch, got.metrics, got.curves) == (
        0.5,
        2**40,
        1,
        {"accuracy": 0.5},
        {"lr": [0.1, 0.2]},
    )


def test_a_reason_may_hold_anything(ledger: Ledger, variant: MakeVariant) -> None:
    v = variant()
    ledger.record(
        [(v, Outcome(v.id, "failed", reason="no file b\udce9a\0\n'; DROP TABLE outcomes; -- é 漢"))]
    )
    got = ledger.outcome(v.id)
    assert got is not None
    assert got.reason == "no file b\\udce9a\\x00\n'; DROP TABLE outcomes; -- é 漢"


def test_outcomes_come_in_the_order_asked_without_the_unknown(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    vs = [variant(s) for s in range(5)]
    ledger.record([(v, outcome(v)) for v in vs])
    asked = [vs[4].id, "unknown", vs[0].id, vs[4].id, vs[2].id]
    assert list(ledger.outcomes(asked)) == [vs[4].id, vs[0].id, vs[2].id]
    assert list(ledger.variants(iter(asked))) == [vs[4].id, vs[0].id, vs[2].id]
    assert ledger.outcomes([]) == {}
    assert ledger.outcome("unknown") is None


def test_curves_only_when_asked(ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome) -> None:
    v = variant()
    ledger.record([(v, outcome(v))])
    assert ledger.outcomes([v.id])[v.id].curves == {}
    assert ledger.outcomes([v.id], curves=True)[v.id].curves == outcome(v).curves
    assert ledger.outcome(v.id, curves=False).curves == {}  # type: ignore[union-attr]


def test_more_ids_than_one_statement_takes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, variant: MakeVariant
) -> None:
    results = [
        (v := variant(seed), Outcome(v.id, "finished", score=float(seed))) for seed in range(103)
    ]
    ids = [o.variant_id for _, o in results]
    ledger.put_study("s", "search", {})
    with monkeypatch.context() as small:
        small.setattr(_database, "CHUNK", 10)
        for _ in range(2):
            ledger.record(results, study="s")
        assert list(ledger.variants(ids)) == ids
        assert [s.outcome.score for s in ledger.study_outcomes("s")] == list(range(103))
    asked = [*(f"no{i}" for i in range(40_000)), *ids]
    assert [o.score for o in ledger.outcomes(asked, curves=True).values()] == list(range(103))


def test_recording_nothing(ledger: Ledger) -> None:
    ledger.record([])
    ledger.put_study("s", "search", {})
    ledger.record([], study="s", notes=[])
    assert ledger.study_outcomes("s") == []


# -- the same id again -----------------------------------------------------------------------------


def test_again_changes_nothing(
    ledger: Ledger, tmp_path: Path, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    ledger.put_study("s", "ablate", {})
    results = [(v := variant(s), outcome(v)) for s in range(4)]
    notes = [{"arm": i} for i in range(4)]
    ledger.record(results, study="s", notes=notes)
    before = counts(tmp_path / "ledger.db")
    ledger.record(results, study="s", notes=notes)
    ledger.record(results[:2])
    assert counts(tmp_path / "ledger.db") == before
    assert [s.note for s in ledger.study_outcomes("s")] == notes


def test_the_first_finished_outcome_stays(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome, failed: MakeOutcome
) -> None:
    v = variant()
    ledger.record([(v, outcome(v))])
    ledger.record([(v, outcome(v, score=0.1, curves={"other": [1.0]}))])
    ledger.record([(v, failed(v))])
    assert ledger.outcome(v.id) == outcome(v)


def test_a_failure_is_a_fact_until_the_variant_finishes(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome, failed: MakeOutcome
) -> None:
    v = variant()
    ledger.put_study("s", "search", {})
    ledger.record([(v, failed(v))], study="s", notes=[{"trial": 0}])
    ledger.record([(v, Outcome(v.id, "failed", reason="another reason"))])
    assert ledger.outcome(v.id).reason == "the loss became NaN in epoch 1"  # type: ignore[union-attr]
    ledger.record([(v, outcome(v))])
    assert ledger.outcome(v.id) == outcome(v)
    assert [(s.outcome.status, s.note) for s in ledger.study_outcomes("s")] == [
        ("finished", {"trial": 0})
    ]


def test_a_failure_of_the_environment_gives_way_to_anything(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome, failed: MakeOutcome
) -> None:
    v, w = variant(0), variant(1)
    full = [
        (u, Outcome(u.id, "failed", reason="No space left on device", cause="environment"))
        for u in (v, w)
    ]
    ledger.record(full)
    assert ledger.outcome(v.id) == full[0][1]
    ledger.record([(v, failed(v)), (w, outcome(w))])
    assert [o.reason for o in ledger.outcomes([v.id, w.id]).values()] == [failed(v).reason, None]
    ledger.record(full)
    assert [o.reason for o in ledger.outcomes([v.id, w.id]).values()] == [failed(v).reason, None]


def test_what_finished_is_replaced_only_when_asked(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    v = variant()
    ledger.record([(v, outcome(v))])
    ledger.record([(v, outcome(v, score=0.5))])
    assert ledger.outcome(v.id) == outcome(v)
    ledger.record([(v, outcome(v, score=0.5))], replace=True)
    assert ledger.outcome(v.id) == outcome(v, score=0.5)
    ledger.record([(v, Outcome(v.id, "failed", reason="lost"))], replace=True)
    assert ledger.outcome(v.id) == outcome(v, score=0.5)


def test_twice_in_one_fleet(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome, failed: MakeOutcome
) -> None:
    v = variant()
    ledger.record([(v, failed(v)), (v, outcome(v)), (v, outcome(v, score=0.0))])
    assert ledger.outcome(v.id) == outcome(v)


def test_weights_are_noted_later(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    v, w, x = variant(0), variant(1), variant(2)
    ledger.record([(v, outcome(v)), (w, outcome(w)), (x, outcome(x, weights="first"))])
    ledger.set_weights(v.id, Path("weights") / "v.safetensors")
    ledger.record(
        [(w, outcome(w, weights="weights/w.safetensors")), (x, outcome(x, weights="second"))]
    )
    assert [o.weights for o in ledger.outcomes([v.id, w.id, x.id]).values()] == [
        "weights/v.safetensors",
        "weights/w.safetensors",
        "first",
    ]


def test_weights_of_nothing(ledger: Ledger) -> None:
    with pytest.raises(WorkspaceError, match="no outcome of variant 'nobody' to note weights for"):
        ledger.set_weights("nobody", "x")


# -- all or nothing --------------------------------------------------------------------------------


def test_a_fleet_with_a_mistake_leaves_nothing(
    ledger: Ledger, tmp_path: Path, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    before = counts(tmp_path / "ledger.db")
    v, w = variant(0), variant(1)
    with pytest.raises(
        ValueError, match=f"result 1: expected the outcome of variant {w.id}, got that of {v.id}"
    ):
        ledger.record([(v, outcome(v)), (w, outcome(v))])
    with pytest.raises(ValueError, match="JSON has no form for set"):
        ledger.record([(v, outcome(v)), (w, outcome(w, metrics={"a": {1}}))])
    with pytest.raises(ValueError, match="JSON has no form for set"):
        ledger.put_document("d", {"a": {1}})
    ledger.put_study("search", "search", {})
    with pytest.raises(WorkspaceError, match=r"no study 'serach' - did you mean 'search'\?"):
        ledger.record([(v, outcome(v))], study="serach")
    assert counts(tmp_path / "ledger.db") == {**before, "studies": 1}


def test_notes_must_fit(ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome) -> None:
    v = variant()
    with pytest.raises(ValueError, match="expected one note for each of 1 results, got 2"):
        ledger.record([(v, outcome(v))], study="s", notes=[{}, {}])
    with pytest.raises(ValueError, match="`notes` are a study's: name the study, too"):
        ledger.record([(v, outcome(v))], notes=[{}])


# -- studies and documents -------------------------------------------------------------------------


def test_a_study_keeps_its_order_and_its_notes(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    ledger.put_study("s", "search", {"trials": 6})
    vs = [variant(s) for s in (5, 1, 3)]
    ledger.record([(vs[0], outcome(vs[0]))])  # known from elsewhere
    ledger.record([(v, outcome(v)) for v in vs[1:]], study="s", notes=[{"trial": 0}, {"trial": 1}])
    ledger.record(
        [(v, outcome(v)) for v in (vs[0], vs[1])], study="s", notes=[{"trial": 2}, {"trial": 3}]
    )
    got = ledger.study_outcomes("s", curves=True)
    assert [(s.outcome, s.note["trial"]) for s in got] == [
        (outcome(vs[i]), t) for t, i in enumerate((1, 2, 0, 1))
    ]


def test_two_studies_share_outcomes(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    v = variant()
    for name in ("a", "b"):
        ledger.put_study(name, "search", {})
        ledger.record([(v, outcome(v))], study=name)
    assert [ledger.study_outcomes(n)[0].outcome.variant_id for n in ("a", "b")] == [v.id, v.id]
    assert ledger.study_outcomes("a")[0].note == {}


def test_studies_are_listed_and_replaced(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome
) -> None:
    v = variant()
    ledger.put_study("z", "search", {"trials": 1})
    ledger.put_study("a", "ablate", {"seeds": [1, 2]})
    ledger.record([(v, outcome(v))], study="z")
    created = ledger.studies()[0].created
    ledger.put_study("z", "search", {"trials": 9})
    assert [(s.name, s.kind, s.spec) for s in ledger.studies()] == [
        ("z", "search", {"trials": 9}),
        ("a", "ablate", {"seeds": [1, 2]}),
    ]
    assert ledger.studies()[0].created == created
    assert len(ledger.study_outcomes("z")) == 1
    with pytest.raises(WorkspaceError, match="the ledger has no study 'y'"):
        ledger.study_outcomes("y")


def test_documents(ledger: Ledger) -> None:
    assert ledger.get_document("run") is None
    assert ledger.documents() == []
    ledger.put_document("run", {"a": 1})
    ledger.put_document(
        "run",
        {
            "name": "é",
            "interval": (0.1, -math.inf),
            "n": np.int64(3),
            "scores": np.arange(3.0),
            "none": None,
        },
    )
    ledger.put_document("data", {})
    assert ledger.get_document("run") == {
        "name": "é",
        "interval": [0.1, -math.inf],
        "n": 3,
        "scores": [0.0, 1.0, 2.0],
        "none": None,
    }
    assert ledger.documents() == ["data", "run"]


# -- exports ---------------------------------------------------------------------------------------


def test_the_table_holds_outcomes_metrics_and_settings(
    ledger: Ledger, tmp_path: Path, variant: MakeVariant, outcome: MakeOutcome, failed: MakeOutcome
) -> None:
    v = variant(
        7, train=Train(optimizer=SGD(lr=0.5)), model=Model("nets:Net", hidden=[8, 8], width=64)
    )
    w = variant(8, model=Model("nets:Net", width="wide"))
    ledger.record([(v, outcome(v))])
    ledger.record([(w, failed(w))])
    frame = ledger.to_table()
    first, second = frame.rows(named=True)
    assert (first["variant_id"], first["status"], first["score"], first["metrics.accuracy"]) == (
        v.id,
        "finished",
        0.907,
        0.907,
    )
    assert (first["settings.train.optimizer.lr"], first["settings.seed"]) == (0.5, 7)
    assert (first["settings.model.args.hidden"], first["settings.model.args.width"]) == (
        "[8,8]",
        "64",
    )
    assert (second["status"], second["metrics.accuracy"], second["settings.model.args.width"]) == (
        "failed",
        None,
        "wide",
    )
    assert math.isnan(second["score"])
    ledger.export_csv(tmp_path / "out.csv")
    assert polars.read_csv(tmp_path / "out.csv").columns == frame.columns
    assert polars.read_csv(tmp_path / "out.csv")["variant_id"].to_list() == [v.id, w.id]


def test_no_setting_is_a_formula_in_a_spreadsheet(
    ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome, tmp_path: Path
) -> None:
    texts = ["=cmd|'/c calc'!A0", "-1+2", "plain"]
    for i, text in enumerate(texts):
        v = variant(i, model=Model("nets:Net", kind=text))
        ledger.record([(v, outcome(v))])
    ledger.export_csv(tmp_path / "out.csv")
    export_run(tmp_path, "csv", tmp_path / "run.csv")
    for name in ("out.csv", "run.csv"):
        written = polars.read_csv(tmp_path / name)
        assert sorted(written["settings.model.args.kind"].to_list()) == sorted(
            ["'=cmd|'/c calc'!A0", "'-1+2", "plain"]
        )
        # Numbers stay numbers
        assert written["score"].to_list() == ledger.to_table()["score"].to_list()


def test_the_table_of_nothing(ledger: Ledger) -> None:
    frame = ledger.to_table()
    assert frame.shape[0] == 0
    assert {"variant_id", "status", "score", "weights"} <= set(frame.columns)


def test_a_place_where_no_csv_can_be(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"cannot write the table of outcomes to .*nowhere"):
        ledger.export_csv(tmp_path / "nowhere" / "out.csv")


# -- threads ---------------------------------------------------------------------------------------


def test_threads_share_a_ledger(ledger: Ledger, variant: MakeVariant, outcome: MakeOutcome) -> None:
    errors: list[BaseException] = []
    ledger.put_study("s", "search", {})

    def work(thread: int) -> None:
        try:
            for i in range(10):
                v = variant(100 * thread + i)
                ledger.record([(v, outcome(v))], study="s", notes=[{"seed": v.seed}])
                assert ledger.outcome(v.id) == outcome(v)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(s.note["seed"] for s in ledger.study_outcomes("s")) == sorted(
        100 * t + i for t in range(4) for i in range(10)
    )


def test_a_document_can_be_forgotten(tmp_path: Path) -> None:
    with contextlib.closing(Ledger.open(tmp_path / "ledger.db")) as ledger:
        ledger.put_document("run", {"a": 1})
        ledger.put_document("data", {})

        ledger.remove_document("run")
        ledger.remove_document("never there")

        assert ledger.get_document("run") is None
        assert ledger.documents() == ["data"]
