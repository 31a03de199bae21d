"""A worker process: reads (variant, digest of its model's code, key of its rows, rows or None,
checkpoint, seconds between checkpoints) from its input, trains, answers an ``EpochReport`` after
each epoch and then the result, until its input ends.

Started by ``_processes``. Both ends are this program, on one machine, over a pipe: pickle is safe
between them.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable, Sequence
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
    return pickle.loads(_read_bytes(stream))


def _read_bytes(stream: IO[bytes]) -> bytes:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError("the other end of the pipe has closed")
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("the other end of the pipe has closed")
    return data


def main() -> None:
    """Serve until the input ends, which also ends a training under way."""
    # Ctrl-C reaches all processes of a terminal; what it ends, our parent decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What a user's model prints must not land among the answers
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import torch

    from winnow.errors import ModelError, WinnowError
    from winnow.execution._failures import failure, train_in_halves
    from winnow.recipe import Variant
    from winnow.training import EpochReport, MemberResult, code_digest, train_fleet

    torch.set_num_threads(1)
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(asked,), daemon=True).start()

    def report(epoch: EpochReport) -> None:
        write_message(answers, epoch)

    prepared: dict[str, Any] = {}

    def answer(question: bytes) -> MemberResult:
        variant, code, key, rows, checkpoint, seconds = pickle.loads(question)
        if rows is not None:
            prepared.clear()
            prepared[key] = rows

        try:
            loaded = code_digest(variant.model, variant.train, variant.metric)
        except ModelError as error:  # the parent could import it
            return failure(
                variant, f"its worker process cannot load the model: {error}", "environment"
            )
        if loaded != code:
            reason = (
                f"its worker process loaded other code of {variant.model.use!r} than this run "
                f"began with: the model or a helper "
                "of it was edited meanwhile - start the run again to train the new code"
            )
            return failure(variant, reason, "environment")

        def train(
            variants: Sequence[Variant], stacked: bool, tell: Callable[[EpochReport], None]
        ) -> list[MemberResult]:
            return train_fleet(
                variants,
                prepared[key],
                stacked=stacked,
                on_epoch=tell,
                checkpoint=checkpoint,
                checkpoint_seconds=seconds,
            )

        ((result,),) = train_in_halves([variant], train, stacked=False, on_epoch=report)
        return result

    while True:
        result: MemberResult | Exception
        try:
            result = answer(asked.get())
        except BrokenPipeError:
            os._exit(0)
        except WinnowError as error:
            result = error
        except Exception as error:  # what was asked could not be understood here
            result = RuntimeError(f"{type(error).__name__}: {error}")
        write_message(answers, result)


def _receive(asked: queue.SimpleQueue[bytes]) -> None:
    """Take in what is asked, also during a training: once the parent is gone, killed perhaps,
    nobody may go on writing checkpoints in its workspace.
    """
    try:
        while True:
            asked.put(_read_bytes(sys.stdin.buffer))
    except (EOFError, OSError):
        os._exit(0)
