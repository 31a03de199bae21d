"""Reading recipes from YAML, with the line of every mistake, and writing them so that people can
read them.

The dialect is YAML 1.2's core schema: ``1e-4`` is a number, ``yes`` and ``2026-01-01`` are text.
PyYAML itself reads YAML 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from winnow.errors import Problem, RecipeError, nearest
from winnow.recipe._sections import Sections
from winnow.recipe._used import USUAL
from winnow.spec import Choice, Settings, describe, is_range, join, option_labels, range_key

__all__ = ["Document", "dumps", "load", "loads", "written"]

R = TypeVar("R", bound=Sections)
LARGEST = 100_000  # nodes; only aliases that multiply each other get there
LARGEST_FILE = 2**20  # bytes
LONGEST_TEXT = 10_000  # characters of one name or value
SHORT = 72  # characters that a list or a small record may take on one line

_TAG = "tag:yaml.org,2002:"
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
# Tag: what plain text must look like, and its possible first letters; the first that fits counts
_CORE = {
    "null": (re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    "int": (re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    "float": (_FLOAT, list("-+.0123456789")),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own attribute, emptied of YAML 1.1


class _Dumper(yaml.SafeDumper):
    """Keeps YAML 1.1's rules beside ours when it decides what to quote, so that other readers
    see the same text.
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


for _name, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, _first)
    _Dumper.add_implicit_resolver(_TAG + _name, _pattern, _first)


# -- reading ---------------------------------------------------------------------------------------


def load(recipe: type[R], path: Path) -> R:
    """Return the recipe in a YAML file.

    Raises:
        RecipeError: for a file that is missing or no text, and for every mistake in it.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise RecipeError(Problem("", f"{str(path)!r} is no file", str(path)))
        with path.open("rb") as file:  # never more than is allowed, whatever it is
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise RecipeError(
                Problem(
                    "",
                    f"{str(path)!r} is no recipe: it has more than {LARGEST_FILE:,} bytes",
                    str(path),
                )
            )
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise RecipeError(Problem("", _no_such_file(path), str(path))) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise RecipeError(Problem("", f"cannot read {str(path)!r}: {reason}", str(path))) from None
    return loads(recipe, text, file=str(path))


def loads(recipe: type[R], text: str, *, file: str | None = None) -> R:
    """Return the recipe in YAML text.

    Raises:
        RecipeError: with every mistake, each with its line.
    """
    document = Document()
    try:
        data = document.read(text)
        if not document.problems or isinstance(data, Mapping):
            return _checked(recipe, data, document)
        raise RecipeError(document.problems)
    except RecipeError as error:
        located = [
            replace(p, file=file, line=p.line or document.line_of(p.setting))
            for p in error.problems
        ]
        raise RecipeError(sorted(located, key=lambda p: p.line or 0)) from None


def _checked(recipe: type[R], data: Any, document: Document) -> R:
    if not isinstance(data, Mapping):
        sections = ", ".join(recipe.model_fields)
        raise RecipeError(
            Problem(
                "",
                f"expected a mapping with the sections of a recipe ({sections}), got "
                f"{describe(data)}",
                line=1,
            )
        )
    try:
        found = recipe(**data)
    except RecipeError as error:
        raise RecipeError([*document.problems, *error.problems]) from None
    if document.problems:
        raise RecipeError(document.problems)
    return found


def _no_such_file(path: Path) -> str:
    folder = path.parent
    names = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
    close = nearest(path.name, names)
    where = (
        f" - did you mean {str(folder / close)!r}?"
        if close
        else ""
        if folder.is_dir()
        else f": no folder {str(folder)!r}"
    )
    return f"no such file {str(path)!r}{where}"


@dataclass
class Document:
    """Plain data read from YAML, and the line of each setting by its dotted path."""

    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    size: int = 0

    def read(self, text: str) -> Any:
        """Return the data in ``text``; what is wrong but leaves the rest readable goes to
        ``problems``.
        """
        if len(text) > LARGEST_FILE:
            raise RecipeError(
                Problem("", f"no recipe: it has more than {LARGEST_FILE:,} characters")
            )
        try:
            node = yaml.compose(text, Loader=_Loader)
            return None if node is None else self._value(node, "", ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise RecipeError(
                Problem("", _syntax(error), line=mark.line + 1 if mark else None)
            ) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise RecipeError(Problem("", f"not YAML: {error.reason}", line=line)) from None
        except RecursionError:
            raise RecipeError(Problem("", "not a recipe: nested too deeply")) from None

    def line_of(self, setting: str) -> int | None:
        """Return the line of a setting, or of the nearest thing around it that stands in the
        text.
        """
        while setting and setting not in self.lines:
            setting = re.sub(r"(?:^|\.)[^.\[]*$|\[[^\[]*$", "", setting)
        return self.lines.get(setting)

    def _value(self, node: yaml.Node, path: str, above: tuple[yaml.Node, ...]) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self.size += 1
        if node in above:
            raise RecipeError(Problem(path, "refers to itself", line=line))
        if self.size > LARGEST:
            raise RecipeError(Problem(path, f"a recipe of more than {LARGEST} values", line=line))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, (*above, node))
        if isinstance(node, yaml.SequenceNode):
            return [
                self._value(item, f"{path}[{i}]", (*above, node))
                for i, item in enumerate(node.value)
            ]
        return self._scalar(node, path, line)

    def _mapping(
        self, node: yaml.MappingNode, path: str, above: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(
                    Problem(
                        path,
                        "expected the name of a setting, got a list or mapping as key",
                        line=line,
                    )
                )
                continue
            name = str(key_node.value)
            if len(name) > LONGEST_TEXT:
                raise RecipeError(
                    Problem(
                        path,
                        f"a name of {len(name):,} characters: at most {LONGEST_TEXT:,} are taken",
                        line=line,
                    )
                )
            place = join(path, name)
            if name in found:
                self.problems.append(
                    Problem(place, f"given twice, first on line {self.lines[place]}", line=line)
                )
            self.lines.setdefault(place, line)
            found[name] = self._value(value_node, place, above)
        self._lines_of_options(found, path)
        return found

    def _lines_of_options(self, found: dict[str, Any], path: str) -> None:
        """Problems name an option of a choice by its kind or its place, without the word
        ``choice``.
        """
        options = found.get("choice") if range_key(found) == "choice" else None
        for i, label in enumerate(option_labels(options) if isinstance(options, list) else []):
            spelt = f"{join(path, 'choice')}[{i}]"
            for place, line in list(self.lines.items()):
                if place == spelt or place.startswith((f"{spelt}.", f"{spelt}[")):
                    for name in (label, f"[{i}]"):
                        if name:
                            self.lines.setdefault(join(path, name) + place[len(spelt) :], line)

    def _scalar(self, node: yaml.Node, path: str, line: int) -> Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if len(text) > LONGEST_TEXT:
            raise RecipeError(
                Problem(
                    path,
                    f"a value of {len(text):,} characters: at most {LONGEST_TEXT:,} are taken",
                    line=line,
                )
            )
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        try:
            if kind == "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            if kind == "float":
                return float(
                    text.replace(".inf", "inf").replace(".nan", "nan")
                    if text[-1].isalpha()
                    else text
                )
        except ValueError:
            raise RecipeError(
                Problem(path, f"expected a number, got {describe(text)}", line=line)
            ) from None
        if kind != "str":
            self.problems.append(Problem(path, f"unknown YAML tag {node.tag!r}", line=line))
        return text


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be read"
    if "'\\t'" in problem:
        problem = "YAML is indented with spaces, and here is a tab"
    elif problem.startswith("but found another document"):
        problem = "expected one document, and here begins another"
    context = (
        f" ({error.context})"
        if error.context and error.context != problem and "expected a single" not in error.context
        else ""
    )
    return f"not YAML: {problem}{context}"


# -- writing ---------------------------------------------------------------------------------------


class _OnOneLine(dict[str, Any]):
    """A mapping written as ``{a: 1, b: 2}``."""


class _ListOnOneLine(list[Any]):
    """A list written as ``[1, 2]``."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # Unicode's rarer line breaks are read back as plain ones unless they are escaped, which only
    # double quotes do
    return dumper.represent_scalar(
        f"{_TAG}str", text, style='"' if re.search("[\x85\u2028\u2029\ufeff]", text) else None
    )


_Dumper.add_representer(str, _text)
_Dumper.add_representer(
    _OnOneLine, lambda d, v: d.represent_mapping(f"{_TAG}map", v.items(), flow_style=True)
)
_Dumper.add_representer(
    _ListOnOneLine, lambda d, v: d.represent_sequence(f"{_TAG}seq", v, flow_style=True)
)


def dumps(recipe: Sections, *, defaults: bool = False) -> str:
    """Return YAML that reads back equal, sections in their order; settings at their defaults only
    with ``defaults``.
    """
    data = written(recipe, defaults=defaults)
    sections = {
        name: value if name in ("data", "model", "train") else _folded(value)
        for name, value in data.items()
    }
    for name in ("data", "model", "train"):
        if name in sections:
            sections[name] = {key: _folded(value) for key, value in sections[name].items()}
    if "args" in sections["model"]:
        sections["model"]["args"] = {
            key: _folded(value) for key, value in data["model"]["args"].items()
        }
    return yaml.dump(
        sections,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=130,
        default_flow_style=False,
    )


def written(value: Any, *, defaults: bool) -> Any:
    """Return a setting as plain data in YAML's form."""
    if isinstance(value, Choice):
        return {"choice": [written(option, defaults=defaults) for option in value.options]}
    if is_range(value) and isinstance(value, Settings):
        return value.model_dump()
    if isinstance(value, Settings):
        fields = type(value).model_fields
        kept = [
            n
            for n, f in fields.items()
            if defaults
            or (n == "kind" and not isinstance(value, USUAL))
            or getattr(value, n) != f.get_default(call_default_factory=True)
        ]
        return {name: written(getattr(value, name), defaults=defaults) for name in kept}
    if isinstance(value, Mapping):
        return {name: written(item, defaults=defaults) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [written(item, defaults=defaults) for item in value]
    return value


def _folded(value: Any) -> Any:
    """Return ``value`` with every mapping and list in it that is short enough put on one line."""
    if not isinstance(value, dict | list):
        return value
    if len(repr(value)) <= SHORT:
        return _flow(value)
    if isinstance(value, list):
        return (
            _flow(value)
            if not any(isinstance(item, dict | list) for item in value)
            else list(map(_folded, value))
        )
    return {name: _folded(item) for name, item in value.items()}


def _flow(value: Any) -> Any:
    if isinstance(value, dict):
        return _OnOneLine((name, _flow(item)) for name, item in value.items())
    return _ListOnOneLine(map(_flow, value)) if isinstance(value, list) else value
