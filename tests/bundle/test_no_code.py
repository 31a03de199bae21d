"""A bundle holds the recipe that made it, and nothing that reads a bundle follows the names in
it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from tests.bundle.conftest import Example

from winnow import bundle
from winnow.serving._app import create_app

RECIPE = """\
data: {source: "leaves_a_mark:rows"}
model: {use: "leaves_a_mark:Net"}
"""


def test_a_bundle_never_resolves_the_names_in_its_recipe(
    iris: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "leaves_a_mark.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    place = iris.save(tmp_path / "b.winnow", recipe_yaml=RECIPE, model={"use": "leaves_a_mark:Net"})
    columns = [column["name"] for column in iris.prepared.preparation.schema]
    rows = [columns, *load_iris().data[:3].tolist()]
    (tmp_path / "rows.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))

    loaded = bundle.load(place)
    loaded.predict(load_iris().data[:3])
    loaded.weights()
    bundle.predict_file(loaded, tmp_path / "rows.csv", tmp_path / "out.csv")
    create_app(loaded)

    assert loaded.recipe_yaml() == RECIPE
    assert "leaves_a_mark" not in sys.modules
    assert not mark.exists()
    import leaves_a_mark  # type: ignore[import-not-found] # noqa: F401

    assert mark.exists()  # the mark is one
