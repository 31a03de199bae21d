"""The size and the density of the code, of the working tree or of commits side by side.

    python tools/measure_code.py               the working tree
    python tools/measure_code.py 97ce85e HEAD  commits, a column each

Figures are of ``src/winnow``. They are there to be looked at when something has grown, and nothing
fails on them.
"""

from __future__ import annotations

import ast
import io
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = "src/winnow"
WIDE = 100  # columns
LONG = 60  # lines of a function

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file, read once.

    Attributes:
        text: of the file.
        tree: of its syntax.
        comments: lines that hold a comment.
        code: lines that hold code: not blank, and not only a comment or a docstring.
    """

    text: str
    tree: ast.Module
    comments: int
    code: int

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def read(text: str) -> Source:
    tree = ast.parse(text)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    comments = {t.start[0] for t in tokens if t.type == tokenize.COMMENT}
    idle = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    code = {
        line
        for t in tokens
        if t.type not in idle and t.type != tokenize.ENDMARKER
        for line in range(t.start[0], t.end[0] + 1)
    }
    for node in docstrings(tree):
        code -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return Source(text, tree, len(comments), len(code))


def docstrings(tree: ast.AST) -> Iterator[ast.Expr]:
    """Strings that stand as a statement: docstrings, also those beside an attribute."""
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            assert isinstance(node, ast.Expr)
            yield node


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    has_docstring = ast.get_docstring(function, clean=False) is not None
    return whole - ((first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0)


def public(tree: ast.Module) -> Iterator[Function]:
    """Public functions, and public methods of public classes."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield inner


def arguments(function: Function) -> list[str]:
    """Names of what a caller gives."""
    own = function.args
    names = [a.arg for a in (*own.posonlyargs, *own.args, *own.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def gives(function: Function) -> bool:
    """Whether its annotation says that it returns something."""
    returned = function.returns
    return not (returned is None or (isinstance(returned, ast.Constant) and returned.value is None))


def begins(function: Function) -> bool:
    """Whether its docstring begins by saying what it gives."""
    return (ast.get_docstring(function) or "").startswith(("Return ", "Yield "))


def raises(function: Function) -> bool:
    """Whether a ``raise`` of an exception stands in it."""
    return any(isinstance(n, ast.Raise) and n.exc is not None for n in ast.walk(function))


def share(functions_: Sequence[Function], *sections: str) -> str:
    """How many of them have one of these sections in their docstring."""
    docs = [ast.get_docstring(function) or "" for function in functions_]
    told = sum(any(f"{section}:" in doc for section in sections) for doc in docs)
    return f"{told / max(len(docs), 1):.0%} of {len(docs)}"


def measure(sources: dict[str, Source]) -> dict[str, str]:
    """The figures by what they are, in words."""
    files = [len(s.lines) for s in sources.values()]
    lines, code = sum(files), sum(s.code for s in sources.values())
    found = [f for s in sources.values() for f in functions(s.tree)]
    sizes = [length(f) for f in found]
    nodes = sum(1 for s in sources.values() for _ in ast.walk(s.tree))
    wide = sum(len(line) > WIDE for s in sources.values() for line in s.lines)
    anys = sum(
        isinstance(n, ast.Name) and n.id == "Any"
        for s in sources.values()
        for n in ast.walk(s.tree)
    )
    comments = sum(s.comments for s in sources.values())
    shown = [f for s in sources.values() for f in public(s.tree)]
    docs = [ast.get_docstring(f) or "" for f in shown]
    return {
        "files": f"{len(files)}",
        "lines": f"{lines}",
        "lines of code": f"{code}",
        "lines of a file: median, 95 %, most": spread(files),
        "functions": f"{len(found)}",
        "lines of a function: median, 95 %, most": spread(sizes),
        f"functions over {LONG} lines": f"{sum(size > LONG for size in sizes)}",
        "syntax nodes a line of code": f"{nodes / code:.1f}",
        f"lines over {WIDE} columns": f"{wide} ({wide / lines:.0%})",
        "`Any` in 1,000 lines": f"{1000 * anys / lines:.1f}",
        "comments in 100 lines of code": f"{100 * comments / code:.1f}",
        "public functions": f"{len(shown)}",
        "of these with a docstring": f"{sum(map(bool, docs)) / max(len(docs), 1):.0%}",
        "`Args` where there are two or more": share(
            [f for f in shown if len(arguments(f)) >= 2], "Args"
        ),
        "`Raises` where a `raise` is in sight": share([f for f in shown if raises(f)], "Raises"),
        "`Returns` or `Yields` where something is returned": share(
            [f for f in shown if gives(f)], "Returns", "Yields"
        ),
        "of these, the docstring begins with Return or Yield": (
            f"{sum(begins(f) for f in shown if gives(f)) / max(sum(map(gives, shown)), 1):.0%}"
        ),
    }


def spread(values: Sequence[int]) -> str:
    if not values:
        return "-"
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{statistics.median(ordered):.0f}, {high}, {ordered[-1]}"


def of_working_tree() -> dict[str, Source]:
    paths = sorted((ROOT / FOLDER).rglob("*.py"))
    return {str(path.relative_to(ROOT)): read(path.read_text()) for path in paths}


def of_commit(commit: str) -> dict[str, Source]:
    listed = _git("ls-tree", "-r", "--name-only", commit, "--", FOLDER).splitlines()
    paths = [path for path in listed if path.endswith(".py")]
    return {path: read(_git("show", f"{commit}:{path}")) for path in paths}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return done.stdout


def table(columns: dict[str, dict[str, str]]) -> str:
    """The figures as a table in Markdown, one column for each name."""
    first = next(iter(columns.values()))
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    lines += [f"| {row} | {' | '.join(c[row] for c in columns.values())} |" for row in first]
    return "\n".join(lines)


def main(commits: Sequence[str]) -> None:
    columns = {commit: measure(of_commit(commit)) for commit in commits}
    print(table(columns or {"working tree": measure(of_working_tree())}))


if __name__ == "__main__":
    main(sys.argv[1:])
