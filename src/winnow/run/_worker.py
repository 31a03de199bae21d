"""A worker process: reads (variant, prepared rows) from its input, trains, answers the result, until its input ends.

Started by ``_processes``. Both ends are this program, on one machine, over a pipe: pickle is safe between
them.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from typing import IO, Any

__all__ = ["main", "read_message", "write_message"]

_LENGTH = struct.Struct("<Q")


def write_message(stream: IO[bytes], message: Any) -> None:
    """One object, its length in front."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """The next object.

    Raises:
        EOFError: the other end has closed.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError("the other end of the pipe has closed")
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("the other end of the pipe has closed")
    return pickle.loads(data)


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a user's model prints must not land among the answers
    import torch

    from winnow.train import train_fleet

    torch.set_num_threads(1)
    prepared: dict[str, Any] = {}
    while True:
        try:
            variant, key, rows = read_message(sys.stdin.buffer)
        except EOFError:
            return
        if rows is not None:
            prepared = {key: rows}
        try:
            write_message(answers, train_fleet([variant], prepared[key], stacked=False)[0])
        except Exception as error:
            write_message(
                answers,
                error if type(error).__module__.startswith("winnow") else RuntimeError(f"{type(error).__name__}: {error}"),
            )
