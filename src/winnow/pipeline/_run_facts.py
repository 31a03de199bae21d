"""Facts about a run that no stage knows: how it was started, where, with what versions."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from winnow.bundle import Bundle, BundleRecord, FileRecord
from winnow.execution import RunRecord, Sitting, device
from winnow.recipe import Recipe, metric_of

__all__ = [
    "bundle_facts",
    "files_of",
    "machine",
    "quick_words",
    "run_facts",
    "sittings_of",
    "versions",
]

LIBRARIES = ("torch", "numpy", "scikit-learn", "optuna", "onnxruntime")


def run_facts(
    recipe: Recipe,
    *,
    metric: str,
    task: str,
    command: str,
    started: str,
    seconds: float,
    notes: tuple[str, ...] = (),
    before: Sequence[Sitting] = (),
    trained: bool = True,
    quick: bool = False,
    ablate: bool = True,
) -> RunRecord:
    """The ``run`` document. ``seconds`` are of work, over all sittings; ``started`` is when the
    first began (ISO 8601).

    ``versions`` and ``machine`` are those with which the first sitting trained, and stay so when
    the run is opened again. ``sittings`` has them for every sitting that trained something with
    others than the one before it.

    Args:
        before: the sittings on record (``sittings_of``).
        trained: whether this one has trained something.
        quick: the recipe asks for as little as ``--quick`` made it.
        ablate: whether this one looks for parts that do nothing.
    """
    now = Sitting(dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), versions(), machine())
    sittings = tuple(before)
    if trained and not (sittings and sittings[-1] == replace(now, began=sittings[-1].began)):
        sittings = (*sittings, now)
    first = sittings[0] if sittings else now
    return RunRecord(
        name=recipe.name,
        command=command,
        started=started,
        seconds=seconds,
        versions=first.versions,
        machine=first.machine,
        sittings=sittings,
        seed=recipe.seed,
        recipe_yaml=recipe.to_yaml(),
        metric=metric,
        higher_is_better=metric_of(metric).higher_is_better,
        task=task,
        notes=notes,
        quick=quick_words(recipe, "a small version of the recipe (--quick)") if quick else None,
        ablate=ablate,
    )


def quick_words(recipe: Recipe, what: str) -> str:
    """What a quick run asks for, after the words for it."""
    search, final = recipe.search, recipe.final
    searched = (
        f"{search.trials} trials, {search.leaders} leaders on {search.seeds} fresh seeds, "
        if recipe.is_open
        else ""
    )
    return f"{what}: {searched}{final.seeds} final seeds (--trials and --seeds ask for more)"


def sittings_of(run: RunRecord, *, trained: bool) -> tuple[Sitting, ...]:
    """The sittings that a ``run`` document tells of; one that was written before there were any
    stands for one if it trained.
    """
    if run.sittings is not None:
        return run.sittings
    if trained and run.versions and run.machine:
        return (Sitting(run.started, run.versions, run.machine),)
    return ()


def versions() -> dict[str, str]:
    """Of Python, winnow and the libraries that decide the numbers."""
    found = {"python": platform.python_version(), "winnow": importlib.metadata.version("winnow-ml")}
    return found | {name: importlib.metadata.version(name) for name in LIBRARIES}


def machine() -> dict[str, Any]:
    """What the latencies and seconds were measured on; ``device`` is what trained: ``cpu``, or
    the name of a GPU.
    """
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": device(),
    }


def bundle_facts(bundle: Bundle, *, made_from: str) -> BundleRecord:
    """The ``bundle`` document. ``made_from`` names the trained variant and the settings that
    the bundle belongs to.
    """
    size = sum(path.stat().st_size for path in bundle.path.iterdir() if path.is_file())
    return BundleRecord(str(bundle.path), size, files_of(bundle), made_from)


def files_of(bundle: Bundle) -> dict[str, FileRecord]:
    """The files that its manifest names, but for the manifest."""
    return {name: FileRecord.from_dict(file) for name, file in bundle.manifest["files"].items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
