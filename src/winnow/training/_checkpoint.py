"""A fleet between two epochs, on disk: what is needed to go on to the same bits.

One safetensors file: every tensor that the program says training changes, the best weights, the
weights of members that have left; and, as JSON in its header, what the driver remembers of each
member. Nothing here names a method: what a method keeps in the program's tensors is carried. What
follows from seed and step (order, noise, schedules) is not stored.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from winnow.errors import WorkspaceError
from winnow.files import written_aside

__all__ = ["Checkpoint", "UnusableCheckpoint", "checksum", "peek", "read", "write"]

FORMAT = 2


class UnusableCheckpoint(Exception):
    """Why there is nothing to go on from in a file, in a sentence that begins with its path. Always
    caught: what it held trains from the start.
    """


@dataclass(frozen=True)
class Checkpoint:
    """A fleet between two epochs.

    Attributes:
        variant_ids: of all members, also of those that have left.
        stacked, compiled: how it trains; going on in another way would give other last bits.
        epoch: the next one.
        steps: optimizer steps taken.
        members: what the driver remembers of each.
        tensors: by name.
    """

    variant_ids: tuple[str, ...]
    stacked: bool
    compiled: bool
    epoch: int
    steps: int
    members: list[dict[str, Any]]
    tensors: dict[str, Tensor]


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write aside, then move into place: a file under ``path`` is always whole, also after the
    power failed.

    Raises:
        WorkspaceError: it cannot be written (a full disk, say); the checkpoint before it stays.
    """
    # contiguous and apart: safetensors refuses tensors that share memory
    tensors = {
        n: t.detach().to("cpu", copy=True).contiguous() for n, t in checkpoint.tensors.items()
    }
    facts = {name: value for name, value in vars(checkpoint).items() if name != "tensors"}
    try:
        told = json.dumps(facts)
    except (TypeError, ValueError) as error:
        why = f"what train.early_stopping remembers is no plain data: {error}"
        raise WorkspaceError(f"cannot write checkpoints to {path.parent}: {why}") from error
    header = {"format": str(FORMAT), "facts": told, "sum": str(checksum(tensors))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            save_file(tensors, aside, metadata=header)
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise WorkspaceError(f"cannot write checkpoints to {path.parent}: {reason}") from error


def peek(path: Path) -> tuple[str, ...]:
    """Return ids of the variants in a checkpoint, without reading its tensors.

    Raises:
        UnusableCheckpoint: it is no checkpoint, or its header is damaged.
        WorkspaceError: it was written by a newer winnow.
    """
    return tuple(_facts(path)[0]["variant_ids"])


def read(path: Path, variant_ids: Sequence[str]) -> Checkpoint | None:
    """Return the checkpoint of these variants at ``path``; None when there is no file.

    Raises:
        UnusableCheckpoint: it is damaged, no checkpoint, or of other variants.
        WorkspaceError: it was written by a newer winnow.
    """
    if not path.exists():
        return None
    facts, expected_sum = _facts(path)
    if facts["variant_ids"] != list(variant_ids):
        raise UnusableCheckpoint(
            f"{path} is a checkpoint of other variants than were expected there"
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    if checksum(tensors) != expected_sum:
        raise _damaged(path, "its numbers are not those that were written")
    return Checkpoint(**{**facts, "variant_ids": tuple(facts["variant_ids"])}, tensors=tensors)


def _facts(path: Path) -> tuple[dict[str, Any], int]:
    """Return what the header says: the facts, and the check sum of the tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        number = int(header["format"])
        if number > FORMAT:
            raise WorkspaceError(
                f"{path} was written by a newer winnow (checkpoint format {number}, this one "
                f"reads {FORMAT}): "
                "go on with that one, or remove the file to train its variants from the start"
            )
        if number < FORMAT:
            raise UnusableCheckpoint(f"{path} is a checkpoint of an earlier version of winnow")
        facts: dict[str, Any] = json.loads(header["facts"])
        if set(facts) != set(Checkpoint.__dataclass_fields__) - {"tensors"}:
            raise _damaged(path, "its header lacks something")
        return facts, int(header["sum"])
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    except (KeyError, ValueError, AttributeError) as error:
        raise UnusableCheckpoint(f"{path} is no checkpoint") from error


def _damaged(path: Path, why: object) -> UnusableCheckpoint:
    return UnusableCheckpoint(f"{path} cannot be read as a checkpoint ({why})")


def checksum(tensors: Mapping[str, Tensor]) -> int:
    """Return a check sum of all names and numbers: a length that is right says nothing about a
    block that the disk lost.
    """
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(
            tensors[name].reshape(-1).view(torch.uint8).numpy().data,
            zlib.crc32(name.encode(), total),
        )
    return total
