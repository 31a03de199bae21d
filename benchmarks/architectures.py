"""Fleets of five small architectures, trained the way the plan chooses, against two processes.

Each contestant trains the same members (the same network, data, batches of 32, epochs) with the
same work around it: shuffling, validation after each epoch, the best weights kept. The processes
run a hand-written PyTorch loop on one thread each, one member after another; starting them and
importing PyTorch is not counted. winnow's time is that of its runner in a fresh workspace, with
planning, probing, ledger and weights. The plan is told how many trainings the study is going to ask
for (--ahead), as
a search tells it: where that is enough, it compiles. "First" is winnow's first run in this process,
which measures, decides and compiles; the figure with the range is of the runs after it.

    python benchmarks/architectures.py [--rounds 3] [--members 32] [--epochs 10] [--ahead 1000]
    [--only lstm ...]
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import alternate, machine, spread
from torch import Tensor, nn

from winnow.execution import Runner, Workspace, cores
from winnow.methods import AdamW
from winnow.recipe import Data, Model, Train, Variant

ROWS, FEATURES, CLASSES, BATCH = 1797, 64, 10, 32


class Tabular(nn.Sequential):
    """16-32-32-2, as for a table."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :16])  # type: ignore[no-any-return]


class Dropped(nn.Sequential):
    """The reference MLP with dropout."""

    def __init__(self) -> None:
        layers = [
            nn.Linear(64, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
        ]
        super().__init__(*layers, nn.Linear(128, CLASSES))


class ConvNet(nn.Sequential):
    """Two convolutions with batch normalization on 8 x 8 images."""

    def __init__(self) -> None:
        first = [
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
        ]
        second = [
            nn.Conv2d(8, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        ]
        super().__init__(*first, *second, nn.Linear(16 * 16, CLASSES))


class LSTM(nn.Module):
    """32 hidden units over 8 steps of 8 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x.view(-1, 8, 8))[0][:, -1])  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Two encoder layers of width 32 with four heads over 8 steps of 8 numbers, dropout 0.1."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            32, 4, 64, dropout=0.1, batch_first=True, norm_first=True
        )
        self.into, self.out = nn.Linear(8, 32), nn.Linear(32, CLASSES)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(self.into(x.view(-1, 8, 8))).mean(dim=1))  # type: ignore[no-any-return]


NETWORKS: dict[str, type[nn.Module]] = {
    "tabular": Tabular,
    "dropout": Dropped,
    "convnet": ConvNet,
    "lstm": LSTM,
    "transformer": Transformer,
}


def data() -> Data:
    rng = np.random.default_rng(0)
    return Data.arrays(
        rng.normal(size=(ROWS, FEATURES)), rng.integers(0, 2, size=ROWS), task="classification"
    )


def hand_written(
    network: type[nn.Module], seed: int, epochs: int, tensors: tuple[Tensor, ...]
) -> None:
    """Train one member as a user would."""
    x, y, xv, yv = tensors
    torch.manual_seed(seed)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    best, kept = -1.0, None
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            score = float((model(xv).argmax(1) == yv).double().mean())
        if score > best:
            best, kept = score, copy.deepcopy(model.state_dict())
    assert kept is not None


def _worker(pipe: Connection) -> None:
    from winnow.data import prepare

    torch.set_num_threads(1)
    prepared = prepare(data())
    tensors = (
        *prepared.tensors("train", torch.float32),
        *prepared.tensors("validation", torch.float32),
    )
    while (job := pipe.recv()) is not None:
        network, seeds, epochs = job
        for seed in seeds:
            hand_written(NETWORKS[network], seed, epochs, tensors)
        pipe.send(None)


class Processes:
    """Two workers that wait for members to train."""

    def __init__(self, count: int = 2) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.workers = [], []
        for _ in range(count):
            mine, theirs = context.Pipe()
            worker = context.Process(target=_worker, args=(theirs,), daemon=True)
            worker.start()
            self.pipes.append(mine)
            self.workers.append(worker)

    def train(self, network: str, members: int, epochs: int) -> float:
        """Seconds."""
        began = time.perf_counter()
        for i, pipe in enumerate(self.pipes):
            pipe.send((network, list(range(i, members, len(self.pipes))), epochs))
        for pipe in self.pipes:
            pipe.recv()
        return time.perf_counter() - began

    def close(self) -> None:
        """Let the workers end."""
        for pipe, worker in zip(self.pipes, self.workers, strict=True):
            pipe.send(None)
            worker.join()
            pipe.close()


def winnow_fleet(
    network: str, members: int, epochs: int, ahead: int, section: Data, told: list[str]
) -> Callable[[], float]:
    """Seconds of the runner; what the plan chose goes to ``told``."""
    train = Train(epochs=epochs, batch_size=BATCH, optimizer=AdamW(lr=1e-3))
    variants = [
        Variant(
            data=section, model=Model(NETWORKS[network]), train=train, metric="accuracy", seed=s
        )
        for s in range(members)
    ]

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder, Workspace(Path(folder)) as workspace:
            began = time.perf_counter()
            runner = Runner(workspace)
            outcomes = runner.train(variants, keep_weights=True, ahead=ahead)
            seconds = time.perf_counter() - began
        assert all(o.finished for o in outcomes)
        told[:] = sorted({f"{f.members} {f.how}: {f.reason}" for f in runner.fleets})
        return seconds

    return run


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--ahead", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=sorted(NETWORKS), default=sorted(NETWORKS))
    arguments = parser.parse_args(given)
    section = data()
    processes = Processes()
    for _ in range(2):
        processes.train("tabular", 2, 1)  # warm
    print(machine(), f"- {arguments.members} members, {arguments.epochs} epochs, {cores()} cores")
    print(
        f"{'seconds, median [range]':14s} {'winnow':>32s} {'two processes':>32s}   {'times':>5s} "
        f" {'first':>6s}"
    )
    for network in arguments.only:
        told: list[str] = []
        fleet = winnow_fleet(
            network, arguments.members, arguments.epochs, arguments.ahead, section, told
        )
        first = fleet()
        contestants: dict[str, Any] = {
            "winnow": fleet,
            "processes": lambda name=network: processes.train(
                name, arguments.members, arguments.epochs
            ),
        }
        figures = alternate(contestants, rounds=arguments.rounds)
        ratio = statistics.median(figures["processes"]) / statistics.median(figures["winnow"])
        print(
            f"{network:14s} {spread(figures['winnow']):>32s} {spread(figures['processes']):>32s} "
            f"  {ratio:5.2f}  {first:6.1f}",
            flush=True,
        )
        for line in told:
            print(f"    {line}", flush=True)
    processes.close()


if __name__ == "__main__":
    main()
