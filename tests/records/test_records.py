"""Records: what stages leave, to plain data and back, by this winnow and by the one before."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from winnow.errors import WorkspaceError
from winnow.execution import WayRecord, WaysRecord
from winnow.ledger import Ledger
from winnow.pipeline import list_runs, rewrite_report
from winnow.pipeline._summary import summary
from winnow.records import Document, Record, keep, plain, read, recall
from winnow.report._documents import KINDS, Documents
from winnow.stats import Interval
from winnow.study import LooksRecord

STORED = Path(__file__).parent / "documents_of_0_1.json"  # by the version before the records


@dataclass(frozen=True)
class Inner(Record):
    n: int
    code: Literal["a", "b"] | None = None


@dataclass(frozen=True)
class Outer(Document):
    NAME: ClassVar[str] = "outer"

    name: str = ""
    score: float = math.nan
    done: bool = False
    rows: tuple[float, ...] = ()
    inner: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner | None] = field(default_factory=dict)
    interval: Interval | None = None
    whatever: Any = None


FULL = Outer(
    name="x",
    score=0.5,
    done=True,
    rows=(1.0, 2.0),
    inner=(Inner(1), Inner(2, "b")),
    by_name={"one": Inner(1, "a"), "none": None},
    interval=Interval(0.5, 0.4, 0.6, 0.95, 5, lost=1),
    whatever={"a": [1, "b"]},
)


def test_a_record_comes_back_as_it_went() -> None:
    text = json.dumps(FULL.to_dict(), allow_nan=False)

    assert Outer.from_dict(json.loads(text)) == FULL


def test_what_is_missing_or_null_has_its_default_and_strange_names_are_passed_over() -> None:
    assert Outer.from_dict({"newer": 1, "done": None, "inner": [{"n": 3, "newer": 2}]}) == Outer(
        score=pytest.approx(math.nan, nan_ok=True), inner=(Inner(3),)
    )


def test_numbers_that_json_does_not_know_are_null_and_come_back_as_nan() -> None:
    document = Outer(score=math.inf, rows=(1.0, math.nan)).to_dict()

    assert document["score"] is None
    assert document["rows"] == [1.0, None]
    back = Outer.from_dict(document)
    assert math.isnan(back.score)
    assert math.isnan(back.rows[1])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"name": 3}, "document 'outer': name: expected text, got 3"),
        ({"score": "high"}, "document 'outer': score: expected a number, got 'high'"),
        ({"score": True}, "score: expected a number, got True"),
        ({"done": 1}, "done: expected true or false, got 1"),
        ({"rows": 3.0}, "rows: expected a list, got 3.0"),
        ({"rows": [1.0, "x"]}, r"rows\[1\]: expected a number, got 'x'"),
        ({"inner": [{"n": 1.5}]}, r"inner\[0\].n: expected a whole number, got 1.5"),
        ({"inner": [{}]}, r"inner\[0\].n is missing"),
        ({"by_name": {"a": {"n": 1, "code": "c"}}}, "by_name.a.code: expected one of a, b, got"),
        ({"by_name": []}, r"by_name: expected a mapping, got \[\]"),
        ({"interval": 0.5}, "interval: expected a mapping, got 0.5"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(
    document: dict[str, Any], message: str
) -> None:
    with pytest.raises(WorkspaceError, match=message):
        Outer.from_dict(document)


def test_plain_data_are_what_json_has() -> None:
    given = {
        1: (np.float64(0.5), np.int64(3), np.array([1.0, np.nan])),
        "i": Interval(1, -math.inf, 2, 0.9, 3),
    }

    found = plain(given)

    assert found == {
        "1": [0.5, 3, [1.0, None]],
        "i": {"mean": 1, "low": None, "high": 2, "confidence": 0.9, "n": 3, "lost": 0},
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_ledger_keeps_and_recalls_documents(tmp_path: Path) -> None:
    ways = WaysRecord({"search": WayRecord("apart", "cpu", {"torch": "2"})})
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert recall(ledger, Outer) is None
        keep(ledger, FULL)
        keep(ledger, ways)

        assert recall(ledger, Outer) == FULL
        assert recall(ledger, WaysRecord) == ways
        # by study, as older ledgers have it
        assert ledger.get_document("ways") == {"search": ways.studies["search"].to_dict()}
    assert read({"outer": FULL.to_dict()}, Outer) == FULL
    assert read({}, Outer) is None


# -- ledgers of older versions ---------------------------------------------------------------------


@pytest.fixture
def stored() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(STORED.read_text())
    return found


@pytest.mark.parametrize("kind", [*KINDS, LooksRecord, WaysRecord])
def test_every_document_of_an_older_ledger_is_read_whole(
    kind: type[Document], stored: dict[str, dict[str, Any]]
) -> None:
    document = stored[kind.NAME]

    again = kind.from_dict(document).to_dict()

    assert _without_new(again, document) == document


def _without_new(value: Any, old: Any) -> Any:
    """``value`` without the names that ``old`` lacks."""
    if isinstance(old, dict):
        assert isinstance(value, dict)
        return {k: _without_new(value[k], v) for k, v in old.items() if k in value}
    if isinstance(old, list):
        return [_without_new(a, b) for a, b in zip(value, old, strict=True)]
    return value


def test_every_document_of_a_stage_has_a_record(stored: dict[str, dict[str, Any]]) -> None:
    assert {kind.NAME for kind in (*KINDS, LooksRecord, WaysRecord)} == set(stored)
    assert Documents.of(stored).unknown == ()


def test_a_run_of_an_older_version_is_listed_summed_up_and_reported(
    tmp_path: Path, stored: dict[str, dict[str, Any]]
) -> None:
    with Ledger.open(tmp_path / "small" / "ledger.db") as ledger:
        for name, document in stored.items():
            ledger.put_document(name, document)

    (run,) = list_runs(tmp_path)

    assert (run.name, run.metric, run.state) == ("small", "accuracy", "finished")
    assert run.test == Interval.from_dict(stored["evaluation"]["metrics"]["accuracy"])
    said = summary(stored)
    assert dict(said)["verdict"] == stored["baselines"]["verdict"]
    for candidate in stored["compression"]["candidates"]:
        if not candidate["accepted"]:  # no code says why: in full, and once
            line = f"{candidate['name']} does not ship: {candidate['reason']}"
            assert [text for _, text in said].count(line) == 1
    page = rewrite_report(tmp_path / "small").read_text(encoding="utf-8")
    assert "There is no" not in page
    assert "which this report does not show" not in page
