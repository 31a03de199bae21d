"""How long a default run takes on small tables, and how good what it ships is beside scikit-learn's
models on the same rows.

    python benchmarks/default_run.py [--splits 3] [--tables wine diabetes] [--source OTHER/src]
    [--no-ablate]

``--source`` runs another checkout of winnow, to hold two versions against each other. Seconds are
of the whole command, wall and processor time of all its processes. Every contestant is fitted on
the training rows and scored on the test rows of the same split; winnow alone uses the validation
rows.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.tables.tables import TABLES

from winnow import bundle
from winnow.data import prepare
from winnow.recipe import Recipe

SMALL = (
    "penguins",
    "wine",
    "breast_cancer",
    "diabetes",
    "house_prices",
    "titanic",
    "airquality",
    "modechoice",
)
PEERS = ("linear", "forest", "boosting")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--tables", nargs="+", default=list(SMALL), choices=list(TABLES))
    parser.add_argument("--source", default=str(Path(__file__).parents[1] / "src"))
    parser.add_argument("--no-ablate", action="store_true")
    ask = parser.parse_args()
    print(
        f"{'table':16} split  rows   wall s  cpu s   winnow  "
        + "  ".join(f"{p:>8}" for p in PEERS)
        + "   rank of 4"
    )
    ranks, walls = [], []
    for name in ask.tables:
        for split in range(ask.splits):
            wall, cpu, scores, rows = measure(name, split, ask.source, no_ablate=ask.no_ablate)
            rank = (
                1
                + sum(s > scores[0] for s in scores[1:])
                + sum(s == scores[0] for s in scores[1:]) / 2
            )
            ranks.append(rank)
            walls.append(wall)
            shown = "  ".join(f"{s:8.4f}" for s in scores)
            print(
                f"{name:16} {split:5} {rows:5} {wall:8.1f} {cpu:6.1f} {shown}   {rank:.1f}",
                flush=True,
            )
    print(
        f"median {np.median(walls):.1f} s, longest {max(walls):.1f} s; mean rank of winnow "
        f"{np.mean(ranks):.2f}"
    )


def measure(
    name: str, split: int, source: str, *, no_ablate: bool
) -> tuple[float, float, list[float], int]:
    """Wall and processor seconds of the run, the scores (winnow's, then the peers'), and the
    rows of the table.
    """
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        file = place / f"{name}.csv"
        target = TABLES[name].make(file)
        # the sketched recipe first, with its split changed by hand, so that checkouts without --set
        # run too
        run = place / "run"
        sketch = (
            "import sys; from winnow.data import default_recipe; default_recipe(sys.argv[1], "
            "sys.argv[2]).save(sys.argv[3])"
        )
        environment = {**os.environ, "PYTHONPATH": source}
        yaml = place / "recipe.yaml"
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", sketch, str(file), target, str(yaml)],
            env=environment,
            check=True,
        )
        recipe = Recipe.load(yaml)
        data = recipe.data.model_copy(
            update={"split": recipe.data.split.model_copy(update={"seed": split})}
        )
        recipe.model_copy(update={"data": data}).save(yaml)
        command = [
            sys.executable,
            "-m",
            "winnow",
            "run",
            str(yaml),
            "--out",
            str(run),
            *(["--no-ablate"] if no_ablate else []),
        ]
        before, began = _children(), time.perf_counter()
        done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True)
        wall, cpu = time.perf_counter() - began, _children() - before
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        prepared = prepare(data)
        frame = pd.read_csv(file, keep_default_na=True)
        parts = [
            frame.iloc[np.asarray(getattr(prepared, part).index)] for part in ("train", "test")
        ]
        parts[1].to_csv(place / "test.csv", index=False)
        (path,) = run.glob("*.winnow")
        bundle.predict_file(bundle.load(path), place / "test.csv", place / "answers.parquet")
        answers = pd.read_parquet(place / "answers.parquet")["prediction"].to_numpy()
        return wall, cpu, _scores(*parts, target, prepared.task, answers), len(frame)


def _scores(
    train: pd.DataFrame, test: pd.DataFrame, target: str, task: str, answers: np.ndarray
) -> list[float]:
    """Accuracy or R2 of winnow's answers and of each peer's."""
    classes = task == "classification"
    score = accuracy_score if classes else r2_score
    truth = test[target].astype(str) if classes else test[target]
    found = [score(truth, answers.astype(str) if classes else answers)]
    text = make_column_selector(dtype_exclude="number")
    for peer in (
        LogisticRegression(max_iter=2000) if classes else RidgeCV(np.logspace(-3, 3, 13)),
        RandomForestClassifier(random_state=0)
        if classes
        else RandomForestRegressor(random_state=0),
        HistGradientBoostingClassifier(random_state=0)
        if classes
        else HistGradientBoostingRegressor(random_state=0),
    ):
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        encode = make_column_transformer(
            (numbers, make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore", max_categories=30, sparse_output=False), text),
        )
        model = make_pipeline(encode, peer)
        model.fit(
            train.drop(columns=target), train[target].astype(str) if classes else train[target]
        )
        found.append(score(truth, model.predict(test.drop(columns=target))))
    return [float(s) for s in found]


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
