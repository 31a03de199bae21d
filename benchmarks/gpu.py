"""V members as one fleet on a GPU against the same members trained one after another on it.

The reference MLP 64-128-128-10 and a small ConvNet, both with batches of 64 of 1,078 rows that stay
on the device. The fleet is winnow's driver as studies run it: compiled, captured as a CUDA graph,
validated after each epoch. One after another is a hand-written PyTorch loop, each member's steps on
the same device; with --eager-members it trains only so many and is scaled up.

    python benchmarks/gpu.py [--members 128] [--epochs 20] [--rounds 3] [--eager-members 8]

Where PyTorch finds no GPU it says so and ends.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from _common import BATCH, alternate, machine, network, spread
from architectures import ConvNet
from fleet import data
from torch import nn

from winnow.data import PreparedData, prepare
from winnow.methods import SGD
from winnow.recipe import Data, Model, Train, Variant
from winnow.training import train_fleet

NETWORKS: dict[str, Callable[[], nn.Module]] = {"mlp": network, "convnet": ConvNet}
AIMS = {"mlp": 50, "convnet": 15}


def one_after_another(
    make: Callable[[], nn.Module], prepared: PreparedData, members: int, epochs: int
) -> float:
    """Seconds of a member-step."""
    device = torch.device("cuda")
    x, y = (t.to(device) for t in prepared.tensors("train", torch.float32))
    torch.cuda.synchronize()
    began, steps = time.perf_counter(), 0
    for seed in range(members):
        torch.manual_seed(seed)
        model = make().to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        for _ in range(epochs):
            for rows in torch.randperm(len(x), device=device).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
                steps += 1
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / steps


def one_fleet(
    make: Callable[[], nn.Module], section: Data, prepared: PreparedData, members: int, epochs: int
) -> float:
    """Seconds of a member-step."""
    train = Train(epochs=epochs, batch_size=BATCH, optimizer=SGD(lr=0.01, momentum=0.9))
    variants = [
        Variant(data=section, model=Model(make), train=train, metric="accuracy", seed=s)
        for s in range(members)
    ]
    torch.cuda.synchronize()
    began = time.perf_counter()
    results = train_fleet(variants, prepared, stacked=True, compiled=True)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / sum(r.outcome.steps for r in results)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--eager-members", type=int, default=8)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"no GPU is at hand: {machine()}; nothing was measured", file=sys.stderr)
        raise SystemExit(1)
    section = data()
    prepared = prepare(section)
    print(f"{torch.cuda.get_device_name()}; {machine()}")
    for name, make in NETWORKS.items():
        contestants: dict[str, Callable[[], float]] = {
            "fleet": lambda make=make: (
                one_fleet(make, section, prepared, arguments.members, arguments.epochs) * 1e6
            ),
            "one after another": lambda make=make: (
                one_after_another(make, prepared, arguments.eager_members, arguments.epochs) * 1e6
            ),
        }
        for run in contestants.values():  # warm up, compile
            run()
        figures = alternate(contestants, rounds=arguments.rounds)
        ratio = statistics.median(figures["one after another"]) / statistics.median(
            figures["fleet"]
        )
        for contestant, values in figures.items():
            print(f"{name:8s} {contestant:18s} {spread(values)} us a member-step")
        print(
            f"{name:8s} the fleet of {arguments.members} is {ratio:.1f} times as fast (aim "
            f"{AIMS[name]})"
        )


if __name__ == "__main__":
    main()
