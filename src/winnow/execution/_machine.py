"""What this process may use of the machine."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from winnow.training import training_device

__all__ = ["cores", "device", "free_bytes", "versions"]

_UNKNOWN = 4 * 2**30


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def versions() -> dict[str, str]:
    """Of winnow, Python and the libraries that make the numbers of a training."""
    return {
        "winnow": importlib.metadata.version("winnow-ml"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def device() -> str:
    """What trains: ``cpu``, or the name of a GPU."""
    found = training_device()
    return torch.cuda.get_device_name(found) if found.type == "cuda" else found.type


def free_bytes(root: Path = Path("/")) -> int:
    """Memory that could be taken now, in bytes: what the machine has, and what a container's limits
    leave of it.

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
    """What the limit of each control group around this process leaves. Files in the cache count
    as free: they give way.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top, names = (
                root / "sys/fs/cgroup/memory",
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            )
        else:
            continue
        place = top / path.lstrip("/")
        for group in [place, *place.parents]:
            limit, used = (_number(group / name) for name in names[:2])
            if limit is not None and used is not None:
                given = (line.split() for line in _lines(group / "memory.stat"))
                yield limit - used + sum(int(value) for name, value in given if name == names[2])
            if group == top:
                break


def _number(file: Path) -> int | None:
    """The number in a file; None where there is no file, or no limit in it."""
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdigit() else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
