"""Documents of whole runs, and the pages made of them."""

from __future__ import annotations

from typing import Any

import pytest

from winnow.report import render_report

from . import documents

Documents = dict[str, dict[str, Any]]


@pytest.fixture
def classified() -> Documents:
    """Documents of a run on ten classes; a fresh copy for each test."""
    return documents.classification()


@pytest.fixture
def regressed() -> Documents:
    """Documents of a run that predicts a number."""
    return documents.regression()


@pytest.fixture(scope="session")
def classified_page() -> str:
    return render_report(documents.classification())


@pytest.fixture(scope="session")
def regressed_page() -> str:
    return render_report(documents.regression())
