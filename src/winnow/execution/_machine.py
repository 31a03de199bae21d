"""What this process may use of the machine."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from winnow.training import training_device

__all__ = ["cores", "device", "free_bytes", "versions"]

_UNKNOWN = 4 * 2**30  # bytes that are taken to be free where nothing says so


def cores() -> int:
    """Return how many processor cores this process may use."""
    # Only Linux tells which of them a container or taskset leaves to a process
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of winnow, Python and the libraries that make the numbers of a
    training, by name.
    """
    return {
        "winnow": importlib.metadata.version("winnow-ml"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def device() -> str:
    """Return what trains: ``cpu``, or the name of a GPU."""
    found = training_device()
    if found.type == "cuda":
        return torch.cuda.get_device_name(found)
    return found.type


def free_bytes(root: Path = Path("/")) -> int:
    """Return the memory that could be taken now, in bytes: what the machine has, and what a
    container's limits leave of it.

    Args:
        root: of the file system that says so.
    """
    found = [*_of_the_machine(root), *_of_groups(root)]
    return max(0, min(found)) if found else _UNKNOWN


def _of_the_machine(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_groups(root: Path) -> Iterator[int]:
    """Yield what the limit of each control group around this process leaves.

    Files in the cache count as free: they give way.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            names = _CGROUP_V2
        elif "memory" in controllers.split(","):
            names = _CGROUP_V1
        else:
            continue
        top = root / names.top
        place = top / path.lstrip("/")
        for group in [place, *place.parents]:
            limit = _number(group / names.limit)
            used = _number(group / names.used)
            if limit is not None and used is not None:
                yield limit - used + _cached_bytes(group, names.cached)
            if group == top:
                break


@dataclass(frozen=True)
class _CgroupNames:
    """The files in which a version of control groups tells the memory, and where they are.

    Attributes:
        top: the directory of all groups.
        limit, used: files with a number of bytes.
        cached: line of ``memory.stat`` with the files in the cache.
    """

    top: str
    limit: str
    used: str
    cached: str


_CGROUP_V1 = _CgroupNames(
    "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
)
_CGROUP_V2 = _CgroupNames("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def _cached_bytes(group: Path, name: str) -> int:
    for line in _lines(group / "memory.stat"):
        key, value = line.split()
        if key == name:
            return int(value)
    return 0


def _number(file: Path) -> int | None:
    """Return the number in a file; None where there is no file, or no limit in it."""
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdigit() else None


def _lines(file: Path) -> list[str]:
    """Return the lines of a file; none where it cannot be read."""
    try:
        return file.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
