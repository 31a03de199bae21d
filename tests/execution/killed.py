"""Run as a script: variants that train in worker processes, in a program that kills itself after so
many epochs.

``python -m tests.execution.killed OUT EPOCHS``
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from winnow.execution import Event, Runner, Workspace
from winnow.methods import AdamW, Cosine
from winnow.recipe import Data, EarlyStopping, Model, Train, Variant

DATA = Data(source="sklearn:iris")
BATCH = 16  # rows, five steps an epoch; a model tells by them that it is trained, and not tried out


class Noisy(nn.Module):
    """Draws from PyTorch's global generator: cannot be stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(4, 6), nn.Linear(6, 3), nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        noise = 0.1 * torch.randn(x.shape) if self.training else 0.0
        return self.b(self.norm(self.a(x + noise)).relu())


class Slow(Noisy):
    """A step takes a minute."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == BATCH:
            time.sleep(60)
        return super().forward(x)


class Mortal(Noisy):
    """Kills its process in the middle of its third epoch.

    Args:
        place: a directory, in which it leaves a file for each death.
        number: of the signal.
        often: it lives once it has died so often.
    """

    def __init__(self, place: str, number: int, often: int) -> None:
        super().__init__()
        self.place, self.number, self.often = Path(place), number, often
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == BATCH:
            self.steps += 1
            deaths = len(list(self.place.iterdir()))
            if float(self.steps) == 13 and deaths < self.often:
                (self.place / str(deaths)).touch()
                os.kill(os.getpid(), self.number)
        return super().forward(x)


def variant(
    seed: int, model: type[nn.Module] = Noisy, arguments: dict[str, Any] | None = None, **train: Any
) -> Variant:
    settings = {
        "optimizer": AdamW(lr=0.02),
        "schedule": Cosine(warmup=0.3),
        "epochs": 6,
        "batch_size": BATCH,
        **train,
    }
    built = Model(f"tests.execution.killed:{model.__name__}", **(arguments or {}))
    return Variant(data=DATA, model=built, train=Train(**settings), metric="log_loss", seed=seed)


VARIANTS = [
    variant(0),
    variant(1, epochs=8),
    variant(2, early_stopping=EarlyStopping(patience=2, min_delta=0.3), epochs=9),
]


def main(out: str, epochs: str) -> None:
    heard = 0

    def kill(event: Event) -> None:
        nonlocal heard
        heard += event.member_steps_per_second is not None
        if heard == int(epochs):
            os.kill(os.getpid(), signal.SIGKILL)

    runner = Runner(Workspace.open(out), progress=kill, checkpoint_seconds=0)
    runner.train(VARIANTS, keep_weights=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
