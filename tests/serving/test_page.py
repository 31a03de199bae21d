"""The try-out page as it is sent: self-contained, escaped, with the form that the schema asks
for.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.serving.doubles import MIXED, Client, LinearBundle, mixed

from winnow.serving import create_app
from winnow.serving._fields import read_fields
from winnow.serving._page import find_image


class Page(HTMLParser):
    """The elements of a page and the facts its script reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.script = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1] == (
            "script",
            {"type": "application/json", "id": "facts"},
        ):
            self.script += data

    @property
    def facts(self) -> dict[str, Any]:
        return json.loads(self.script)

    def ids(self) -> set[str]:
        return {str(a["id"]) for _, a in self.elements if "id" in a}


def page_of(schema: list[dict[str, Any]], **options: Any) -> Page:
    return Page(Client(create_app(LinearBundle(schema, **options))).get("/").text)


def number(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "number", "minimum": 0.0, "maximum": 16.0, "typical": 8.0, **more}


def test_nothing_comes_from_elsewhere() -> None:
    reply = Client(create_app(mixed())).get("/")
    page = Page(reply.text)

    outside = [
        a
        for _, a in page.elements
        for key in ("src", "href", "action")
        if re.match(r"(https?:)?//", a.get(key) or "")
    ]
    assert outside == []
    assert "@import" not in reply.text
    assert "url(" not in reply.text
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "connect-src 'self'" in policy


def test_every_script_and_style_carries_the_nonce_of_its_answer() -> None:
    app = Client(create_app(mixed()))
    first, second = app.get("/"), app.get("/")
    nonces = {
        a.get("nonce")
        for tag, a in Page(first.text).elements
        if tag in ("script", "style") and a.get("type") is None
    }

    assert len(nonces) == 1
    assert f"'nonce-{nonces.pop()}'" in first.headers["content-security-policy"]
    assert first.headers["content-security-policy"] != second.headers["content-security-policy"]


def test_every_control_has_a_label() -> None:
    page = page_of(MIXED, classes=["a", "b"])
    labeled = {a.get("for") for tag, a in page.elements if tag == "label"}
    controls = [a for tag, a in page.elements if tag in ("input", "select", "textarea")]

    assert len(controls) == 6  # one for each column, and one for another category
    assert all(a["id"] in labeled or a.get("aria-label") for a in controls)
    for attributes in controls:
        for described in (attributes.get("aria-describedby") or "").split():
            assert described in page.ids()


def test_controls_fit_the_kinds() -> None:
    elements = {a.get("id"): (tag, a) for tag, a in page_of(MIXED, classes=["a", "b"]).elements}

    assert elements["field-0"][1]["inputmode"] == "decimal"
    assert elements["field-1"][1]["inputmode"] == "text"  # it may be negative
    assert elements["field-2"][0] == "select"
    assert elements["field-3"][1]["type"] == "checkbox"
    assert elements["field-4"][0] == "select"  # yes, no, unknown


@pytest.mark.parametrize(("gaps", "tag"), [(0, "input"), (3, "select")])
def test_unknown_is_offered_where_training_had_gaps(gaps: int, tag: str) -> None:
    page = page_of(
        [{"name": "x", "kind": "boolean", "missing_allowed": True, "gaps": gaps, "typical": True}]
    )

    assert [t for t, a in page.elements if a.get("id") == "field-0"] == [tag]


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"


def test_text_from_the_data_stays_text() -> None:
    schema = [
        number(HOSTILE),
        {"name": "c", "kind": "category", "categories": [HOSTILE], "typical": HOSTILE},
    ]
    bundle = LinearBundle(
        schema, classes=[HOSTILE, "b"], name=HOSTILE, target=HOSTILE, metrics={HOSTILE: 1.0}
    )
    app = Client(create_app(bundle))

    for path in ("/", "/docs"):
        text = app.get(path).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "49" not in re.sub(r"[\w-]*49[\w-]+|[\w-]+49[\w-]*|#\w+", "", text)
    page = Page(app.get("/").text)
    assert page.facts["fields"][0]["name"] == HOSTILE
    assert page.facts["fields"][1]["categories"] == [HOSTILE]


def test_scores_are_shown_with_their_interval() -> None:
    text = Client(create_app(mixed())).get("/").text

    assert "0.871 [0.851, 0.891]" in text
    assert "log loss" in text


def test_many_numbers_stand_in_a_grid() -> None:
    forty = page_of([number(f"x{i}") for i in range(40)])
    more = page_of([number(f"x{i}") for i in range(41)])

    assert any(a.get("class") == "columns layout-form" for _, a in forty.elements)
    assert any(a.get("class") == "columns layout-grid" for _, a in more.elements)


# -- images ----------------------------------------------------------------------------------------


def test_columns_named_as_pixels_are_an_image() -> None:
    fields = read_fields([number(f"pixel_{r}_{c}") for r in range(8) for c in range(8)])

    image = find_image(fields, ())

    assert image is not None
    assert (image.height, image.width, image.low, image.high) == (8, 8, 0, 16)
    assert image.cells == tuple(range(64))


def test_pixels_that_were_left_out_leave_holes() -> None:
    image = find_image(
        read_fields([number("pixel_0_1"), number("pixel_1_0"), number("pixel_1_1")]), ()
    )

    assert image is not None
    assert image.cells == (-1, 0, 1, 2)


def test_the_shape_of_the_model_makes_an_image() -> None:
    fields = read_fields([number(f"x{i}") for i in range(12)])

    image = find_image(fields, [1, 3, 4])

    assert image is not None
    assert (image.height, image.width) == (3, 4)
    assert find_image(fields, [3, 2, 2]) is None
    assert find_image(fields, [12]) is None


@pytest.mark.parametrize(
    ("shape", "found"),
    [([1, 28, 28], True), ([3, 8, 8], False), ([1, 500, 500], False), ([1, 28], False)],
)
def test_arrays_of_one_channel_are_images(shape: list[int], found: bool) -> None:
    fields = read_fields(
        [{"name": "image", "kind": "array", "shape": shape, "minimum": 0.0, "maximum": 1.0}]
    )

    assert (find_image(fields, shape) is not None) is found


@pytest.mark.parametrize(
    "schema",
    [
        [number("pixel_0_0"), number("pixel_9_9")],
        [number("pixel_0_0"), number("pixel_0_1"), number("pixel_1_0"), number("age")],
        [number("a"), number("b"), number("c"), number("d")],
        [
            *(number(f"pixel_{i // 2}_{i % 2}") for i in range(3)),
            {"name": "pixel_1_1", "kind": "boolean"},
        ],
    ],
    ids=["mostly holes", "one more column", "other names", "not all numbers"],
)
def test_what_is_no_image(schema: list[dict[str, Any]]) -> None:
    assert find_image(read_fields(schema), ()) is None


def test_examples_come_from_the_manifest() -> None:
    rows = [{"a": 1.0, "b": 2.0}, {"a": 3.0}, {"a": 4.0, "b": 5.0, "c": 6.0}]

    page = page_of([number("a"), number("b")], examples=rows)

    assert page.facts["examples"] == [{"a": 1, "b": 2}, {"a": 4, "b": 5}]
    assert page_of([number("a", example=3.0)]).facts["examples"] == [{"a": 3}]


@pytest.mark.parametrize(("beats", "look"), [(True, "verdict"), (False, "verdict caution")])
def test_the_verdict_of_the_manifest_stands_on_the_page(beats: bool, look: str) -> None:
    verdict = {"text": "not <shown> to be better than a linear model", "beats_constant": beats}
    page = (
        Client(create_app(LinearBundle(MIXED, classes=["a", "b", "c"], verdict=verdict)))
        .get("/")
        .text
    )

    assert f'<p class="{look}">Not &lt;shown&gt; to be better than a linear model.</p>' in page
    assert (
        'class="verdict'
        not in Client(create_app(LinearBundle(MIXED, classes=["a", "b", "c"]))).get("/").text
    )


def test_the_files_own_scores_and_the_recipes_stand_under_their_names() -> None:
    bundle = LinearBundle(
        MIXED,
        classes=["a", "b", "c"],
        deployed="int8",
        test_rows=40,
        metrics={
            "accuracy": {"mean": 0.9, "low": 0.77, "high": 0.96},
            "log_loss": {"mean": 0.31, "low": None, "high": None},
        },
        recipe_metrics={"accuracy": {"mean": 0.925, "low": 0.918, "high": 0.932}},
    )
    client = Client(create_app(bundle))

    page = " ".join(client.get("/").text.split())
    model = client.get("/model").json()

    # No third digit: 40 rows do not give one
    assert "<dt>accuracy</dt><dd>0.90 [0.77, 0.96]</dd>" in page
    assert "<dt>log loss</dt><dd>0.31</dd>" in page
    assert (
        "this int8 model file, on 40 test rows it had not seen: so few that these figures are rough"
        in page
    )
    assert page.index("What the recipe gives on average") < page.index("0.925 [0.918, 0.932]")
    assert model["metrics"]["values"] == bundle.manifest.metrics
    assert model["recipe_metrics"]["values"] == bundle.manifest.recipe_metrics
    assert (model["deployed"], model["test_rows"]) == ("int8", 40)
