"""Run as a script: a small run that kills its own process once so many trainings are told in a
stage.

``python killed.py OUT STAGE DONE``; without STAGE it runs to the end.
"""

from __future__ import annotations

import os
import signal
import sys

from winnow.execution import Event
from winnow.methods import SGD
from winnow.pipeline import Flow
from winnow.recipe import Ablate, Choice, Data, Final, Log, Model, Recipe, Search, Train, Uniform

RECIPE = Recipe(
    name="killed",
    data=Data(source="sklearn:iris"),
    model=Model("mlp", width=Choice(4, 8), depth=1),
    train=Train(
        epochs=3, batch_size=16, dropout=Uniform(0.0, 0.5), optimizer=SGD(lr=Log(0.01, 0.5))
    ),
    search=Search(trials=8, batch=2, leaders=2, seeds=2),
    ablate=Ablate(parts=("dropout", "momentum"), seeds=3),
    final=Final(seeds=2),
)


def main(out: str, stage: str = "", done: str = "0") -> None:
    def kill(event: Event) -> None:
        if event.stage == stage and event.done >= int(done):
            os.kill(os.getpid(), signal.SIGKILL)

    with Flow(RECIPE, out, progress=kill if stage else None) as flow:
        flow.evaluate()


if __name__ == "__main__":
    main(*sys.argv[1:])
