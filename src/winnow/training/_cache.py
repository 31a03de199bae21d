"""Where what was learnt about this machine is kept between runs: in the user's cache directory."""

from __future__ import annotations

import os
from pathlib import Path

import torch

__all__ = ["cache_directory", "set_up_compiler"]


def cache_directory() -> Path:
    """Return ``$XDG_CACHE_HOME/winnow``, or ``~/.cache/winnow``; it need not be there."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "winnow"


def set_up_compiler() -> None:
    """Let PyTorch's compiler keep its work there, unless the user has told it where: its own place
    is ``/tmp``, which does not last. Where nothing can be written, that place stays. And no pool of
    worker processes, which one C++ program has no use for.

    To be called before the compiler is imported.
    """
    if not torch.cuda.is_available():
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    place = cache_directory() / "programs"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(place, os.W_OK | os.X_OK):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(place))
