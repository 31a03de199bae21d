"""A whole search: 64 trials of 15 epochs on digits (MLP, SGD with momentum), winnow against Optuna
in two processes.

Both search the same space with TPE, train the same network on the same split with the same batches
of 64 and score accuracy on the same validation rows. winnow's time is that of ``winnow.search``,
ledger included, and with the best trial trained again on two fresh seeds, which Optuna's study does
not do. Optuna's is that of two worker processes on one SQLite study, each a hand-written PyTorch
loop on one thread; starting them and importing PyTorch is not counted.

python benchmarks/study.py [--rounds 3] [--trials 64] [--epochs 15]
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

from _common import alternate, machine, spread


def _worker(url: str, trials: int, epochs: int, seed: int, ready: Barrier) -> None:
    import optuna
    import torch
    from torch import nn

    from winnow.data import prepare
    from winnow.recipe import Data

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    prepared = prepare(Data(source="sklearn:digits"))
    x, y = prepared.tensors("train")
    xv, yv = prepared.tensors("validation")

    def objective(trial: optuna.Trial) -> float:
        width = trial.suggest_categorical("width", [64, 128])
        lr = trial.suggest_float("lr", 0.01, 1.0, log=True)
        momentum = trial.suggest_float("momentum", 0.5, 0.99)
        decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
        rate = trial.suggest_float("dropout", 0.0, 0.5)
        smoothing = trial.suggest_float("label_smoothing", 0.0, 0.2)
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for fan_in in (64, width):
            layers += [nn.Linear(fan_in, width), nn.ReLU(), nn.Dropout(rate)]
        model = nn.Sequential(*layers, nn.Linear(width, 10))
        optimizer = torch.optim.SGD(
            model.parameters(), lr=lr, momentum=momentum, weight_decay=decay
        )
        steps = epochs * (len(x) // 64)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=lr, total_steps=steps, cycle_momentum=False
        )
        best = 0.0
        for _ in range(epochs):
            model.train()
            for rows in torch.randperm(len(x)).split(64):
                if len(rows) < 64:
                    continue
                optimizer.zero_grad()
                nn.functional.cross_entropy(
                    model(x[rows]), y[rows], label_smoothing=smoothing
                ).backward()
                optimizer.step()
                schedule.step()
            model.eval()
            with torch.no_grad():
                best = max(best, float((model(xv).argmax(1) == yv).double().mean()))
        return best

    study = optuna.load_study(
        study_name="digits", storage=url, sampler=optuna.samplers.TPESampler(seed=seed)
    )
    ready.wait()
    study.optimize(objective, n_trials=trials)


def optuna_study(trials: int, epochs: int, processes: int = 2) -> tuple[float, float]:
    """Seconds, and the best score."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/study.db"
        study = optuna.create_study(study_name="digits", storage=url, direction="maximize")
        context = multiprocessing.get_context("spawn")
        ready = context.Barrier(processes + 1)
        workers = [
            context.Process(target=_worker, args=(url, trials // processes, epochs, i, ready))
            for i in range(processes)
        ]
        for worker in workers:
            worker.start()
        ready.wait()
        began = time.perf_counter()
        for worker in workers:
            worker.join()
        return time.perf_counter() - began, study.best_value


def winnow_study(trials: int, epochs: int) -> tuple[float, float]:
    """Seconds, and the best score."""
    from winnow.execution import Runner, Workspace
    from winnow.methods import SGD, OneCycle
    from winnow.recipe import Choice, Data, Log, Model, Recipe, Search, Train, Uniform
    from winnow.study import search

    recipe = Recipe(
        data=Data(source="sklearn:digits"),
        model=Model("mlp", width=Choice(64, 128), depth=2),
        train=Train(
            epochs=epochs,
            batch_size=64,
            optimizer=SGD(
                lr=Log(0.01, 1.0), momentum=Uniform(0.5, 0.99), weight_decay=Log(1e-6, 1e-2)
            ),
            schedule=OneCycle(),
            dropout=Uniform(0.0, 0.5),
            label_smoothing=Uniform(0.0, 0.2),
        ),
        search=Search(trials=trials, leaders=1, seeds=2),
    )
    with tempfile.TemporaryDirectory() as folder, Workspace.open(Path(folder) / "run") as workspace:
        runner = Runner(workspace)
        # Optuna's workers have their data, too, before the clock starts
        runner.prepared(recipe.data)
        began = time.perf_counter()
        found = search(recipe, runner=runner)
        whole = time.perf_counter() - began
        return whole, max(t.outcome.score for t in found.trials)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args()
    scores: dict[str, list[float]] = {"winnow": [], "Optuna, 2 processes": []}

    def run(name: str) -> float:
        study = winnow_study if name == "winnow" else optuna_study
        seconds, best = study(arguments.trials, arguments.epochs)
        scores[name].append(best)
        return seconds

    winnow_study(4, 2)  # imports
    figures = alternate({name: (lambda n=name: run(n)) for name in scores}, rounds=arguments.rounds)
    print(machine())
    print(
        f"{arguments.trials} trials x {arguments.epochs} epochs on digits; seconds, median "
        f"[range] of {arguments.rounds}"
    )
    for name, values in figures.items():
        print(f"{name:22s} {spread(values)}   best trial {statistics.median(scores[name]):.4f}")
    ratio = statistics.median(figures["Optuna, 2 processes"]) / statistics.median(figures["winnow"])
    print(
        f"winnow is {ratio:.2f} times as fast, with the winner's retraining on fresh seeds in "
        f"its time"
    )


if __name__ == "__main__":
    main()
