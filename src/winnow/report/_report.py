"""The report: documents in, one HTML file out that needs no network and loads nothing."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly
from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from winnow.files import write_aside
from winnow.report import _caveats, _sentences, _tables
from winnow.report import _format as fmt
from winnow.report._documents import Documents
from winnow.report._errors import NothingToDraw
from winnow.report.figures import FIGURES
from winnow.report.figures._style import VERDICTS

__all__ = ["render_report", "write_report"]


def write_report(documents: Mapping[str, Mapping[str, Any]], path: str | Path) -> Path:
    """Write the report to ``path``, over what was there.

    Args:
        documents: the facts that the stages left in the ledger, by name; any of them may be absent.
        path: of the HTML file; its folder is made when it is missing.

    Returns:
        The path that was written.

    Raises:
        ReportError: a document is no mapping, or holds a value of another type than its record.
        OSError: the file cannot be written.
    """
    path = Path(path)
    text = render_report(documents)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, text)
    return path


def render_report(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the report as HTML text: about 2 MB, of which Plotly's script is nearly all.

    Everything reads as text and tables before the figures' script runs. A document that is absent
    (a run that was stopped, a study alone) leaves a sentence in its section that says so.

    Args:
        documents: see ``write_report``.

    Raises:
        ReportError: a document is no mapping, or holds a value of another type than its record.
    """
    known = Documents.of(documents)
    drawn, undrawn = _draw(known)
    name = known.run.name if known.run is not None else None
    script, library = _source("report.js"), get_plotlyjs()
    template = _environment().get_template("report.html.j2")
    return template.render(
        documents=known,
        missing=_tables.missing(known),
        figures=drawn,
        undrawn=undrawn,
        title=f"{name or 'winnow'}: report",
        library=Markup(_packed(library)),
        library_version=plotly.__version__,
        script=Markup(script),
        hashes=(_digest(script), _digest(library)),
        style=Markup(_source("report.css")),
    )


@dataclass(frozen=True)
class DrawnFigure:
    """A figure as the page holds it.

    Attributes:
        json: for Plotly's script.
        height: in pixels.
        alternative: what it shows, for those who cannot see it.
        caption: how it is read.
    """

    json: Markup
    height: int
    alternative: str
    caption: Markup


def _draw(documents: Documents) -> tuple[dict[str, DrawnFigure], dict[str, str]]:
    """Return the figures by name, and why the others could not be drawn."""
    drawn: dict[str, DrawnFigure] = {}
    undrawn: dict[str, str] = {}
    for name, figure in FIGURES.items():
        document = getattr(documents, figure.document.NAME)
        if document is None:
            continue
        try:
            plot = figure.draw(document)
        except NothingToDraw as reason:
            undrawn[name] = str(reason)
            continue
        drawn[name] = DrawnFigure(
            json=_in_script(plot.to_json()),
            height=plot.layout.height,
            alternative=figure.alternative(document),
            caption=figure.caption(document),
        )
    return drawn, undrawn


def _in_script(text: str) -> Markup:
    """Return JSON that cannot end the script element it stands in, whatever its strings hold."""
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@functools.cache
def _packed(text: str) -> str:
    """Return text as gzip in base64: 2 MB in place of Plotly's 4.8.

    The report's own text stays findable in the file.
    """
    # Without a time, so that the same documents make the same file.
    packed = gzip.compress(text.encode(), 9, mtime=0)
    return base64.b64encode(packed).decode()


def _digest(script: str) -> str:
    """Return a script's entry in the content security policy.

    Nothing but the scripts that are named there may run in the report.
    """
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _source(name: str) -> str:
    """Return a file of the templates' folder as it is."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


# Functions of ``_format`` that templates use as filters
FILTERS = (
    "count",
    "duration",
    "interval",
    "interval_ends",
    "interval_mean",
    "level",
    "ms",
    "number",
    "open_range",
    "p_value",
    "percent",
    "plural",
    "signed",
    "size",
    "value",
    "words",
)


@functools.cache
def _environment() -> Environment:
    """Return what the templates are rendered in, with our filters."""
    environment = Environment(
        loader=PackageLoader("winnow.report", "templates"),
        autoescape=True,
        undefined=ChainableUndefined,  # a run that stopped early lacks documents
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(fmt, name) for name in FILTERS})
    environment.filters.update(
        capitalize_first=_capitalize_first,
        code=_sentences.code,
        dotted=_sentences.dotted,
        rich=_rich,
    )
    environment.globals.update(
        say=_sentences,
        caveats=_caveats,
        tables=_tables,
        fmt=fmt,
        verdicts=VERDICTS,
        finite=fmt.finite,
    )
    return environment


def _capitalize_first(text: str) -> str:
    """Return the text with its first letter large; the others stay, as in names of metrics."""
    return text[:1].upper() + text[1:]


def _rich(text: str) -> Markup:
    """Return a sentence of ours, everything escaped and what stands between backticks as code."""
    pieces: list[str] = []
    for i, piece in enumerate(text.split("`")):
        escaped = html.escape(piece)
        is_code = i % 2 == 1
        pieces.append(f"<code>{escaped}</code>" if is_code else escaped)
    return Markup("".join(pieces))
