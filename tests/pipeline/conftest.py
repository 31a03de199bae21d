"""A small recipe, and one finished run of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from winnow.execution import Event
from winnow.pipeline import Run, run
from winnow.recipe import Ablate, Choice, Data, Final, Model, Recipe, Search, Train, Uniform


def small(**changes: Any) -> Recipe:
    """Iris, two open settings, everything short."""
    settings: dict[str, Any] = {
        "name": "small",
        "data": Data(source="sklearn:iris"),
        "model": Model("mlp", width=Choice(4, 8), depth=1),
        "train": Train(epochs=3, batch_size=16, dropout=Uniform(0.0, 0.5), label_smoothing=0.1),
        "search": Search(trials=4, batch=2, leaders=2, seeds=2),
        "ablate": Ablate(parts=("dropout", "label_smoothing"), modules=("block1",), seeds=2),
        "final": Final(seeds=2),
    }
    return Recipe(**{**settings, **changes})


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return small()


class Told:
    """Remembers progress."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def stages(self) -> list[str]:
        return list(dict.fromkeys(e.stage for e in self.events if e.message is None))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(scope="session")
def finished(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Told]:
    """A whole run and what it told on the way."""
    told, out = Told(), tmp_path_factory.mktemp("runs") / "small"
    return run(recipe, out=out, progress=told), told


@pytest.fixture(scope="session")
def run_dir(finished: tuple[Run, Told]) -> Path:
    return finished[0].path
