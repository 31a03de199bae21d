"""The bundle that a run directory stands for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bundle.conftest import Example

from winnow import bundle
from winnow.errors import BundleError


def test_a_run_directory_stands_for_the_bundle_in_it(iris: Example, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    with pytest.raises(
        BundleError,
        match=r"is a run directory without a bundle: `winnow run .*` goes on until there is one",
    ):
        bundle.load(tmp_path)

    place = iris.save(tmp_path / "iris.winnow")
    (tmp_path / "no_bundle.winnow").mkdir()
    assert bundle.load(tmp_path).path == place

    iris.save(tmp_path / "other.winnow")
    with pytest.raises(
        BundleError, match=r"with 2 bundles: name one of them, .*iris.winnow, .*other.winnow"
    ):
        bundle.load(tmp_path)
