"""What the benchmarks share: the reference network, a hand-written loop, the rate of matrix
products, alternating rounds.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

BATCH, FEATURES, WIDTH, CLASSES = 64, 64, 128, 10


def machine() -> str:
    """Processor, cores, Python and PyTorch, in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (
                line.split(":")[1].strip()
                for line in info.read_text().splitlines()
                if line.startswith("model name")
            ),
            model,
        )
    cores = len(os.sched_getaffinity(0))
    today = datetime.now(UTC).date()
    return (
        f"{model}, {cores} cores, Python {platform.python_version()}, PyTorch "
        f"{torch.__version__}, {today}"
    )


def network() -> nn.Sequential:
    """The reference MLP 64-128-128-10."""
    return nn.Sequential(
        nn.Linear(FEATURES, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, CLASSES),
    )


def hand_written_epochs(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    epochs: int,
    lr: float = 0.01,
    validation: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> int:
    """The loop a user would write: shuffle, forward, cross-entropy, backward, SGD with momentum.
    Steps taken.

    Args:
        x, y: training rows.
        epochs: passes over them.
        lr: learning rate.
        validation: rows whose loss and accuracy are computed after each epoch; None: none.
    """
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    steps = 0
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for rows in order.split(BATCH):
            if len(rows) < BATCH:
                continue
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            steps += 1
        if validation is not None:
            with torch.no_grad():
                logits = model(validation[0])
                nn.functional.cross_entropy(logits, validation[1]).item()
                (logits.argmax(1) == validation[1]).double().mean().item()
    return steps


def matrix_products(members: int) -> Callable[[], None]:
    """The batched products of one training step of the reference MLP and nothing else: what the
    machine allows at best.
    """
    inputs, hidden, outputs = (torch.randn(members, BATCH, n) for n in (FEATURES, WIDTH, CLASSES))
    first, second, last = (
        torch.randn(members, *s) for s in ((WIDTH, FEATURES), (WIDTH, WIDTH), (CLASSES, WIDTH))
    )

    def run() -> None:
        torch.bmm(inputs, first.mT)
        torch.bmm(hidden, second.mT)
        torch.bmm(hidden, last.mT)
        torch.bmm(outputs, last)
        torch.bmm(hidden, second)
        torch.bmm(outputs.mT, hidden)
        torch.bmm(hidden.mT, hidden)
        torch.bmm(hidden.mT, inputs)

    return run


def forward_products(members: int, rows: int) -> Callable[[], None]:
    """The same of a forward pass over ``rows`` rows, as for validation."""
    inputs, hidden = (torch.randn(members, rows, n) for n in (FEATURES, WIDTH))
    first, second, last = (
        torch.randn(members, *s) for s in ((WIDTH, FEATURES), (WIDTH, WIDTH), (CLASSES, WIDTH))
    )

    def run() -> None:
        torch.bmm(inputs, first.mT)
        torch.bmm(hidden, second.mT)
        torch.bmm(hidden, last.mT)

    return run


def alternate(
    contestants: dict[str, Callable[[], float]], *, rounds: int
) -> dict[str, list[float]]:
    """Run every contestant once a round, in turns: what else the machine does falls on all of
    them. Each gives a figure.
    """
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            figures[name].append(run())
    return figures


def spread(values: list[float]) -> str:
    """Median, and the range in brackets."""
    return f"{statistics.median(values):8.1f}  [{min(values):.1f} .. {max(values):.1f}]"
