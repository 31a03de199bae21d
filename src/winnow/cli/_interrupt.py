"""Ctrl-C that cannot get lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["insisting"]


@contextmanager
def insisting() -> Iterator[Callable[[], None]]:
    """Inside, Ctrl-C raises KeyboardInterrupt as ever, and is remembered: what this gives raises it
    again when it is called.

    Python raises it wherever the program happens to be. In a callback from compiled code that is
    somebody else's error handling, and pydantic's serializer, for one, drops it: the work would go
    on as if nobody had pressed anything. Called between pieces of work, this makes sure that it
    ends.
    """
    is_wanted = False
    before = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal is_wanted
        is_wanted = True
        signal.default_int_handler(number, frame)

    def insist() -> None:
        if is_wanted:
            raise KeyboardInterrupt

    # Ignored, as in a job in the background, or somebody else's to handle
    if before is not signal.default_int_handler:
        yield insist
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield insist
    finally:
        signal.signal(signal.SIGINT, before)
