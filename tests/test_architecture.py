"""The code keeps to the table of rooms in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "winnow"
# These import rooms where they are used, so that `import winnow` and `--help` are quick
LAZY = {"cli", "__init__"}
ENTRY_POINTS = {
    "src/winnow/execution/_worker.py"
}  # its pipes must be in place before anything can print


@dataclass(frozen=True)
class Import:
    """One import of a room by a room; ``nested`` when it stands inside a function or under
    TYPE_CHECKING.
    """

    of: str
    by: str
    place: str
    nested: bool


def room_table() -> dict[str, str]:
    """Room to the text of its column "may import", in the order of the table."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", text, flags=re.MULTILINE)
    return dict(rows)


def allowed(table: dict[str, str]) -> dict[str, set[str]]:
    """Room to the rooms it may import."""
    rooms = list(table)
    may: dict[str, set[str]] = {}
    for i, (room, text) in enumerate(table.items()):
        if text == "-":
            may[room] = set()
        elif text.startswith("everything"):
            barred = set(re.findall(r"`(\w+)`", text.partition("but")[2]))
            may[room] = set(rooms[:i]) - barred
        else:
            may[room] = {name.strip() for name in text.split(",")}
    return may


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "cli" if first == "__main__" else first


def imports_of(path: Path, source: str | None = None) -> Iterator[Import]:
    tree = ast.parse(path.read_text() if source is None else source)
    top = {id(node) for node in tree.body}
    package = ["winnow", *path.relative_to(SOURCE).parent.parts]
    rooms = {p.stem for p in SOURCE.glob("*.py")} | {p.name for p in SOURCE.iterdir() if p.is_dir()}
    for node in ast.walk(tree):
        for module in _modules(node, package):
            head, _, rest = module.partition(".")
            of = rest.partition(".")[0]
            if head == "winnow" and of in rooms and of != room_of(path):
                place = f"{path.relative_to(ROOT)}:{node.lineno}"  # type: ignore[attr-defined]
                yield Import(of=of, by=room_of(path), place=place, nested=id(node) not in top)


def _modules(node: ast.AST, package: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        return (
            [f"{module}.{alias.name}" for alias in node.names] if module == "winnow" else [module]
        )
    return []


def all_imports() -> list[Import]:
    return [found for path in sorted(SOURCE.rglob("*.py")) for found in imports_of(path)]


def diagram(arrows: set[tuple[str, str]], order: list[str]) -> str:
    """The packages as Mermaid draws them: every arrow that does not follow from others.

    Args:
        arrows: (importing, imported).
        order: of the packages, lowest first.
    """
    imports: dict[str, set[str]] = {room: {b for a, b in arrows if a == room} for room in order}
    below: dict[str, set[str]] = {}
    for room in order:
        below[room] = imports[room].union(*(below[b] for b in imports[room]))
    lines = ["graph TD"]
    for room in order:
        direct = {b for b in imports[room] if all(b not in below[c] for c in imports[room])}
        lines += [f"    {room} --> {b}" for b in order if b in direct]
    return "\n".join(lines)


def drawn_arrows() -> str:
    arrows = {(i.by, i.of) for i in all_imports() if i.by != "__init__"}
    return diagram(arrows, list(room_table()))


MERMAID = re.compile(r"(?<=^```mermaid\n).*?(?=^```$)", flags=re.MULTILINE | re.DOTALL)


def test_the_diagram_shows_the_imports() -> None:
    (shown,) = MERMAID.findall((ROOT / "docs" / "architecture.md").read_text())

    again = "the imports have changed: `python tests/test_architecture.py` draws them anew"
    assert shown.strip() == drawn_arrows(), again


def test_a_diagram_leaves_out_what_follows() -> None:
    arrows = {("b", "a"), ("c", "b"), ("c", "a"), ("d", "a")}

    shown = diagram(arrows, ["a", "b", "c", "d"]).splitlines()[1:]

    assert [line.strip() for line in shown] == ["b --> a", "c --> b", "d --> a"]


def test_every_decision_is_on_the_page() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Decisions")[2]

    listed = re.findall(r"\]\(decisions/([\w-]+\.md)\)", text)

    assert sorted(listed) == sorted(p.name for p in (ROOT / "docs" / "decisions").glob("*.md"))


def test_the_table_names_every_room_of_the_source() -> None:
    rooms = {room_of(p) for p in SOURCE.rglob("*.py")} - {"__init__"}

    assert rooms <= set(room_table())
    assert "errors" in rooms


def test_the_table_is_layered() -> None:
    may = allowed(room_table())

    two_way = {(a, b) for a in may for b in may[a] if a in may[b]}

    assert two_way == set()
    order = list(may)
    assert {(a, b) for a in may for b in may[a] if order.index(b) >= order.index(a)} == set()


def test_rooms_import_only_what_the_table_allows() -> None:
    may = allowed(room_table())

    wrong = [
        f"{i.place}: {i.by} imports {i.of}"
        for i in all_imports()
        if i.by != "__init__" and i.of not in may[i.by]
    ]

    assert wrong == []


def test_no_two_rooms_import_each_other() -> None:
    arrows = {(i.by, i.of) for i in all_imports() if i.by != "__init__"}

    assert {(a, b) for a, b in arrows if (b, a) in arrows} == set()


def test_rooms_import_each_other_at_the_top_of_the_file() -> None:
    nested = [
        i
        for i in all_imports()
        if i.nested and i.by not in LAZY and i.place.partition(":")[0] not in ENTRY_POINTS
    ]
    hidden = [f"{i.place}: {i.by} imports {i.of}" for i in nested]

    assert hidden == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from winnow.training import predict", ("training", False)),
        ("import winnow.execution._plan", ("execution", False)),
        ("from winnow import study", ("study", False)),
        ("from ..data import load_table", ("data", False)),
        ("def f():\n    from winnow.serving import serve", ("serving", True)),
        ("if True:\n    from winnow.ledger import Ledger", ("ledger", True)),
    ],
)
def test_every_form_of_import_is_seen(code: str, expected: tuple[str, bool]) -> None:
    found = list(imports_of(SOURCE / "stats" / "_example.py", code))

    assert [(i.of, i.nested) for i in found] == [expected]


if __name__ == "__main__":
    page = ROOT / "docs" / "architecture.md"
    page.write_text(MERMAID.sub(lambda _: drawn_arrows() + "\n", page.read_text()))
