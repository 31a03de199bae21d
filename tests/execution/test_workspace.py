"""A run directory in every bad state: one message, and nothing lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from winnow.errors import WorkspaceError
from winnow.execution import Event, Runner, Workspace, _runner
from winnow.recipe import Data, Model, Outcome, Train, Variant
from winnow.training import EpochReport, train_fleet


def variant(seed: int) -> Variant:
    train = Train(epochs=4, batch_size=16)
    return Variant(
        data=Data(source="sklearn:iris"),
        model=Model("mlp", width=4, depth=1),
        train=train,
        metric="log_loss",
        seed=seed,
    )


VARIANTS = [variant(seed) for seed in range(3)]


class Killed(BaseException):
    """Stands for the end of the process."""


def begin(path: Path, variants: list[Variant]) -> Path:
    """A run that was killed in the third epoch; its checkpoint."""
    heard: list[Event] = []

    def kill(event: Event) -> None:
        heard.append(event)
        if sum(e.member_steps_per_second is not None for e in heard) == 3:
            raise Killed

    with Workspace.open(path) as workspace, pytest.raises(Killed):
        Runner(workspace, progress=kill, checkpoint_seconds=0).train(variants)
    (place,) = (path / "checkpoints").glob("*.safetensors")
    return place


def go_on(
    path: Path, variants: list[Variant], *, seconds: float = 0.0
) -> tuple[list[Outcome], list[str]]:
    """Outcomes, and the messages but for that of the checkpoint that is used."""
    events: list[Event] = []
    with Workspace.open(path) as workspace:
        outcomes = Runner(workspace, progress=events.append, checkpoint_seconds=seconds).train(
            variants
        )
        assert events[-1].done == events[-1].total == len(variants)
        assert (
            Runner(workspace, progress=events.append).train(variants)[0].score == outcomes[0].score
        )
    return outcomes, [
        e.message
        for e in events
        if e.message is not None and "from their last checkpoint" not in e.message
    ]


def check(outcomes: list[Outcome]) -> None:
    prepared = Runner(Workspace.open(None)).prepared(VARIANTS[0].data)
    for outcome, expected in zip(outcomes, train_fleet(VARIANTS, prepared), strict=True):
        assert outcome.curves == expected.outcome.curves


def test_a_killed_fleet_goes_on_and_says_so(tmp_path: Path) -> None:
    place = begin(tmp_path / "run", VARIANTS)
    events: list[Event] = []
    with Workspace.open(tmp_path / "run") as workspace:
        runner = Runner(workspace, progress=events.append)
        check(runner.train(VARIANTS))
    assert [e.message for e in events if e.message] == [
        "3 variants go on from their last checkpoint"
    ]
    assert runner.fleets[0].reason == "goes on from its last checkpoint"
    assert not place.exists()
    first = next(e for e in events if e.seconds_left is not None)
    assert first.seconds_left is not None
    assert first.member_steps_per_second is not None
    # Three members, five steps each
    epochs_left = first.seconds_left * first.member_steps_per_second / 15
    # Two or three epochs were saved, one more has been told
    assert round(epochs_left, 6) in (0.0, 1.0)


@pytest.mark.parametrize("content", [b"", b"torn", None], ids=["empty", "nonsense", "half"])
def test_a_damaged_checkpoint_is_removed_with_one_message(
    content: bytes | None, tmp_path: Path
) -> None:
    place = begin(tmp_path / "run", VARIANTS)
    place.write_bytes(
        place.read_bytes()[: place.stat().st_size // 2] if content is None else content
    )
    outcomes, messages = go_on(tmp_path / "run", VARIANTS)
    check(outcomes)
    (message,) = messages
    assert message.startswith(f"{place} cannot be read as a checkpoint (")
    assert message.endswith("): it is removed, and what it held trains from the start")
    assert not list(place.parent.iterdir())


def test_a_flipped_bit_is_told_once(tmp_path: Path) -> None:
    place = begin(tmp_path / "run", VARIANTS)
    whole = bytearray(place.read_bytes())
    whole[-5] ^= 16
    place.write_bytes(whole)
    outcomes, messages = go_on(tmp_path / "run", VARIANTS)
    check(outcomes)
    assert messages == [
        f"{place} cannot be read as a checkpoint (its numbers are not those that were written): "
        f"its variants train from the start"
    ]


def test_a_checkpoint_under_another_s_name_is_not_used(tmp_path: Path) -> None:
    place = begin(tmp_path / "run", VARIANTS)
    other = place.rename(place.with_name("0123.safetensors"))
    outcomes, messages = go_on(tmp_path / "run", VARIANTS)
    check(outcomes)
    assert messages == [
        f"{other} is a checkpoint of other variants than its name says: it is not used"
    ]
    assert other.exists()  # nobody asked for it to be removed


def test_checkpoints_of_other_variants_stay_until_they_are_asked_for(tmp_path: Path) -> None:
    place = begin(tmp_path / "run", VARIANTS)
    other = [variant(seed) for seed in (10, 11, 12)]
    _, messages = go_on(tmp_path / "run", other)
    assert messages == []
    assert place.exists()
    outcomes, _ = go_on(tmp_path / "run", VARIANTS)
    check(outcomes)
    assert not place.exists()


def test_a_checkpoint_of_a_newer_winnow_is_an_error_before_anything_trains(tmp_path: Path) -> None:
    place = begin(tmp_path / "run", VARIANTS)
    save_file({"a": torch.ones(1)}, place, metadata={"format": "7", "facts": json.dumps({})})
    with pytest.raises(
        WorkspaceError,
        match=r"by a newer winnow \(checkpoint format 7, this one reads 2\).*or remove the file",
    ):
        go_on(tmp_path / "run", VARIANTS)
    assert place.exists()


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    Workspace.open(tmp_path / "run").close()
    left = [
        tmp_path / "run" / name
        for name in (
            ".report.html.part",
            "checkpoints/.a.part",
            "weights/.b.part",
            "checkpoints/.tmpXyz",
            "weights/.tmpXyz",
        )
    ]
    for file in left:
        file.write_bytes(b"half")
    kept = tmp_path / "run" / "weights" / "c.safetensors"
    kept.write_bytes(b"whole")
    Workspace.open(tmp_path / "run").close()
    assert not any(file.exists() for file in left)
    assert kept.exists()


def test_nothing_is_removed_while_another_process_works_there(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "run"):
        writing = tmp_path / "run" / "checkpoints" / ".a.part"
        writing.write_bytes(b"half")
        with pytest.raises(WorkspaceError, match="another winnow is working"):
            Workspace.open(tmp_path / "run")
        assert writing.exists()


@pytest.mark.parametrize("name", ["checkpoints", "weights"])
def test_a_file_where_a_directory_should_be_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(
        WorkspaceError,
        match=f"{name} cannot be made a directory: a file is in the way - choose another",
    ):
        Workspace.open(tmp_path)


@pytest.mark.parametrize("name", ["checkpoints", "weights"])
def test_a_directory_that_cannot_be_written_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workspace.open(tmp_path).close()
    # The tests may run as root, who may do anything
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != name)
    with pytest.raises(
        WorkspaceError,
        match=f"cannot work in .*Permission denied: .*{name} - choose another directory",
    ):
        Workspace.open(tmp_path)


def test_outcomes_that_cannot_be_recorded_leave_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    with Workspace.open(path) as workspace, monkeypatch.context() as patch:

        def full(_: object, *, replace: bool) -> None:
            raise WorkspaceError("cannot write the ledger: the disk is full")

        patch.setattr(workspace.ledger, "record", full)
        with pytest.raises(WorkspaceError, match="the disk is full"):
            Runner(workspace, checkpoint_seconds=0).train(VARIANTS)
    events: list[Event] = []
    reports: list[EpochReport] = []
    with Workspace.open(path) as workspace, monkeypatch.context() as patch:
        real = _runner._Watch.epoch
        patch.setattr(
            _runner._Watch,
            "epoch",
            lambda self, report: (reports.append(report), real(self, report)),
        )
        check(Runner(workspace, progress=events.append).train(VARIANTS))
    assert len(reports) == 1  # the last epoch, after the last checkpoint
    assert reports[0].taken == 3 * 4 * 5
