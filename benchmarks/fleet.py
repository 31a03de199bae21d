"""Microseconds of one member-step of the MLP 64-128-128-10 (batch 64, SGD with momentum, 1,078
rows), everything included.

Contestants in one run, in turns: a hand-written PyTorch loop on one and on two threads, and one
that also validates after each epoch; winnow's driver for V members on all cores, as studies run it
(validation after each epoch, curves, best weights kept); the batched matrix products of the same
steps and validations and nothing else. A hand-written loop trains one model; what counts for V
models is V times its time.

    python benchmarks/fleet.py [--rounds 5] [--members 1 4 16 64]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from _common import (
    BATCH,
    CLASSES,
    FEATURES,
    alternate,
    forward_products,
    hand_written_epochs,
    machine,
    matrix_products,
    network,
    spread,
)

from winnow.data import PreparedData, prepare
from winnow.execution import cores, train_side_by_side
from winnow.methods import SGD
from winnow.recipe import Data, Model, Train, Variant

ROWS = 1797
STEPS = 16  # of an epoch: 1,078 training rows
VALIDATION = 359  # rows


def data() -> Data:
    rng = np.random.default_rng(0)
    return Data.arrays(
        rng.normal(size=(ROWS, FEATURES)),
        rng.integers(0, CLASSES, size=ROWS),
        task="classification",
    )


def hand_written(
    prepared: PreparedData, threads: int, epochs: int, *, validates: bool = False
) -> Callable[[], float]:
    x, y = prepared.tensors("train")
    validation = prepared.tensors("validation") if validates else None

    def run() -> float:
        torch.set_num_threads(threads)
        began = time.perf_counter()
        steps = hand_written_epochs(x, y, epochs=epochs, validation=validation)
        return (time.perf_counter() - began) / steps * 1e6

    return run


def fleet(
    prepared: PreparedData, section: Data, members: int, epochs: int, *, compiled: bool
) -> Callable[[], float]:
    train = Train(epochs=epochs, batch_size=BATCH, optimizer=SGD(lr=0.01, momentum=0.9))
    model = Model(network)  # the same module as the hand-written loop trains
    variants = [
        Variant(data=section, model=model, train=train, metric="accuracy", seed=s)
        for s in range(members)
    ]

    def run() -> float:
        began = time.perf_counter()
        train_side_by_side(variants, prepared, compiled=compiled)
        return (time.perf_counter() - began) / (members * epochs * STEPS) * 1e6

    return run


def products(members: int) -> Callable[[], float]:
    """All cores share the members, one thread each, as the fleets do."""
    from concurrent.futures import ThreadPoolExecutor

    share = max(1, members // cores())

    def run() -> float:
        torch.set_num_threads(1)
        workers = min(cores(), members)
        jobs = [
            (matrix_products(share), forward_products(share, VALIDATION)) for _ in range(workers)
        ]
        epochs = max(2, 160 // members)
        repeats = epochs * STEPS

        def repeat(job: tuple[Callable[[], None], Callable[[], None]]) -> None:
            step, validate = job
            for _ in range(epochs):
                for _ in range(STEPS):
                    step()
                validate()

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(repeat, jobs))
            began = time.perf_counter()
            list(pool.map(repeat, jobs))
            return (time.perf_counter() - began) / (repeats * share * workers) * 1e6

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument(
        "--compiled",
        action="store_true",
        help="also through torch.compile (adds some seconds of compiling)",
    )
    arguments = parser.parse_args()
    section = data()
    prepared = prepare(section)
    contestants: dict[str, Callable[[], float]] = {
        f"hand-written, {t} thread(s)": hand_written(prepared, t, 20) for t in (1, 2)
    }
    contestants["hand-written, validating"] = hand_written(prepared, 1, 20, validates=True)
    for members in arguments.members:
        epochs = max(20, 320 // members)
        contestants[f"winnow, V = {members}"] = fleet(
            prepared, section, members, epochs, compiled=False
        )
        if arguments.compiled and members > 1:
            contestants[f"winnow, V = {members}, compiled"] = fleet(
                prepared, section, members, epochs, compiled=True
            )
        contestants[f"matrix products, V = {members}"] = products(members)
    for run in contestants.values():  # warm up, compile
        run()
    figures = alternate(contestants, rounds=arguments.rounds)
    best_loop = min(statistics.median(figures[f"hand-written, {t} thread(s)"]) for t in (1, 2))
    print(machine())
    print(
        f"{'':36s} us a member-step, median [range] of {arguments.rounds}   against the better loop"
    )
    for name, values in figures.items():
        print(f"{name:36s} {spread(values):34s} {best_loop / statistics.median(values):6.2f} x")
    # A member's products in two threads measure the threads
    for members in (m for m in arguments.members if m > 1):
        floor = statistics.median(figures[f"matrix products, V = {members}"])
        for name in (f"winnow, V = {members}", f"winnow, V = {members}, compiled"):
            if name in figures:
                print(
                    f"{name}: {100 * floor / statistics.median(figures[name]):.0f} % of the "
                    f"machine's matrix-product rate"
                )
    if {1, 16} <= set(arguments.members):
        one = statistics.median(figures["winnow, V = 1"])
        for name in ("winnow, V = 16", "winnow, V = 16, compiled"):
            if name in figures:
                print(
                    f"{name}: {16 * statistics.median(figures[name]) / one:.2f} times the time "
                    f"of one seed"
                )


if __name__ == "__main__":
    main()
