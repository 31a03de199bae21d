"""Which bundle a path stands for, and what may have been meant where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from winnow.bundle._files import LEDGER, MANIFEST, read_json
from winnow.errors import BundleError, nearest

__all__ = ["FORMAT", "find_bundle", "is_bundle", "or_nearest"]

FORMAT = "winnow bundle"  # what a manifest calls itself
MOST_NAMES = 5  # of places that a message lists


def is_bundle(folder: Path) -> bool:
    """Tell whether ``folder`` holds a manifest that calls itself a winnow bundle, of whatever
    version.
    """
    try:
        return read_json(folder / MANIFEST).get("format") == FORMAT
    except BundleError:
        return False


def find_bundle(path: Path) -> Path:
    """Return the bundle that ``path`` stands for: itself, or the one in a run directory.

    Raises:
        BundleError: a run directory without a bundle, or with several.
    """
    if not (path / LEDGER).is_file() or is_bundle(path):
        return path  # reading it says what is wrong with it
    found = sorted(folder for folder in path.glob("*.winnow") if is_bundle(folder))
    if not found:
        raise BundleError(
            f"{path} is a run directory without a bundle: `winnow run {path}` goes on until "
            f"there is one"
        )
    if len(found) > 1:
        names = ", ".join(str(folder) for folder in found)
        raise BundleError(
            f"{path} is a run directory with {len(found)} bundles: name one of them, {names}"
        )
    return found[0]


def or_nearest(folder: Path) -> str:
    """Return what may have been meant, for the end of a message; empty where nothing is near.

    That is a bundle or a run directory in the folder, else the one beside it or in ``runs`` with
    the nearest name, else those that there are.
    """
    inside = _servable(folder)
    if inside:
        return f": it holds {_listed(inside)}"
    beside = _servable(folder.parent)
    if folder.parent != Path("runs"):
        beside += _servable(Path("runs"))
    close = nearest(folder.name, [place.name for place in beside])
    if close is not None:
        meant = next(place for place in beside if place.name == close)
        return f" - did you mean {str(meant)!r}?"
    return f" - known: {_listed(beside)}" if beside else ""


def _servable(folder: Path) -> list[Path]:
    """Return the bundles, and the run directories with one, that lie in a folder."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:  # no folder, or one that cannot be read
        return []
    folders = [place for place in inside if place.is_dir() and not place.name.startswith(".")]
    return [place for place in folders if _is_servable(place)]


def _is_servable(place: Path) -> bool:
    if (place / MANIFEST).is_file():
        return True
    return (place / LEDGER).is_file() and any(place.glob(f"*.winnow/{MANIFEST}"))


def _listed(places: Sequence[Path]) -> str:
    names = ", ".join(map(str, places[:MOST_NAMES]))
    more = len(places) - MOST_NAMES
    return f"{names} and {more} more" if more > 0 else names
