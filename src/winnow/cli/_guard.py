"""From exceptions to one clean message and an exit code."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from winnow.errors import WinnowError, printable

__all__ = ["DEBUG", "guarded"]

P = ParamSpec("P")
T = TypeVar("T")

DEBUG = "WINNOW_DEBUG"  # set to 1 to see the traceback of an error
WRONG, STOPPED = 2, 130  # exit codes: as of a mistyped option, and as of a shell after SIGINT


def guarded(command: Callable[P, T]) -> Callable[P, T]:
    """Wrap a command so that its errors are told in one message on standard error.

    Args:
        command: any function.

    Returns:
        The command, which exits with code 2 after an error, and with 130 when it was stopped with
        Ctrl-C.
    """

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except WinnowError as error:
            if os.environ.get(DEBUG) == "1":
                raise
            tell(f"winnow: {error}")
            raise typer.Exit(WRONG) from None
        except BrokenPipeError:  # the reader of our output went away
            raise
        except OSError as error:
            # Without a file it is no mistake of the user's that a sentence could explain.
            if os.environ.get(DEBUG) == "1" or error.filename is None:
                raise
            tell(f"winnow: {error.filename}: {error.strerror}")
            raise typer.Exit(WRONG) from None
        except KeyboardInterrupt:
            tell("stopped. What was finished is kept: run the same command to go on.")
            raise typer.Exit(STOPPED) from None

    return wrapper


def tell(text: str) -> None:
    """Write a line to standard error, without markup, since messages hold names with brackets,
    and without control characters.
    """
    print(printable(text), file=sys.stderr, flush=True)
