"""The measure of the code, against a file that is counted by hand."""

from __future__ import annotations

import runpy
from pathlib import Path

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "measure_code.py"))

SAMPLE = '''"""A module."""

from typing import Any  # a comment


def shown(a: Any, b: int) -> int:
    """Add.

    Args:
        a: one.
    """
    if b:
        raise ValueError(b)

    # why
    return a


class Thing:
    """A class."""

    value: int
    """A field."""

    def _hidden(self) -> None: ...
'''


def test_a_sample_is_measured_as_by_hand() -> None:
    found = TOOL["measure"]({"sample.py": TOOL["read"](SAMPLE)})

    assert found["files"] == "1"
    assert found["lines"] == "25"
    # import, def, if, raise, return, class, value, def
    assert found["lines of code"] == "8"
    # `shown` has 11 lines, of which 5 are its docstring; `_hidden` has one
    assert found["lines of a function: median, 95 %, most"] == "4, 6, 6"
    assert found["`Any` in 1,000 lines"] == "40.0"
    assert found["comments in 100 lines of code"] == "25.0"
    assert found["public functions"] == "1"
    assert found["`Args` where there are two or more"] == "100% of 1"
    assert found["`Raises` where a `raise` is in sight"] == "0% of 1"
    assert found["`Returns` or `Yields` where something is returned"] == "0% of 1"
    assert found["lines over 100 columns"] == "0 (0%)"


def test_nodes_are_those_of_the_syntax_tree() -> None:
    # Module, Assign, Name, Store, BinOp, Constant, Add, Constant on one line
    found = TOOL["measure"]({"sample.py": TOOL["read"]("a = 1 + 2\n")})

    assert found["syntax nodes a line of code"] == "8.0"
