"""The contract of scalers. Axes: N rows, F columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.methods import BaseScaler, Curve, Linear
from winnow.testing._contract import calling, expect, expect_family, others

__all__ = ["check_scaler"]

_ROWS = 120
_KINDS = ("normal", "skewed", "of two values", "of one value")  # of columns


def check_scaler(scaler: BaseScaler) -> None:
    """Check that a scaler keeps the contract of ``BaseScaler``.

    It learns one ``Linear`` or ``Curve`` for each column, the same each time, and the same from
    rows that come in parts; what it makes of a column is finite, also of one with a single value,
    and not the column itself for all of them; each setting has an effect.

    Args:
        scaler: with its settings.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import RankGauss
        >>> check_scaler(RankGauss())
    """
    name = expect_family(scaler, BaseScaler)
    X = _columns()
    scaled = _scaled(name, scaler, [X])
    for i, kind in enumerate(_KINDS):
        is_finite = bool(np.isfinite(scaled[:, i]).all())
        expect(is_finite, f"{name}: a column {kind} becomes other than finite")
    expect(not np.array_equal(scaled, X), f"{name}: it leaves every column as it is")
    expect(
        np.array_equal(scaled, _scaled(name, scaler, [X])),
        f"{name}: it learns something else of the same rows the second time",
    )
    expect(
        np.allclose(scaled, _scaled(name, scaler, np.array_split(X, 3)), rtol=1e-9, atol=1e-9),
        f"{name}: it learns something else of the same rows in three parts",
    )
    for setting, other in others(scaler).items():
        expect(
            not np.array_equal(scaled, _scaled(name, other, [X])),
            f"{name}: its setting {setting!r} has no effect",
        )


def _columns() -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    two = (np.arange(_ROWS) % 3 == 0).astype(float)
    one = np.full(_ROWS, 3.0)
    return np.column_stack([rng.normal(5, 2, _ROWS), rng.lognormal(0, 2, _ROWS), two, one])


def _scaled(
    name: str, scaler: BaseScaler, parts: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The rows of all parts as the scaler that learned from them makes them, (rows, columns)."""
    X = np.concatenate(list(parts))
    with calling(f"{name}: fit"):
        found = scaler.fit(iter([part.copy() for part in parts]))
    expect(
        len(found) == len(_KINDS),
        f"{name}: fit learns {len(found)} scalings from {len(_KINDS)} columns",
    )
    scaled = []
    for column, scaling in zip(X.T, found, strict=True):
        expect(
            isinstance(scaling, Linear | Curve),
            f"{name}: fit learns a {type(scaling).__name__}, and must learn a Linear or a Curve",
        )
        if isinstance(scaling, Linear):
            scaled.append((column - scaling.center) / scaling.scale)
        else:
            scaled.append(scaling.apply(column))
    return np.column_stack(scaled)
