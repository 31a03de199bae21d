"""A fleet between two epochs, on disk: what is needed to go on to the same bits.

One safetensors file: every tensor that the program says training changes, the best weights, the weights of members that have
left; and, as JSON in its header, what the driver remembers of each member. Nothing here names a method: what a method keeps in
the program's tensors is carried. What follows from seed and step (order, noise, schedules) is not stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from winnow.errors import WorkspaceError

__all__ = ["Checkpoint", "peek", "read", "write"]

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A fleet between two epochs.

    Attributes:
        variant_ids: of all members, also of those that have left.
        stacked, compiled: how it trains; going on in another way would give other last bits.
        epoch: the next one.
        steps: optimiser steps taken.
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
    """Write aside, then move into place: a file under ``path`` is always whole.

    Raises:
        WorkspaceError: it cannot be written (a full disk, say); the checkpoint before it stays.
    """
    facts = {name: value for name, value in vars(checkpoint).items() if name != "tensors"}
    aside = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # contiguous and apart: safetensors refuses tensors that share memory
        tensors = {n: t.detach().clone().contiguous() for n, t in checkpoint.tensors.items()}
        save_file(tensors, aside, metadata={"format": str(FORMAT), "facts": json.dumps(facts)})
        os.replace(aside, path)
    except (OSError, SafetensorError) as error:
        aside.unlink(missing_ok=True)
        raise WorkspaceError(f"cannot write a checkpoint to {path}: {error}; what was finished before is safe") from error


def peek(path: Path) -> tuple[str, ...] | None:
    """Ids of the variants in a checkpoint, without reading its tensors; None for a file that is no whole checkpoint.

    Raises:
        WorkspaceError: it was written by a newer winnow.
    """
    found = _facts(path)
    return None if found is None else tuple(found["variant_ids"])


def read(path: Path, variant_ids: Sequence[str]) -> Checkpoint | None:
    """The checkpoint of these variants at ``path``; None when there is none, or it is of other variants.

    Raises:
        WorkspaceError: it was written by a newer winnow.
    """
    facts = _facts(path)
    if facts is None or facts["variant_ids"] != list(variant_ids):
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError):
        return None
    return Checkpoint(**{**facts, "variant_ids": tuple(facts["variant_ids"])}, tensors=tensors)


def _facts(path: Path) -> dict[str, Any] | None:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    if "format" not in header:
        return None
    if int(header["format"]) > FORMAT:
        raise WorkspaceError(
            f"{path} was written by a newer winnow (checkpoint format {header['format']}, this one reads {FORMAT})"
        )
    facts: dict[str, Any] = json.loads(header["facts"])
    return facts
