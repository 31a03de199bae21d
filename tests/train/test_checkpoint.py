"""Killed anywhere, a fleet goes on to weights that are bit for bit those of the unbroken run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.train import architectures
from tests.train.test_fleet import DATA, LANES, variant

from winnow.data import Prepared, prepare
from winnow.errors import WorkspaceError
from winnow.recipe import SGD, AdamW, Cosine, EarlyStopping, Variant
from winnow.train import Finished, _program, _stacked, peek, train_fleet


class Killed(BaseException):
    """Stands for the end of the process in the middle of a step."""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(DATA)


def fleet(kind: str) -> list[Variant]:
    """Momentum, schedules under way, members that leave early, one half way through its patience, one that diverges."""
    common: dict[str, Any] = {"precision": "float32", "schedule": Cosine(warmup=0.3)}
    if kind == "alone":
        return [variant(architectures.OwnNoise, optimizer=AdamW(lr=0.01), epochs=7, **common)]
    members = [variant(architectures.Normed, seed=i, **{**common, **LANES[i % 4], "epochs": 4 + i % 4}) for i in range(5)]
    stopper = variant(architectures.Normed, seed=8, epochs=9, early_stopping=EarlyStopping(patience=3), **common)
    return [*members, stopper, variant(architectures.Normed, seed=9, optimizer=SGD(lr=1e30), epochs=9, **common)]


def equal(a: list[Finished], b: list[Finished]) -> None:
    for one, other in zip(a, b, strict=True):
        mine, others = (json.dumps({**o.outcome.to_dict(), "seconds": 0}) for o in (one, other))  # NaN equals NaN as text
        assert mine == others
        assert (one.weights is None) == (other.weights is None)
        assert all(torch.equal(t, (other.weights or {})[n]) for n, t in (one.weights or {}).items())


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The process ends in the middle of the ``step``-th step from now, after the parameters have changed."""
    taken = 0

    def wrap(original: Any) -> Any:
        def call(self: Any, *args: Any) -> Any:
            nonlocal taken
            losses = original(self, *args)
            taken += 1
            if taken == step:
                raise Killed
            return losses

        return call

    for program in (_program.Alone, _stacked.Stacked):
        monkeypatch.setattr(program, "step", wrap(program.step))


@pytest.mark.parametrize("kind", ["stacked", "alone"])
def test_fifty_kill_points(kind: str, prepared: Prepared, tmp_path: Path) -> None:
    variants = fleet(kind)
    unbroken = train_fleet(variants, prepared)
    steps = 3 * max(f.outcome.epochs for f in unbroken)
    rng = np.random.default_rng(0)
    for trial in range(25):
        place = tmp_path / f"{trial}.safetensors"
        while True:  # killed again and again until it comes through
            with pytest.MonkeyPatch.context() as patch:
                kill_at(patch, int(rng.integers(2, steps)))
                try:
                    found = train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
                    break
                except Killed:
                    continue
        equal(found, unbroken)


def test_it_goes_on_and_does_not_begin_again(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variants, place = fleet("stacked"), tmp_path / "fleet.safetensors"
    with monkeypatch.context() as patch:
        kill_at(patch, 13)  # three steps an epoch: in the fifth
        with pytest.raises(Killed):
            train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
    assert peek(place) == tuple(v.id for v in variants)
    epochs: list[int] = []
    train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0, on_epoch=lambda r: epochs.append(r.members))
    assert len(epochs) < 6


def test_a_torn_or_foreign_file_is_never_read(prepared: Prepared, tmp_path: Path) -> None:
    variants, place = fleet("stacked")[:2], tmp_path / "fleet.safetensors"
    expected = train_fleet(variants, prepared)
    train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
    whole = place.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"nonsense"):
        place.write_bytes(content)
        assert peek(place) is None
        equal(train_fleet(variants, prepared, checkpoint=place), expected)
    place.write_bytes(whole)
    equal(train_fleet(variants[::-1], prepared, checkpoint=place), expected[::-1])


def test_a_checkpoint_from_a_newer_winnow_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    place = tmp_path / "fleet.safetensors"
    train_fleet(fleet("stacked")[:2], prepared, checkpoint=place, checkpoint_seconds=0)
    save_file(load_file(place), place, metadata={"format": "9", "facts": "{}"})
    with pytest.raises(WorkspaceError, match=r"newer winnow \(checkpoint format 9, this one reads 1\)"):
        train_fleet(fleet("stacked")[:2], prepared, checkpoint=place)


def test_a_full_disk_is_an_error_that_loses_nothing_earlier(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from winnow.train import _checkpoint

    variants, place = fleet("stacked"), tmp_path / "fleet.safetensors"
    written = 0
    real = _checkpoint.save_file

    def full(*args: Any, **kwargs: Any) -> None:
        nonlocal written
        written += 1
        if written == 3:
            Path(args[1]).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "save_file", full)
        with pytest.raises(WorkspaceError, match="No space left on device; what was finished before is safe"):
            train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
    assert [p.name for p in tmp_path.iterdir()] == ["fleet.safetensors"]
    equal(train_fleet(variants, prepared, checkpoint=place), train_fleet(variants, prepared))
    assert dataclasses.is_dataclass(_checkpoint.read(place, [v.id for v in variants]))
