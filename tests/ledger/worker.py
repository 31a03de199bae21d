"""A process that waits for a line, then records fleets and says so: ``worker.py LEDGER
FIRST_SEED FLEETS``.
"""

from __future__ import annotations

import sys

from winnow.ledger import Ledger
from winnow.recipe import Data, Model, Outcome, Train, Variant

FLEET = 16
CURVES = {name: [float(i) for i in range(30)] for name in ("train_loss", "validation_loss", "lr")}


def main(path: str, first_seed: int, fleets: int) -> None:
    common = {
        "data": Data(source="sklearn:iris"),
        "model": Model("mlp"),
        "train": Train(),
        "metric": "accuracy",
    }
    print("ready", flush=True)
    sys.stdin.readline()
    with Ledger.open(path) as ledger:
        ledger.put_study("shared", "search", {})
        for first in range(first_seed, first_seed + fleets * FLEET, FLEET):
            variants = [Variant(seed=seed, **common) for seed in range(first, first + FLEET)]
            results = [(v, Outcome(v.id, "finished", score=0.5, curves=CURVES)) for v in variants]
            ledger.record(results, study="shared", notes=[{"fleet": first}] * FLEET)
            ledger.put_document("latest", {"seed": first})
            print(first, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
