"""Run as a script: two fleets side by side, in a program that kills itself once the quick one,
which was asked for later, ends.

``python -m tests.execution.failing OUT HOW``, HOW being ``threads`` or ``processes``.
"""

from __future__ import annotations

import os
import signal
import sys

from winnow.execution import (
    Event,
    Runner,
    Workspace,
    _capacity,
    _fleets,
    _plan,
    _processes,
    _runner,
)
from winnow.recipe import Data, Model, Train, Variant

SLOW = 100_000  # epochs: never reached


def asked(how: str) -> list[Variant]:
    def variant(seed: int, width: int, epochs: int) -> Variant:
        model = (
            Model("mlp", width=width, depth=1)
            if how == "threads"
            else Model("tests.execution.test_run:Fickle")
        )
        train = Train(epochs=epochs, batch_size=16)
        return Variant(
            data=Data(source="sklearn:iris"), model=model, train=train, metric="accuracy", seed=seed
        )

    return [variant(0, 4, SLOW), variant(1, 4, SLOW), variant(2, 8, 1), variant(3, 8, 1)][
        :: 2 if how == "processes" else 1
    ]


def main(out: str, how: str) -> None:
    # Two fleets at once, whatever the machine has
    for module in (_capacity, _fleets, _plan, _processes, _runner):
        module.cores = lambda: 2  # type: ignore[attr-defined]
    _plan.MEASURE_FROM = 10**12
    variants = asked(how)

    def kill(event: Event) -> None:
        if event.done == len(variants) // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    Runner(Workspace.open(out), progress=kill).train(variants)


if __name__ == "__main__":
    main(*sys.argv[1:])
