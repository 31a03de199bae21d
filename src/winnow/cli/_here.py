"""The current directory as a place where the modules of a recipe are found."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["modules_here"]


@contextmanager
def modules_here() -> Iterator[None]:
    """Inside, a recipe may name modules in the current directory; what is installed comes first.

    Commands that only read what a run made do without this: a file that happens to be called like a
    library must not be run because somebody predicts in its directory.
    """
    here = os.getcwd()
    # Called from Python, whose path is its caller's business
    if "" in sys.path or here in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
