"""Everything winnow raises on purpose.

::

    WinnowError ├── RecipeError(ValueError)        a recipe says something that cannot be; lists
    every problem at once ├── DataError(ValueError)          the data cannot be used as asked ├──
    ModelError(ValueError)         the model cannot be built, switched or trained as asked ├──
    BundleError(ValueError)        a bundle is damaged, changed, too new, or not a bundle ├──
    InputError(ValueError)         rows given to a bundle do not fit its schema ├──
    WorkspaceError(RuntimeError)   a run directory or its ledger cannot be used ├──
    OutOfTime(RuntimeError)        the minutes of a run do not hold the least that it needs ├──
    report.ReportError(ValueError) the report cannot be made as asked └──
    MissingExtraError(ImportError) an optional dependency is needed; the message holds the install
    line
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "BundleError",
    "DataError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "OutOfTime",
    "Problem",
    "RecipeError",
    "WinnowError",
    "WorkspaceError",
    "did_you_mean",
    "first_line",
    "kind_and_line",
    "meant_instead",
    "nearest",
    "printable",
]


class WinnowError(Exception):
    """Root of every error that winnow raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One mistake: the setting at fault (dotted path), what was expected and found, and where
    it stands in a file.
    """

    setting: str
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file or '<recipe>'}:{self.line}: " if self.line is not None else ""
        return (
            f"{place}{self.setting}: {self.message}" if self.setting else f"{place}{self.message}"
        )


class RecipeError(WinnowError, ValueError):
    """A recipe that cannot be used. ``problems`` holds every mistake found, in the order of the
    file.
    """

    def __init__(self, problems: Sequence[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        elif isinstance(problems, Problem):
            problems = [problems]
        self.problems = tuple(problems)
        head = f"{len(self.problems)} problems in the recipe:\n  " if len(self.problems) > 1 else ""
        super().__init__(head + "\n  ".join(map(str, self.problems)))


class DataError(WinnowError, ValueError):
    """The data cannot be used as the recipe asks."""


class ModelError(WinnowError, ValueError):
    """The model cannot be built, switched or trained as asked."""


class BundleError(WinnowError, ValueError):
    """A bundle is damaged, was changed after it was written, is too new, or is no bundle."""


class InputError(WinnowError, ValueError):
    """Rows that do not fit a bundle's input schema. ``problems`` names the row and the field of
    each mistake.
    """

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        self.problems = tuple(problems)
        more = [f"and {len(self.problems) - 20} more"] if len(self.problems) > 20 else []
        super().__init__("; ".join([*map(str, self.problems[:20]), *more]))


class WorkspaceError(WinnowError, RuntimeError):
    """A run directory or its ledger cannot be used."""


class OutOfTime(WinnowError, RuntimeError):
    """The minutes of a run do not hold the least that it needs."""


class MissingExtraError(WinnowError, ImportError):
    """An optional dependency is needed.

    Args:
        package: what could not be imported.
        extra: the extra of ``winnow-ml`` that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs `{package}`, which is not installed: pip install 'winnow-ml[{extra}]'"
        )


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The member of ``names`` closest in spelling to ``name``, or None when nothing is close."""
    close = difflib.get_close_matches(str(name), [str(n) for n in names], n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The tail of an error message: `` - did you mean 'x'?``, or the list of names when nothing
    is close.
    """
    names = list(names)
    known = f" - known: {', '.join(map(str, names[:30]))}" if names else ""
    return meant_instead(name, names) or known


def meant_instead(name: str, names: Iterable[str]) -> str:
    """The tail `` - did you mean 'x'?`` of an error message that lists the names itself; empty
    when nothing is close.
    """
    close = nearest(name, names)
    return "" if close is None else f" - did you mean {close!r}?"


def first_line(error: BaseException) -> str:
    """The first line of an error's message that holds anything, no more than 300 characters of it;
    the error's kind where there is none.
    """
    lines = (line.strip() for line in str(error).splitlines())
    return next((line[:300] for line in lines if line), type(error).__name__)


def kind_and_line(error: BaseException) -> str:
    """``KeyError: 'a'``: an error's kind before its ``first_line``."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


# Everything but line feed and tab that a terminal obeys instead of showing, that turns the
# direction of writing, or that cannot be encoded (half of a surrogate pair, as in the names of
# files that are not UTF-8).
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: object) -> str:
    """``text`` with every control character written out, as ``\\x1b``: names and values come from
    files that anybody may have made, and a terminal would obey what is hidden in them.
    """
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], str(text))
