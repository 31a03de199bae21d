"""What stands once for all messages: the first line of an error, and the nearest name."""

from __future__ import annotations

import pytest

from winnow.errors import did_you_mean, first_line, kind_and_line, meant_instead


@pytest.mark.parametrize(
    ("error", "line", "both"),
    [
        (ValueError("one\ntwo"), "one", "ValueError: one"),
        (ValueError("  \n\n  late  \nmore"), "late", "ValueError: late"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError(" \n"), "ValueError", "ValueError"),
        (RuntimeError("x" * 400), "x" * 300, "RuntimeError: " + "x" * 300),
    ],
)
def test_the_first_line_of_an_error(error: Exception, line: str, both: str) -> None:
    assert first_line(error) == line
    assert kind_and_line(error) == both


def test_a_name_that_is_meant_is_told_and_others_are_listed_on_request() -> None:
    names = ["rows", "columns"]
    assert meant_instead("row", names) == did_you_mean("row", names) == " - did you mean 'rows'?"
    assert meant_instead("meaning", names) == ""
    assert did_you_mean("meaning", names) == " - known: rows, columns"
    # the names themselves may say "mean"
    assert meant_instead("zzz", ["mean", "median"]) == ""
