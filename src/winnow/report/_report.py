"""The report: documents in, one HTML file out that needs no network and loads nothing."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly
from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from winnow.files import write_aside
from winnow.report import _caveats, _tables, _words
from winnow.report import _format as fmt
from winnow.report._documents import Documents
from winnow.report._errors import NothingToDraw
from winnow.report._figures import FIGURES
from winnow.report._style import VERDICTS

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
    """The report as HTML text: about 2 MB, of which Plotly's script is nearly all.

    Everything reads as text and tables before the figures' script runs. A document that is absent
    (a run that was stopped, a study alone) leaves a sentence in its section that says so.

    Args:
        documents: see ``write_report``.

    Raises:
        ReportError: a document is no mapping, or holds a value of another type than its record.
    """
    known = Documents.of(documents)
    figures, undrawn = _draw(known)
    script = _source("report.js")
    library = get_plotlyjs()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            documents=known,
            missing=_tables.missing(known),
            figures=figures,
            undrawn=undrawn,
            title=f"{(known.run and known.run.name) or 'winnow'}: report",
            library=Markup(_packed(library)),
            library_version=plotly.__version__,
            script=Markup(script),
            hashes=(_digest(script), _digest(library)),
            style=Markup(_source("report.css")),
        )
    )


def _draw(documents: Documents) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Figures by name, as JSON with their height in pixels, and why the others could not be
    drawn.
    """
    drawn, undrawn = {}, {}
    for name, (kind, draw) in FIGURES.items():
        document = getattr(documents, kind.NAME)
        if document is not None:
            try:
                figure = draw(document)
                drawn[name] = {"json": _in_script(figure.to_json()), "height": figure.layout.height}
            except NothingToDraw as reason:
                undrawn[name] = str(reason)
    return drawn, undrawn


def _in_script(text: str) -> Markup:
    """JSON that cannot end the script element it stands in, whatever its strings hold."""
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@functools.cache
def _packed(text: str) -> str:
    """gzip in base64: 2 MB in place of Plotly's 4.8, and the report's own text stays findable
    in the file.
    """
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _digest(script: str) -> str:
    """The script's entry in a content security policy: nothing but these two scripts may run in
    the report.
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _source(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("winnow.report", "templates"),
        autoescape=True,
        undefined=ChainableUndefined,  # a run that stopped early lacks documents
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    for helper in (
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
    ):
        environment.filters[helper] = getattr(fmt, helper)
    environment.filters["code"] = _words.code
    environment.filters["dotted"] = _words.dotted
    environment.filters["rich"] = _rich
    environment.globals |= {"say": _words, "caveats": _caveats, "tables": _tables, "fmt": fmt}
    environment.globals |= {"verdicts": VERDICTS, "finite": fmt.finite}
    return environment


def _rich(text: str) -> Markup:
    """A sentence of ours: what stands between backticks set as code, everything escaped."""
    pieces = text.split("`")
    return Markup(
        "".join(
            f"<code>{html.escape(p)}</code>" if i % 2 else html.escape(p)
            for i, p in enumerate(pieces)
        )
    )
