"""The contract of steps. Axes: N rows, F features."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from winnow.methods import BaseStep, Program
from winnow.testing._contract import calling, expect, expect_family, others

__all__ = ["check_step"]

Targets = NDArray[np.int64] | NDArray[np.float64]

_ROWS, _FEATURES = 120, 30
_NAMES = tuple(f"feature {i}" for i in range(_FEATURES))


def check_step(step: BaseStep) -> None:
    """Check that a step keeps the contract of ``BaseStep``.

    It learns operations that fit its features, for a classification and for a regression; the same
    each time; and leaves what it learns from as it is. What it makes of a row is finite, has a name
    for each feature, and is not the row itself for all rows; what it learned survives a way through
    JSON; each setting has an effect.

    Args:
        step: with its settings, such that they have an effect on 30 features, most of them normal,
            some of two values, one of one value.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import PCA
        >>> check_step(PCA(components=5))
    """
    name = expect_family(step, BaseStep)
    X_NF, targets = _features(), _targets()
    idle = set(others(step))
    for task, y_N in targets.items():
        program = _learned(name, step, X_NF, y_N, task)
        made_NG = program.apply(X_NF)
        expect(
            program == _learned(name, step, X_NF, y_N, task),
            f"{name}: it learns something else of the same rows the second time",
        )
        expect(
            made_NG.shape != X_NF.shape or not np.array_equal(made_NG, X_NF),
            f"{name}: it leaves every row as it is",
        )
        _check_plain(name, program)
        for setting, other in others(step).items():
            if _learned(name, other, X_NF, y_N, task) != program:
                idle.discard(setting)
    for setting in sorted(idle):
        expect(False, f"{name}: its setting {setting!r} has no effect")


def _learned(
    name: str, step: BaseStep, X_NF: NDArray[np.float64], y_N: Targets, task: str
) -> Program:
    """What the step learned, after a look at what it must leave alone."""
    own_NF, own_N = X_NF.copy(), y_N.copy()
    with calling(f"{name}: learn for a {task}"):
        program = step.program(own_NF, _NAMES, own_N)
    # A view is read-only, but its base can be reached
    is_left = np.array_equal(own_NF, X_NF) and np.array_equal(own_N, y_N)
    expect(is_left, f"{name}: learn writes into what it learns from")
    return program


def _check_plain(name: str, program: Program) -> None:
    again = Program.from_plain(json.loads(json.dumps(program.to_plain(), allow_nan=False)))
    expect(again == program, f"{name}: what it learned is another after a way through JSON")
    far_NF = np.concatenate([_features(seed=1), 1e30 * _features(seed=2)])
    made_NG = again.apply(far_NF)
    width = len(again.names(_NAMES))
    expect(
        made_NG.shape == (len(far_NF), width),
        f"{name}: it gives {made_NG.shape} for {len(far_NF)} rows and {width} names",
    )
    expect(bool(np.isfinite(made_NG).all()), f"{name}: a row becomes other than finite")


def _features(*, seed: int = 0) -> NDArray[np.float64]:
    """Rows of which most features are normal, three of two values, and one of one value."""
    rng = np.random.default_rng(seed)
    X_NF = rng.normal(0, 1, (_ROWS, _FEATURES))
    X_NF[:, 1] = np.exp(X_NF[:, 0])
    X_NF[:, 2:5] = X_NF[:, 2:5] > 0.5
    X_NF[:, 5] = 1.0
    return X_NF


def _targets() -> dict[str, Targets]:
    """Targets that some of the features say something about, by task."""
    y_N = _features() @ np.linspace(1, 0, _FEATURES) ** 4
    classes_N = np.digitize(y_N, [-1.0, 1.0]).astype(np.int64)
    return {"classification": classes_N, "regression": (y_N - y_N.mean()) / y_N.std()}
