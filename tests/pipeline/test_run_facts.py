"""Facts about a run."""

from __future__ import annotations

import pytest

from winnow.pipeline import _run_facts


def test_the_machine_names_what_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run_facts, "device", lambda: "NVIDIA H100")
    assert _run_facts.machine()["device"] == "NVIDIA H100"
