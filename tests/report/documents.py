"""Documents such as the stages of a run leave behind: plausible numbers, seeded, shaped as the
stages write them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy import stats

__all__ = ["classification", "regression"]

RECIPE = """\
name: digits
data: {source: 'sklearn:digits', shape: [64]}
model:
  use: mlp
  args:
    widths: {choice: [[64], [128, 128], [256, 128]]}
    dropout: {uniform: [0.0, 0.6]}
    norm: true
train:
  epochs: 30
  batch_size: 64
  optimizer:
    kind: sgd
    lr: {log: [0.001, 0.5]}
    momentum: {uniform: [0.5, 0.99]}
    nesterov: true
    weight_decay: {log: [1.0e-06, 0.01]}
  schedule: {kind: cosine, warmup: 0.1}
  label_smoothing: {uniform: [0.0, 0.2]}
  clip_norm: 1.0
search: {sampler: tpe, trials: 64}
ablate: {seeds: 10, smallest_effect: 0.005}
"""
SHIPPED = """\
name: digits
data: {source: 'sklearn:digits', shape: [64]}
model:
  use: mlp
  args:
    widths: [128, 128]
    dropout: 0.183
    norm: true
train:
  epochs: 30
  batch_size: 64
  optimizer:
    kind: sgd
    lr: 0.0874
    momentum: 0.911
    nesterov: true
    weight_decay: 0.0
  schedule: {kind: cosine, warmup: 0.1}
  label_smoothing: 0.0
  clip_norm: 1.0
search: {sampler: tpe, trials: 64}
ablate: {seeds: 10, smallest_effect: 0.005}
"""


def interval(values: Any, confidence: float = 0.95) -> dict[str, Any]:
    """The t interval of ``values`` as the documents spell it."""
    values = np.asarray(values, dtype=float)
    half = (
        stats.t.ppf((1 + confidence) / 2, len(values) - 1)
        * values.std(ddof=1)
        / np.sqrt(len(values))
    )
    mean = float(values.mean())
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "confidence": confidence,
        "n": len(values),
    }


def _sign_flip(differences: np.ndarray) -> float:
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    means = np.abs((signs * differences).mean(axis=1))
    return float((means >= abs(differences.mean()) - 1e-12).mean())


def _holm(p: list[float]) -> list[float]:
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(np.minimum(1, np.array(p)[order] * np.arange(len(p), 0, -1)))
    out = np.empty(len(p))
    out[order] = adjusted
    return out.tolist()


def _trials(rng: np.random.Generator, higher: bool) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = []
    for number in range(64):
        narrow = min(1.0, 0.35 + number / 60)  # later trials cluster, as TPE's do
        lr = float(np.exp(rng.normal(np.log(0.08), 1.8 * (1.35 - narrow))).clip(0.001, 0.5))
        values = {
            "model.args.widths": [[64], [128, 128], [256, 128]][rng.choice(3, p=[0.25, 0.5, 0.25])],
            "model.args.dropout": float(rng.uniform(0.0, 0.6)),
            "train.optimizer.lr": lr,
            "train.optimizer.momentum": float(rng.uniform(0.5, 0.99)),
            "train.optimizer.weight_decay": float(10 ** rng.uniform(-6, -2)),
            "train.label_smoothing": float(rng.uniform(0.0, 0.2)),
        }
        far = abs(np.log(lr / 0.08))
        quality = (
            0.976
            - 0.006 * far**2
            - 0.05 * (values["model.args.dropout"] - 0.2) ** 2
            + rng.normal(0, 0.003)
        )
        failed = number in (7, 29)
        score = (
            None if failed else round(float(quality if higher else 52 + 250 * (0.98 - quality)), 6)
        )
        trials.append(
            {
                "number": number,
                "values": values,
                "score": score,
                "status": "failed" if failed else "finished",
                "reason": "the loss became NaN in epoch 3 (lr 0.47 with momentum 0.98)"
                if failed
                else None,
                "seconds": float(rng.uniform(0.3, 0.6)),
                "epochs": 3 if failed else 30,
            }
        )
    return trials


def _search(rng: np.random.Generator, metric: str, higher: bool) -> dict[str, Any]:
    trials = _trials(rng, higher)
    done = sorted(
        (t for t in trials if t["score"] is not None), key=lambda t: t["score"], reverse=higher
    )[:3]
    leaders = []
    for trial in done:
        scores = trial["score"] + rng.normal(-0.003 if higher else 0.6, 0.003 if higher else 0.7, 5)
        leaders.append(
            {
                "trial": trial["number"],
                "values": trial["values"],
                "scores": scores.tolist(),
                "interval": interval(scores),
            }
        )
    leaders.sort(key=lambda x: x["interval"]["mean"], reverse=higher)
    best = leaders[0]
    return {
        "sampler": "tpe",
        "metric": metric,
        "higher_is_better": higher,
        "ranges": {
            "model.args.widths": {"choice": [[64], [128, 128], [256, 128]]},
            "model.args.dropout": {"uniform": [0.0, 0.6]},
            "train.optimizer.lr": {"log": [0.001, 0.5]},
            "train.optimizer.momentum": {"uniform": [0.5, 0.99]},
            "train.optimizer.weight_decay": {"log": [1e-6, 0.01]},
            "train.label_smoothing": {"uniform": [0.0, 0.2]},
        },
        "trials": trials,
        "leaders": leaders,
        "best": {
            "trial": best["trial"],
            "values": best["values"],
            "recipe_yaml": SHIPPED,
            "interval": best["interval"],
        },
        "notes": [],
    }


PARTS = {  # name: (what it is, true effect, spread)
    "momentum": ("momentum of SGD, 0.911", 0.021, 0.004),
    "dropout": ("dropout rate of every Dropout layer, 0.183", 0.0075, 0.004),
    "model.args.norm": ("argument norm of the model", 0.011, 0.005),
    "schedule": ("cosine schedule with warmup 0.1", 0.005, 0.0045),
    "clip_norm": ("clipping of the gradient's norm at 1.0", 0.001, 0.007),
    "nesterov": ("Nesterov's form of momentum", 0.0003, 0.0018),
    "weight_decay": ("weight decay, 0.00021", -0.0001, 0.0012),
    "label_smoothing": ("label smoothing, 0.07", -0.0104, 0.003),
}


def _ablation(
    rng: np.random.Generator, metric: str, higher: bool, center: float, unit: float
) -> dict[str, Any]:
    seeds = rng.integers(0, 2**31, 10).tolist()
    sign = 1 if higher else -1
    reference = center + rng.normal(0, 0.003 * unit, len(seeds))
    rows = []
    for name, (what, effect, spread) in PARTS.items():
        differences = rng.normal(effect, spread, len(seeds)) * unit
        shown = interval(differences)
        rows.append(
            {
                "name": name,
                "what": what,
                "mean": shown["mean"],
                "low": shown["low"],
                "high": shown["high"],
                "p": _sign_flip(differences),
                "n": len(seeds),
                "lost": 0,
                "failed": 0,
                "failed_with": 0,
                "trained": len(seeds),
                "identical": False,
                "saved": None,
                "mde": float(2.9 * spread * unit / np.sqrt(len(seeds)) * 1.2),
                "scores": (reference - sign * differences).tolist(),
            }
        )
    smallest = 0.005 * unit
    for row, p in zip(rows, _holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
        clear = p < 0.05 and abs(row["mean"]) >= smallest
        row["at_least_smallest"] = bool(
            clear and min(abs(row["low"]), abs(row["high"])) >= smallest
        )
        inside = -smallest < row["low"] and row["high"] < smallest
        row["verdict"] = (
            ("helps" if row["mean"] > 0 else "hurts")
            if clear
            else "no difference"
            if inside
            else "undecided"
        )
    dropped = [row["name"] for row in rows if row["verdict"] in ("hurts", "no difference")]
    simplified = reference + sign * rng.normal(0.002, 0.002, len(seeds)) * unit
    return {
        "metric": metric,
        "seeds": seeds,
        "smallest_effect": smallest,
        "confidence": 0.95,
        "reference": {"interval": interval(reference), "scores": reference.tolist()},
        "comparisons": rows,
        "notes": [],
        "simplified": {
            "dropped": dropped,
            "kept": [],
            "recipe_yaml": SHIPPED,
            "accepted": True,
            "reason": f"shown to be no worse by {smallest:g} or more without these parts",
            "checks": [
                {
                    "without": dropped,
                    "accepted": True,
                    "identical": False,
                    "reason": "",
                    "full": interval(reference),
                    "simplified": interval(simplified),
                    "difference": interval(sign * (simplified - reference), 0.95),
                }
            ],
        },
    }


def _final(
    rng: np.random.Generator, metric: str, higher: bool, loss_floor: float, scores: np.ndarray
) -> dict[str, Any]:
    outcomes = []
    for k, (seed, score) in enumerate(zip(rng.integers(0, 2**31, 5).tolist(), scores, strict=True)):
        epochs = 30 - (k == 3) * 5
        t = np.arange(epochs)
        decay = np.exp(-t / 4.0)
        train = loss_floor * (0.25 + 6 * decay) * (1 + rng.normal(0, 0.02, epochs))
        validation = loss_floor * (1 + 5 * decay + 0.005 * t) * (1 + rng.normal(0, 0.03, epochs))
        path = (
            score
            - (1 if higher else -1) * abs(0.6 * score) * decay
            + rng.normal(0, 0.002 * abs(score), epochs)
        )
        best = int(np.argmax(path) if higher else np.argmin(path))
        outcomes.append(
            {
                "seed": seed,
                "variant_id": f"{abs(hash((seed, 1))):020x}"[:20],
                "status": "finished",
                "reason": None,
                "score": float(path[best]),
                "metrics": {metric: float(path[best])},
                "curves": {
                    "train_loss": train.tolist(),
                    "validation_loss": validation.tolist(),
                    f"validation_{metric}": path.tolist(),
                    "lr": (0.0874 * 0.5 * (1 + np.cos(np.pi * t / 30))).tolist(),
                },
                "best_epoch": best,
                "epochs": epochs,
            }
        )
    return {
        "recipe_yaml": SHIPPED,
        "metric": metric,
        "seeds": [o["seed"] for o in outcomes],
        "outcomes": outcomes,
        "shipped": 2,
        "score": interval([o["score"] for o in outcomes]),
    }


def _compression(metric: str, higher: bool, center: float, unit: float) -> dict[str, Any]:
    def around(mean: float, half: float) -> dict[str, Any]:
        return {"mean": mean, "low": mean - half, "high": mean + half, "confidence": 0.95, "n": 105}

    def ratio(mean: float) -> dict[str, Any]:
        return around(mean, 0.0 if mean == 1 else 0.02 * mean)

    def candidate(
        name: str, size: int, drop: float, one: float, many: float, **more: Any
    ) -> dict[str, Any]:
        return {
            "name": name,
            "bytes": size,
            "score": center - (drop if higher else -drop),
            # None: equal but for rounding
            "score_drop": around(drop, 0.002 * unit) if drop else None,
            "latency": {
                "1": {"median_ms": one, "p95_ms": one * 1.22, "samples": 5250},
                "64": {"median_ms": many, "p95_ms": many * 1.15, "samples": 5300},
            },
            "versus_eager": 0.0712 / one,
            "versus_onnx": 0.0107 / one,
            "speedup": {
                "1": {"versus_eager": ratio(0.0712 / one), "versus_onnx": ratio(0.0107 / one)},
                "64": {"versus_eager": ratio(0.168 / many), "versus_onnx": ratio(0.0894 / many)},
            },
            **more,
        }

    return {
        "metric": metric,
        "budget": 0.01 if higher else 0.024,
        "allowed_drop": 0.01 * unit,
        "rows": 360 if higher else 89,
        "threads": 1,
        "higher_is_better": higher,
        "candidates": [
            candidate("eager", 107_944, 0.0, 0.0712, 0.168, accepted=True, reason="as trained"),
            candidate("onnx", 109_310, 0.0, 0.0107, 0.0894, accepted=True, reason="exported"),
            candidate(
                "int8",
                34_817,
                0.0028 * unit,
                0.0121,
                0.0517,
                accepted=True,
                reason="within the budget, and the smallest",
            ),
        ],
        "chosen": "int8",
        "notes": [
            "int8 is slower than fp32 ONNX Runtime at batch 1 (0.0121 ms against 0.0107 ms); it "
            "is faster at batch 64."
        ],
    }


def _run(metric: str, higher: bool, task: str, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "command": f"winnow run recipes/{name}.yaml --out runs/{name}",
        "started": "2031-05-04T09:12:44+00:00",
        "seconds": 131.4,
        "versions": {
            "python": "3.11.2",
            "torch": "2.13.0+cpu",
            "winnow": "0.1.0",
            "onnxruntime": "1.31.0",
            "scikit-learn": "1.9.0",
        },
        "machine": {
            "system": "Linux 6.1 x86_64",
            "processor": "Intel Xeon",
            "cores": 2,
            "memory_gb": 8,
            "device": "cpu",
        },
        "seed": 0,
        "recipe_yaml": RECIPE,
        "metric": metric,
        "higher_is_better": higher,
        "task": task,
    }


PLAN = {
    "fleets": [
        {
            "members": 16,
            "how": "stacked",
            "reason": "26,122 parameters and about 1.1 MiB each",
            "study": "search",
        },
        {
            "members": 16,
            "how": "stacked",
            "reason": "26,122 parameters and about 1.1 MiB each",
            "study": "search",
        },
        {
            "members": 31,
            "how": "stacked",
            "reason": "26,122 parameters and about 1.1 MiB each",
            "study": "search",
        },
        {
            "members": 1,
            "study": "search",
            "how": "alone",
            "reason": "no other variant has its shapes (widths 256, 128; batch 32)",
        },
        {
            "members": 4,
            "study": "ablate",
            "how": "process",
            "reason": "the model branches on a tensor's value in forward(), which vmap cannot "
            "trace",
        },
    ],
    "notes": [],
}


def _baselines(metric: str, higher: bool, shipped: dict[str, float]) -> dict[str, Any]:
    """Three models beside the one that ships: the constant far behind, boosting a little ahead
    of it.
    """

    def beside(name: str, what: str, factor: float) -> dict[str, Any]:
        metrics = {
            key: value * factor if higher else value / factor for key, value in shipped.items()
        }
        gain = abs(shipped[metric] - metrics[metric]) * (1 if factor < 1 else -1)
        ends = {
            "mean": gain,
            "low": gain - 0.4 * abs(gain),
            "high": gain + 0.4 * abs(gain),
            "confidence": 0.95,
            "n": 360,
        }
        return {
            "name": name,
            "what": what,
            "metrics": metrics,
            "gain": ends,
            "seconds": 0.2,
            "note": None,
        }

    return {
        "metric": metric,
        "higher_is_better": higher,
        "rows": 360,
        "file": "0b1d" * 16,
        "shipped": shipped,
        "baselines": [
            beside("constant", "always '1'", 0.3),
            {
                "name": "linear",
                "what": "a linear model",
                "metrics": {},
                "gain": None,
                "seconds": 0.0,
                "note": "left out: too wide",
            },
            beside("boosting", "gradient boosting", 1.01),
        ],
        "beats_constant": True,
        "one_answer": None,
        "ranks": None,
        "verdict": f"better than a constant by {metric}",
        "notes": [
            f"gradient boosting is better than the model that ships, by 0.01 [0.00, 0.02] of "
            f"{metric} on the same test rows",
            "the baselines were fitted on the training rows alone; the validation rows chose "
            "nothing for them",
        ],
    }


def classification(seed: int = 0) -> dict[str, dict[str, Any]]:
    """Every document of a run on ten classes."""
    rng = np.random.default_rng(seed)
    metric = "accuracy"
    labels = [str(i) for i in range(10)]
    confusion = np.diag([36, 36, 35, 37, 36, 37, 36, 36, 35, 36])
    for truth, said, count in [(3, 9, 1), (8, 1, 2), (9, 7, 1), (5, 9, 1), (1, 8, 1), (4, 7, 1)]:
        confusion[truth, said] += count
        confusion[truth, truth] -= count
    accuracy = rng.normal(0.975, 0.004, 5)
    per_seed = {
        "accuracy": accuracy,
        "balanced_accuracy": accuracy + rng.normal(-0.0003, 0.0004, 5),
        "macro_f1": accuracy + rng.normal(-0.0005, 0.0004, 5),
        "roc_auc": rng.normal(0.9993, 0.0002, 5),
        "log_loss": rng.normal(0.094, 0.008, 5),
    }
    return {
        "run": _run(metric, True, "classification", "digits"),
        "data": {
            "source": "sklearn:digits",
            "target": "digit",
            "features": 64,
            "task": "classification",
            "classes": labels,
            "rows": {"train": 1077, "validation": 360, "test": 360},
            "columns": [
                {"name": f"pixel_{i // 8}_{i % 8}", "kind": "number", "mean": 4.88, "scale": 6.02}
                for i in range(64)
            ],
            "notes": [
                "3 columns hold one value only in the training rows; they carry no information: "
                "pixel_0_0, pixel_4_0, pixel_4_7"
            ],
            "digest": "c1f4a5be7f6d0e5b5f0a3d0a9a7ad9c3f1f77f7ed2b6e9bd6a2a7c8e1d0b4f5a",
        },
        "plan": PLAN,
        "search": _search(rng, metric, True),
        "ablation": _ablation(rng, metric, True, 0.9731, 1.0),
        "final": _final(rng, metric, True, 0.08, rng.normal(0.977, 0.003, 5)),
        "evaluation": {
            "task": "classification",
            "metrics": {name: interval(values) for name, values in per_seed.items()},
            "per_seed": {name: values.tolist() for name, values in per_seed.items()},
            "shipped": {name: float(values[2]) for name, values in per_seed.items()},
            "confusion": confusion.tolist(),
            "classes": labels,
            "rows": 360,
            "scatter": None,
            "notes": ["the intervals are over 5 trainings, on the same 360 test rows"],
        },
        "baselines": _baselines(
            metric, True, {name: float(values[2]) for name, values in per_seed.items()}
        ),
        "compression": _compression(metric, True, 0.9778, 1.0),
        "bundle": {
            "path": "runs/digits/digits.winnow",
            "bytes": 149_402,
            "files": {
                "manifest.json": {"bytes": 6_644, "sha256": "9f2c" * 16},
                "model.onnx": {"bytes": 34_817, "sha256": "0b1d" * 16},
                "weights.safetensors": {"bytes": 107_941, "sha256": "77aa" * 16},
            },
        },
    }


def regression(seed: int = 1) -> dict[str, dict[str, Any]]:
    """Every document of a run that predicts a number, from mixed columns."""
    rng = np.random.default_rng(seed)
    metric = "rmse"
    truth = rng.gamma(4.0, 38.0, 89)
    prediction = 0.55 * truth + 68 + rng.normal(0, 42, 89)
    per_seed = {
        "rmse": rng.normal(54.1, 0.9, 5),
        "mse": rng.normal(2930, 95, 5),
        "mae": rng.normal(43.8, 0.8, 5),
        "r2": rng.normal(0.462, 0.018, 5),
    }
    columns: list[dict[str, Any]] = [
        {"name": "age", "kind": "number", "mean": 48.5, "scale": 13.1, "fill": 50.0},
        {"name": "bmi", "kind": "number", "mean": 26.4, "scale": 4.4, "fill": 25.7},
        {"name": "sex", "kind": "category", "categories": ["female", "male"]},
        {"name": "smoker", "kind": "boolean"},
    ]
    documents = {
        "run": _run(metric, False, "regression", "progression"),
        "data": {
            "source": "progression.csv",
            "target": "progression",
            "features": 5,
            "task": "regression",
            "classes": None,
            "rows": {"train": 264, "validation": 89, "test": 89},
            "columns": columns,
            "notes": [],
            "digest": "5a0b" * 16,
        },
        "plan": PLAN,
        "search": _search(rng, metric, False),
        "ablation": _ablation(rng, metric, False, 53.6, 130.0),
        "final": _final(rng, metric, False, 0.5, rng.normal(53.8, 0.8, 5)),
        "evaluation": {
            "task": "regression",
            "metrics": {name: interval(values) for name, values in per_seed.items()},
            "per_seed": {name: values.tolist() for name, values in per_seed.items()},
            "shipped": {name: float(values[2]) for name, values in per_seed.items()},
            "confusion": None,
            "classes": None,
            "rows": 89,
            "scatter": {"truth": truth.tolist(), "prediction": prediction.tolist()},
            "notes": [],
        },
        "baselines": _baselines(
            metric, False, {name: float(values[2]) for name, values in per_seed.items()}
        ),
        "compression": _compression(metric, False, 53.7, 130.0),
        "bundle": {"path": "runs/progression/progression.winnow", "bytes": 61_220, "files": {}},
    }
    documents["compression"]["chosen"] = "onnx"
    documents["compression"]["candidates"][2].update(
        accepted=False, reason="loses more than the budget of 1.3 allows"
    )
    return documents
