"""The try-out page and the page that describes the API: rendered once, self-contained, no
request leaves the server.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from winnow.bundle import VerdictRecord
from winnow.serving._answer import ModelInfo
from winnow.serving._fields import InputField, tidy
from winnow.serving._protocol import Limits, Predictor

__all__ = ["Image", "Pages", "find_image"]

LARGEST_SIDE = 128  # of an image that can be drawn, in pixels
GRID_FROM = 40  # more number columns than this stand in a compact grid
MOST_EXAMPLES = 10  # rows that the page offers to load into the form
PIXEL_NAME = re.compile(r"^(?:pixel|px|p)[_ -]?(\d+)[_x, -](\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Image:
    """Input that is one grey image, to be drawn on the page.

    Attributes:
        height, width: in pixels.
        low, high: ends of the range of the pixels' values.
        cells: for each pixel, row by row, the number of its column, -1 where there is none; empty
            when one column is the image.
    """

    height: int
    width: int
    low: float
    high: float
    cells: tuple[int, ...] = ()


def find_image(fields: Sequence[InputField], shape: Sequence[int]) -> Image | None:
    """Return the image that the columns make, if they do.

    They do when the model takes (1, H, W), when the one column is an array (1, H, W), or when the
    columns are named ``pixel_<row>_<column>``; of those some may be absent, as columns that are
    always 0 are left out of training.
    """
    if len(fields) == 1 and fields[0].kind == "array":
        shape = fields[0].shape
        return _image(fields, shape[1], shape[2], ()) if len(shape) == 3 and shape[0] == 1 else None
    if not fields or any(f.kind != "number" or f.format for f in fields):
        return None
    if len(shape) == 3 and shape[0] == 1 and math.prod(shape) == len(fields):
        return _image(fields, shape[1], shape[2], tuple(range(len(fields))))
    found = [PIXEL_NAME.match(f.name) for f in fields]
    places = {(int(m[1]), int(m[2])): i for i, m in enumerate(found) if m}
    if len(places) < len(fields):
        return None
    rows, columns = [r for r, _ in places], [c for _, c in places]
    height, width = max(rows) - min(rows) + 1, max(columns) - min(columns) + 1
    if 2 * len(fields) < height * width:
        return None
    cells = (
        places.get((r + min(rows), c + min(columns)), -1)
        for r in range(height)
        for c in range(width)
    )
    return _image(fields, height, width, tuple(cells))


def _image(
    fields: Sequence[InputField], height: int, width: int, cells: tuple[int, ...]
) -> Image | None:
    if not 2 <= min(height, width) <= max(height, width) <= LARGEST_SIDE:
        return None
    low = min((f.minimum for f in fields if f.minimum is not None), default=0.0)
    high = max((f.maximum for f in fields if f.maximum is not None), default=1.0)
    return Image(height, width, low, high if high > low else low + 1.0, cells)


class Pages:
    """The two pages of one bundle."""

    def __init__(
        self, predictor: Predictor, fields: Sequence[InputField], limits: Limits, info: ModelInfo
    ) -> None:
        self._templates = Environment(
            loader=PackageLoader("winnow.serving"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._facts = _facts(predictor, fields, limits, info)

    def try_out(self) -> Response:
        """Return the page with the form."""
        return self._render("page.html")

    def docs(self, host: str) -> Response:
        """Return the page that describes the API to someone who will write a client; ``host`` as
        the client knows this server.
        """
        known = re.fullmatch(r"[\w.\-:\[\]]{1,255}", host)
        return self._render("docs.html", host=host if known else "localhost:8000")

    def _render(self, template: str, **more: Any) -> Response:
        nonce = secrets.token_urlsafe(16)
        html = self._templates.get_template(template).render(**self._facts, nonce=nonce, **more)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src "
            f"data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        # A column may hold any text, so also a lone surrogate, which UTF-8 has no bytes for.
        body = html.encode("utf-8", errors="replace")
        return HTMLResponse(body, headers={"Content-Security-Policy": policy})


def _facts(
    predictor: Predictor, fields: Sequence[InputField], limits: Limits, info: ModelInfo
) -> dict[str, Any]:
    manifest = predictor.manifest
    image = find_image(fields, manifest.in_shape or ())
    numbers = sum(f.kind == "number" for f in fields)
    example = {f.name: f.example for f in fields}
    facts: dict[str, Any] = {
        "info": info,
        "fields": fields,
        "limits": limits,
        "classes": [str(tidy(c)) for c in predictor.classes or ()],
        "target": manifest.target,
        "unit": manifest.unit or "",
        "layout": "image" if image else "grid" if numbers > GRID_FROM else "form",
        "image": image,
        "scores": _scores(manifest.metrics),
        "recipe_scores": _scores(manifest.recipe_metrics),
        "deployed": _deployed(manifest.deployed),
        "test_rows": manifest.test_rows,
        "verdict": _verdict(manifest.verdict),
        "example_json": _json({"rows": [example]}, 2000),
        "example_texts": [_json(f.example, 80) for f in fields],
    }
    script_facts = {
        "task": info.task,
        "fields": [asdict(f) for f in fields],
        "image": asdict(image) if image else None,
        "examples": _examples(manifest.examples, fields, example),
        "target": facts["target"],
        "unit": facts["unit"],
    }
    return {**facts, "script_facts": script_facts}


def _json(value: Any, length: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length else f"{text[:length]} ..."


def _examples(
    given: Sequence[Mapping[str, Any]], fields: Sequence[InputField], example: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return rows to load into the form.

    Args:
        given: the manifest's; those that lack a field are passed over.
        fields: of the form.
        example: the row of the schema's examples, for a manifest without any.
    """
    names = [field.name for field in fields]
    whole = [row for row in given if all(name in row for name in names)]
    rows = [{name: tidy(row[name]) for name in names} for row in whole[:MOST_EXAMPLES]]
    return rows or [dict(example)]


def _scores(measured: Any) -> list[tuple[str, str]]:
    """Return scores as words: ``("accuracy", "0.97 [0.94, 0.99]")``, with no more digits than the
    interval gives.
    """
    found = []
    for name, value in dict(measured or {}).items():
        if isinstance(value, Mapping) and _is_number(value.get("mean")):
            mean, low, high = value["mean"], value.get("low"), value.get("high")
            if low is not None and high is not None:
                places = _places((high - low) / 2)
                found.append(
                    (
                        name.replace("_", " "),
                        f"{mean:.{places}f} [{low:.{places}f}, {high:.{places}f}]",
                    )
                )
            else:
                found.append((name.replace("_", " "), f"{mean:.2g}"))
        elif _is_number(value):
            found.append((name.replace("_", " "), f"{value:.2g}"))
    return found[:6]


def _deployed(kind: str) -> str:
    """Return what the model file is, in a word; empty where the manifest does not say it."""
    return "float32" if kind == "fp32" else kind


def _verdict(found: VerdictRecord | None) -> tuple[str, bool] | None:
    """Return what the manifest says of the model beside simple ones, and whether it is shown to
    beat a constant; None: nothing.
    """
    if found is None or not found.text:
        return None
    text = found.text
    return f"{text[:1].upper()}{text[1:]}.", found.beats_constant


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _places(half: float) -> int:
    """Return decimals that show one digit of half an interval's width, two where it begins with 1
    or 2.
    """
    if not half > 0:
        return 2
    exponent = math.floor(math.log10(half))
    digits = 2 if half < 3 * 10.0**exponent else 1
    return min(max(digits - 1 - exponent, 0), 9)
