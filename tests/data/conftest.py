"""Tables that the tests of the data room share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest


def mixed_frame(rows: int = 200, seed: int = 0) -> pl.DataFrame:
    """Numbers, text, booleans and dates, gaps in each, and a target with two classes."""
    rng = np.random.default_rng(seed)

    def gaps(values: list[object], share: float) -> list[object]:
        return [None if rng.random() < share else v for v in values]

    age = rng.normal(40, 12, rows)
    color = rng.choice(["red", "green", "blue", "grey"], rows, p=[0.4, 0.3, 0.2, 0.1])
    return pl.DataFrame(
        {
            "age": gaps(age.tolist(), 0.1),
            "rooms": rng.integers(1, 7, rows),
            "color": gaps(color.tolist(), 0.1),
            "member": gaps((rng.random(rows) < 0.6).tolist(), 0.05),
            "since": pl.Series(np.datetime64("2020-01-01") + rng.integers(0, 900, rows)),
            "city": rng.choice([f"c{i:02d}" for i in range(40)], rows),
            "label": np.where(
                age + 8 * (color == "red") + rng.normal(0, 4, rows) > 42, "yes", "no"
            ),
        }
    )


@pytest.fixture
def frame() -> pl.DataFrame:
    return mixed_frame()


@pytest.fixture
def csv(tmp_path: Path, frame: pl.DataFrame) -> Path:
    path = tmp_path / "people.csv"
    frame.write_csv(path)
    return path
