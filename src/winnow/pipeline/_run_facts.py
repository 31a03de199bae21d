"""Facts about a run that no stage knows: how it was started, where, with what versions."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from winnow.execution import RunRecord, Sitting, device
from winnow.recipe import Recipe, metric_of

__all__ = ["machine", "quick_words", "run_facts", "sittings_of", "versions"]

# The libraries that decide the numbers
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
    """Return the document ``run``.

    ``versions`` and ``machine`` are those with which the first sitting trained, and stay so when
    the run is opened again. ``sittings`` has them for every sitting that trained something with
    others than the one before it.

    Args:
        recipe: as it was asked.
        metric: what is optimized, never ``auto``.
        task: ``classification`` or ``regression``.
        command: how to repeat the run.
        started: when the first sitting began (ISO 8601).
        seconds: of work, over all sittings.
        notes: what the reader should know.
        before: the sittings on record (``sittings_of``).
        trained: whether this sitting has trained something.
        quick: whether the recipe asks for as little as ``--quick`` made it.
        ablate: whether this sitting looks for parts that do nothing.
    """
    now = Sitting(dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), versions(), machine())
    sittings = tuple(before)
    if trained and not (sittings and _is_alike(sittings[-1], now)):
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


def _is_alike(last: Sitting, now: Sitting) -> bool:
    """Tell whether two sittings have the same versions and the same machine."""
    return last == replace(now, began=last.began)


def quick_words(recipe: Recipe, what: str) -> str:
    """Return what a quick run asks for, after the words ``what`` for it."""
    search, final = recipe.search, recipe.final
    searched = ""
    if recipe.is_open:
        searched = (
            f"{search.trials} trials, {search.leaders} leaders on {search.seeds} fresh seeds, "
        )
    return f"{what}: {searched}{final.seeds} final seeds (--trials and --seeds ask for more)"


def sittings_of(run: RunRecord, *, trained: bool) -> tuple[Sitting, ...]:
    """Return the sittings that a document ``run`` tells of.

    One that was written before there were sittings stands for one, if it trained.
    """
    if run.sittings is not None:
        return run.sittings
    if trained and run.versions and run.machine:
        return (Sitting(run.started, run.versions, run.machine),)
    return ()


def versions() -> dict[str, str]:
    """Return the versions of Python, winnow and the libraries that decide the numbers."""
    found = {"python": platform.python_version(), "winnow": importlib.metadata.version("winnow-ml")}
    for name in LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def machine() -> dict[str, str | int | None]:
    """Return what the latencies and seconds were measured on.

    ``device`` is what trained: ``cpu``, or the name of a GPU.
    """
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": device(),
    }


def _processor() -> str:
    """Return the name of the processor, which Python's ``platform`` does not know on Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
