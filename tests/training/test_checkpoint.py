"""Killed anywhere, a fleet goes on to weights that are bit for bit those of the unbroken run."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from tests.training import architectures
from tests.training.made_up import use_counting
from tests.training.test_fleet import DATA, SETTINGS, variant

from winnow.data import PreparedData, prepare
from winnow.errors import WorkspaceError
from winnow.methods import SGD, AdamW, Cosine
from winnow.recipe import EarlyStopping, Variant
from winnow.training import (
    EpochReport,
    MemberResult,
    UnusableCheckpoint,
    _checkpoint,
    _compiled,
    _program,
    _stacked,
    peek,
    train_fleet,
)


class Killed(BaseException):
    """Stands for the end of the process in the middle of a step."""


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(DATA)


def fleet(kind: str) -> list[Variant]:
    """A schedule under way in every member; some leave early, one half way through its
    patience, one diverges.
    """
    common: dict[str, Any] = {"precision": "float32", "schedule": Cosine(warmup=0.3)}
    stopping = EarlyStopping(patience=3)
    if kind == "own noise":
        return [variant(architectures.OwnNoise, optimizer=AdamW(lr=0.01), epochs=7, **common)]
    if kind == "alone":
        nesterov = SGD(lr=0.05, momentum=0.9, nesterov=True)
        return [
            variant(
                architectures.Recurrent,
                dropout=0.4,
                optimizer=nesterov,
                epochs=7,
                early_stopping=stopping,
                **common,
            )
        ]
    if kind in ("adamw", "compiled"):
        # A block of 16 with idle rows, then fewer than would fill one of eight
        count = 12 if kind == "compiled" else 4
        settings = [
            {"optimizer": AdamW(lr=0.01 + i / 100, weight_decay=0.1 * i), "dropout": i / 10 % 0.5}
            for i in range(count)
        ]
        members = [
            variant(architectures.Normed, seed=i, epochs=3 + i % 5, **own, **common)
            for i, own in enumerate(settings)
        ]
        return [
            *members[:-1],
            variant(
                architectures.Normed,
                seed=20,
                epochs=9,
                early_stopping=stopping,
                **common | settings[-1],
            ),
        ]
    model = architectures.Recurrent if kind == "lstm" else architectures.Normed
    members = [
        variant(model, seed=i, **{**common, **SETTINGS[i % 4], "epochs": 4 + i % 4})
        for i in range(5)
    ]
    stopper = variant(model, seed=8, epochs=9, early_stopping=stopping, **common)
    return [*members, stopper, variant(model, seed=9, optimizer=SGD(lr=1e30), epochs=9, **common)]


def equal(a: list[MemberResult], b: list[MemberResult]) -> None:
    for one, other in zip(a, b, strict=True):
        # NaN equals NaN as text
        mine, others = (json.dumps({**o.outcome.to_dict(), "seconds": 0}) for o in (one, other))
        assert mine == others
        assert (one.weights is None) == (other.weights is None)
        assert all(torch.equal(t, (other.weights or {})[n]) for n, t in (one.weights or {}).items())


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The process ends in the middle of the ``step``-th step from now, after the parameters
    have changed.
    """
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

    for program in (_program.SoloProgram, _stacked.StackedProgram):
        monkeypatch.setattr(program, "step", wrap(program.step))


def kill_over_and_over(
    kind: str, prepared: PreparedData, directory: Path, trials: int, **how: Any
) -> None:
    """Killed again and again until it comes through, ``trials`` times."""
    variants = fleet(kind)
    unbroken = train_fleet(variants, prepared, **how)
    if len(variants) > 1:
        assert len({f.outcome.epochs for f in unbroken}) > 2
    steps = 3 * max(f.outcome.epochs for f in unbroken)
    rng = np.random.default_rng(0)
    kills = 0
    for trial in range(trials):
        place = directory / f"{trial}.safetensors"
        while True:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(_compiled, "_COMPILED", {})  # as in a new process
                patch.setattr(_compiled, "_FITTING", {})
                kill_at(patch, int(rng.integers(2, steps)))
                try:
                    found = train_fleet(
                        variants, prepared, checkpoint=place, checkpoint_seconds=0, **how
                    )
                    break
                except Killed:
                    kills += 1
        equal(found, unbroken)
    assert kills >= trials


@pytest.mark.parametrize("kind", ["stacked", "adamw", "lstm", "alone", "own noise"])
def test_fifty_kill_points(kind: str, prepared: PreparedData, tmp_path: Path) -> None:
    kill_over_and_over(kind, prepared, tmp_path, trials=10)


@pytest.mark.parametrize("kind", ["stacked", "alone"])
def test_state_that_no_code_names_goes_on(
    kind: str, prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_counting(monkeypatch)
    kill_over_and_over(kind, prepared, tmp_path, trials=5)


@pytest.mark.slow
def test_a_killed_compiled_fleet_goes_on_to_the_same_bits(
    prepared: PreparedData, tmp_path: Path
) -> None:
    kill_over_and_over("compiled", prepared, tmp_path, trials=4, compiled=True)


def test_it_goes_on_and_does_not_begin_again(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants, place = fleet("stacked"), tmp_path / "fleet.safetensors"
    with monkeypatch.context() as patch:
        kill_at(patch, 13)  # three steps an epoch: in the fifth
        with pytest.raises(Killed):
            train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
    assert peek(place) == tuple(v.id for v in variants)
    epochs: list[int] = []
    train_fleet(
        variants,
        prepared,
        checkpoint=place,
        checkpoint_seconds=0,
        on_epoch=lambda r: epochs.append(r.members),
    )
    assert len(epochs) < 6


def test_a_torn_or_foreign_file_is_never_read(prepared: PreparedData, tmp_path: Path) -> None:
    """Training starts anew, with one message, whatever lies there."""
    variants, place = fleet("stacked")[:2], tmp_path / "fleet.safetensors"
    expected = train_fleet(variants, prepared)
    train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
    whole = place.read_bytes()
    tensors, header = load_file(place), dict(safe_open(place, framework="pt").metadata())
    facts = json.loads(header["facts"])
    flipped = bytearray(whole)
    flipped[-9] ^= 1  # a bit of a number
    contents = {
        "half": whole[: len(whole) // 2],
        "a byte short": whole[:-1],
        "in the header": whole[:40],
        "empty": b"",
        "nonsense": b"nonsense",
        "flipped": bytes(flipped),
        "zeros": whole[:-5000] + bytes(5000),
        "weights": save(tensors),
        "no numbers": save(tensors, metadata={**header, "format": "one"}),
        "an earlier version": save(tensors, metadata={**header, "format": "1"}),
        "no facts": save(tensors, metadata={**header, "facts": "[]"}),
        "torn facts": save(tensors, metadata={**header, "facts": header["facts"][:-9]}),
        "fewer facts": save(
            tensors,
            metadata={
                **header,
                "facts": json.dumps({n: v for n, v in facts.items() if n != "steps"}),
            },
        ),
    }
    for name, content in contents.items():
        place.write_bytes(content)
        assert _checkpoint_of(place, variants) is None, name
        told: list[str | None] = []
        again = train_fleet(
            variants,
            prepared,
            checkpoint=place,
            on_epoch=lambda r, told=told: told.append(r.message),
        )
        equal(again, expected)
        (message,) = [m for m in told if m is not None]
        assert message.startswith(f"{place} "), name
        assert "checkpoint" in message
        assert message.endswith(": its variants train from the start")
    place.write_bytes(whole)
    with pytest.warns(
        RuntimeWarning,
        match="of other variants than were expected there: its variants train from the start",
    ):
        equal(train_fleet(variants[::-1], prepared, checkpoint=place), expected[::-1])


def _checkpoint_of(place: Path, variants: list[Variant]) -> object:
    try:
        return _checkpoint.read(place, [v.id for v in variants])
    except UnusableCheckpoint:
        return None


def test_a_checkpoint_whose_tensors_do_not_fit_is_not_used(
    prepared: PreparedData, tmp_path: Path
) -> None:
    variants, place = fleet("stacked")[:2], tmp_path / "fleet.safetensors"
    train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
    good = _checkpoint.read(place, [v.id for v in variants])
    assert good is not None
    name = "live.module.out.bias"
    for tensors in (
        {n: t for n, t in good.tensors.items() if n != name},
        {**good.tensors, name: good.tensors[name][:, :1]},  # would broadcast
        {**good.tensors, "live.state.0.unknown": good.tensors[name]},
    ):
        _checkpoint.write(place, dataclasses.replace(good, tensors=tensors))
        with pytest.warns(
            RuntimeWarning,
            match="was written by another version of winnow: its variants train from the start",
        ):
            equal(
                train_fleet(variants, prepared, checkpoint=place), train_fleet(variants, prepared)
            )


def test_a_checkpoint_from_a_newer_winnow_is_refused(
    prepared: PreparedData, tmp_path: Path
) -> None:
    place = tmp_path / "fleet.safetensors"
    train_fleet(fleet("stacked")[:2], prepared, checkpoint=place, checkpoint_seconds=0)
    save_file(load_file(place), place, metadata={"format": "9", "facts": "{}"})
    with pytest.raises(
        WorkspaceError,
        match=r"newer winnow \(checkpoint format 9, this one reads 2\): go on with that one, or",
    ):
        train_fleet(fleet("stacked")[:2], prepared, checkpoint=place)


def test_a_full_disk_ends_no_training_and_leaves_the_checkpoint_before_it(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants, place = fleet("stacked"), tmp_path / "fleet.safetensors"
    real = _checkpoint.save_file
    written = 0

    def full(*args: Any, **kwargs: Any) -> None:
        nonlocal written
        written += 1
        if written > 2:
            Path(args[1]).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(*args, **kwargs)

    told: list[str | None] = []
    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "save_file", full)
        found = train_fleet(
            variants,
            prepared,
            checkpoint=place,
            checkpoint_seconds=0,
            on_epoch=lambda r: told.append(r.message),
        )
    expected = train_fleet(variants, prepared)
    equal(found, expected)
    assert told[:3] == [None] * 3
    assert set(told[3:]) == {
        f"cannot write checkpoints to {tmp_path}: No space left on device; training goes on, but "
        f"what is in training now "
        "would be lost if it were stopped"
    }
    assert [p.name for p in tmp_path.iterdir()] == ["fleet.safetensors"]
    before = _checkpoint.read(place, [v.id for v in variants])
    assert before is not None
    assert before.epoch == 2
    equal(train_fleet(variants, prepared, checkpoint=place), expected)


def test_a_file_too_large_for_the_disk_is_the_same(prepared: PreparedData, tmp_path: Path) -> None:
    """The operating system itself refuses, in the middle of the file."""
    variants, place = fleet("stacked")[:2], tmp_path / "fleet.safetensors"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.warns(
            RuntimeWarning, match=r"cannot write checkpoints to .*(File too large|os error 27)"
        ):
            found = train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    equal(found, train_fleet(variants, prepared))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_directory_that_goes_away(what: str, prepared: PreparedData, tmp_path: Path) -> None:
    variants, directory = fleet("stacked")[:2], tmp_path / "checkpoints"
    place = directory / "fleet.safetensors"
    told: list[str | None] = []

    def replace(report: EpochReport) -> None:
        told.append(report.message)
        shutil.rmtree(directory) if directory.is_dir() else directory.unlink(missing_ok=True)
        if what == "a file":
            directory.write_text("")

    found = train_fleet(
        variants, prepared, checkpoint=place, checkpoint_seconds=0, on_epoch=replace
    )
    equal(found, train_fleet(variants, prepared))
    messages = {m for m in told if m is not None}
    assert len(messages) == (what == "a file")
    assert all("cannot write checkpoints to" in m and "File exists" in m for m in messages)
