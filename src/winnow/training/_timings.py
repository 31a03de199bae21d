"""What compiling a kind of fleet cost on this machine, and what it brought: kept between runs, in
the user's cache directory.

One small file for each machine, version of PyTorch and kind of fleet. Processes need no lock: a
file is written aside and moved into place, and the last one wins. It is only a memory: what cannot
be read or written is done without.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import platform
import re
from collections.abc import Hashable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from winnow.files import write_aside
from winnow.training._cache import cache_directory

__all__ = ["RememberedTiming", "fleet_kind", "recall", "remember"]


@dataclass(frozen=True)
class RememberedTiming:
    """What earlier runs measured of one kind of fleet; None where nobody has.

    Attributes:
        compile_seconds: until the compiled step was there, the last time.
        compiled_seconds: of a member-step on one core, compiled.
        plain_seconds: of a member-step on one core, stacked and not compiled.
    """

    compile_seconds: float | None = None
    compiled_seconds: float | None = None
    plain_seconds: float | None = None


def fleet_kind(key: Hashable) -> str:
    """Return a name for a ``shape_key`` that other processes give it too.

    Args:
        key: of a module as ``build_members`` makes it.
    """
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(key))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def recall(kind: str) -> RememberedTiming:
    """Return what is known about a kind of fleet on this machine."""
    try:
        found = json.loads(_place(kind).read_text(encoding="utf-8"))
        return RememberedTiming(
            **{
                name: _seconds(found[name])
                for name in asdict(RememberedTiming())
                if found.get(name) is not None
            }
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return RememberedTiming()


def remember(
    kind: str,
    *,
    compile_seconds: float | None = None,
    compiled_seconds: float | None = None,
    plain_seconds: float | None = None,
) -> None:
    """Write down what was measured; what is None stays as it was.

    Args:
        kind: ``fleet_kind`` of the fleet.
        compile_seconds, compiled_seconds, plain_seconds: see ``RememberedTiming``.
    """
    news = {
        "compile_seconds": compile_seconds,
        "compiled_seconds": compiled_seconds,
        "plain_seconds": plain_seconds,
    }
    known = replace(
        recall(kind), **{name: value for name, value in news.items() if value is not None}
    )
    place = _place(kind)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_aside(place, json.dumps(asdict(known)))


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"expected seconds, got {value!r}")
    return float(value)


def _place(kind: str) -> Path:
    return cache_directory() / "timings" / f"{_machine()}-{kind}.json"


@functools.cache
def _machine() -> str:
    """Return a name of machines that run at the same speed, and their version of PyTorch."""
    model = platform.processor()
    with (
        contextlib.suppress(OSError, StopIteration),
        open("/proc/cpuinfo", encoding="utf-8") as lines,
    ):
        model = next(line for line in lines if line.startswith("model name"))
    facts = (
        platform.system(),
        platform.machine(),
        model,
        torch.__version__,
        torch.backends.cpu.get_cpu_capability(),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
