"""Facts about a run."""

from __future__ import annotations

import pytest

from winnow.pipeline import _facts


def test_the_machine_names_what_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_facts, "device", lambda: "NVIDIA H100")
    assert _facts.machine()["device"] == "NVIDIA H100"
