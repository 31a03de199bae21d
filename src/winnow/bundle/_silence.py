"""Keeping other libraries quiet: exporters and quantizers print, log and warn about their own
insides.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing printed, logged or warned inside reaches the user; what the caller must know, it has
    to check and raise itself.

    Everything is put back afterwards: also the handlers of the root logger, to which
    ``logging.warning`` adds one unasked. Logging is silenced for the whole process meanwhile, so
    keep what stands inside short.
    """
    level, handlers = logging.root.manager.disable, list(logging.root.handlers)
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.handlers[:] = handlers
        logging.disable(level)
