"""The directory of a run: its ledger, the weights that were kept, and what the later stages put
beside them.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from winnow.errors import WorkspaceError
from winnow.files import remove_leftovers, written_aside
from winnow.ledger import Ledger
from winnow.training import UnusableCheckpoint, checksum, peek

__all__ = ["Workspace"]


class Workspace:
    """A run directory.

    One process at a time works in it; the lock goes with the process, also when it is killed.

    Attributes:
        path: the directory.
        ledger: the durable record, ``ledger.db`` in it.
    """

    def __init__(self, path: Path, *, temporary: bool = False) -> None:
        self.path = path
        self._temporary = temporary
        self._lock = _locked(path)
        # Of processes that were killed while they wrote; the lock says that they are gone
        remove_leftovers(path)
        for directory in _directories(path):
            remove_leftovers(directory)
            for left in directory.glob(".tmp*"):  # those of safetensors
                _remove(left)
        self.ledger = Ledger.open(path / "ledger.db")

    @classmethod
    def open(cls, path: Workspace | str | Path | None) -> Workspace:
        """Return the workspace at a place, and make it when there is none.

        Args:
            path: a directory, or a workspace that is open already; None: a temporary one that goes
                with the process.

        Raises:
            WorkspaceError: the directory cannot be written, another process works in it, or its
                ledger cannot be read.
        """
        if isinstance(path, Workspace):
            return path
        if path is not None:
            return cls(Path(path))
        workspace = cls(Path(tempfile.mkdtemp(prefix="winnow-")), temporary=True)
        atexit.register(workspace.close)
        return workspace

    def weights(self, variant_id: str) -> Path:
        """Return where the weights of a variant lie, whether or not they were kept."""
        return self.path / "weights" / f"{variant_id}.safetensors"

    def save_weights(self, variant_id: str, tensors: dict[str, Tensor]) -> str:
        """Write one variant's weights with a check sum, aside and then into place.

        Args:
            variant_id: of the variant.
            tensors: by the names of the user's module, on any device.

        Returns:
            Their path relative to the workspace.

        Raises:
            WorkspaceError: they cannot be written (a full disk, say); weights written earlier stay.
        """
        place = self.weights(variant_id)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        facts = {"variant": variant_id, "sum": str(checksum(tensors))}
        try:
            with written_aside(place) as aside:
                save_file(tensors, aside, metadata=facts)
        except (OSError, SafetensorError) as error:
            raise WorkspaceError(
                f"cannot write weights to {place}: {error}; what was finished before is safe"
            ) from error
        return str(place.relative_to(self.path))

    def load_weights(self, variant_id: str) -> dict[str, Tensor]:
        """Return the weights of a variant by the names of the user's module.

        Raises:
            WorkspaceError: they were not kept, or the file is damaged or another variant's.
        """
        place = self.weights(variant_id)
        try:
            with safe_open(place, framework="pt") as file:
                facts = file.metadata() or {}
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except FileNotFoundError:
            raise WorkspaceError(
                f"the weights of variant {variant_id} were not kept ({place} is missing)"
            ) from None
        except (OSError, SafetensorError) as error:
            raise WorkspaceError(f"the weights in {place} are damaged: {error}") from error
        whose = facts.get("variant")
        if whose != variant_id:
            found = "they do not say whose they are"
            if whose:
                found = f"they are those of variant {whose}"
            raise WorkspaceError(
                f"the weights in {place} are not those that were written there: {found}"
            )
        if facts.get("sum") != str(checksum(tensors)):
            raise WorkspaceError(
                f"the weights in {place} are damaged: their numbers are not those that were written"
            )
        return tensors

    def checkpoint(self, variant_ids: Sequence[str]) -> Path:
        """Return where a fleet of these variants leaves its state while it trains."""
        digest = hashlib.sha256(" ".join(variant_ids).encode()).hexdigest()[:20]
        return self.path / "checkpoints" / f"{digest}.safetensors"

    def begun_fleets(self) -> tuple[list[tuple[str, ...]], list[str]]:
        """Return the fleets that were training when their process ended. A damaged file is removed.

        Returns:
            The ids of the variants of each fleet, and a sentence for each file that cannot be used.

        Raises:
            WorkspaceError: a checkpoint was written by a newer winnow.
        """
        begun = []
        messages = []
        for place in sorted(self.path.glob("checkpoints/*.safetensors")):
            try:
                ids = peek(place)
            except UnusableCheckpoint as error:
                messages.append(f"{error}: it is removed, and what it held trains from the start")
                _remove(place)
                continue
            if place == self.checkpoint(ids):
                begun.append(ids)
            else:
                messages.append(
                    f"{place} is a checkpoint of other variants than its name says: it is not used"
                )
        return begun, messages

    def remove_checkpoint(self, variant_ids: Sequence[str]) -> None:
        """Remove the checkpoint of a fleet whose outcomes are recorded.

        One that cannot be removed does no harm: nobody asks for it again.
        """
        _remove(self.checkpoint(variant_ids))

    def close(self) -> None:
        """Close the ledger and let the directory go; a temporary one is removed.

        Closing twice is allowed.
        """
        if self._lock >= 0:
            self.ledger.close()
            os.close(self._lock)
            self._lock = -1
            if self._temporary:
                shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _directories(path: Path) -> tuple[Path, Path]:
    """Return the directories inside a workspace."""
    return path / "weights", path / "checkpoints"


def _locked(path: Path) -> int:
    """Make the directories of a workspace, and return a file descriptor that holds its lock."""
    try:
        for directory in _directories(path):
            directory.mkdir(parents=True, exist_ok=True)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
        lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}"
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = f"{error.filename} cannot be made a directory: a file is in the way"
        raise WorkspaceError(
            f"cannot work in {path}: {reason} - choose another directory"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise WorkspaceError(
            f"another winnow is working in {path}: wait for it, or choose another directory"
        ) from None
    return lock


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
