"""A worker process: reads a ``Question`` from its input, trains, answers an ``EpochReport`` after
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
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from winnow.data import PreparedData
    from winnow.recipe import Variant
    from winnow.training import EpochReport, MemberResult

__all__ = ["Question", "main", "read_message", "write_message"]

_LENGTH = struct.Struct("<Q")


class Question(NamedTuple):
    """What a worker is asked to train.

    Attributes:
        variant: that is trained.
        code: digest of its model's code, as the parent process has it.
        rows_digest: of the prepared rows.
        rows: the prepared rows; None where this worker has been given them already.
        checkpoint: where its state is written meanwhile.
        checkpoint_seconds: at least so long between two checkpoints.
    """

    variant: Variant
    code: str
    rows_digest: str
    rows: PreparedData | None
    checkpoint: Path
    checkpoint_seconds: float


def write_message(stream: IO[bytes], message: object) -> None:
    """Write one object, its length in front."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Return the next object.

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

    torch.set_num_threads(1)
    questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(questions,), daemon=True).start()
    rows_by_digest: dict[str, PreparedData] = {}
    while True:
        answer = _answer(questions.get(), rows_by_digest, answers)
        write_message(answers, answer)


def _answer(
    question: bytes, rows_by_digest: dict[str, PreparedData], answers: IO[bytes]
) -> MemberResult | Exception:
    """Return the result of a question, or the exception that concerns all variants."""
    from winnow.errors import WinnowError

    try:
        return _train(Question(*pickle.loads(question)), rows_by_digest, answers)
    except BrokenPipeError:
        os._exit(0)  # the parent is gone, and nobody waits for the rest
    except WinnowError as error:
        return error
    except Exception as error:  # what was asked could not be understood here
        return RuntimeError(f"{type(error).__name__}: {error}")


def _train(
    question: Question, rows_by_digest: dict[str, PreparedData], answers: IO[bytes]
) -> MemberResult:
    from winnow.execution._failures import failure, train_in_halves
    from winnow.training import train_fleet

    variant = question.variant
    if question.rows is not None:
        rows_by_digest.clear()  # one data section at a time: rows may be large
        rows_by_digest[question.rows_digest] = question.rows
    reason = _other_code(question)
    if reason is not None:
        return failure(variant, reason, "environment")

    def train(
        variants: Sequence[Variant], stacked: bool, on_epoch: Callable[[EpochReport], None]
    ) -> list[MemberResult]:
        return train_fleet(
            variants,
            rows_by_digest[question.rows_digest],
            stacked=stacked,
            on_epoch=on_epoch,
            checkpoint=question.checkpoint,
            checkpoint_seconds=question.checkpoint_seconds,
        )

    def report(epoch: EpochReport) -> None:
        write_message(answers, epoch)

    ((result,),) = train_in_halves([variant], train, stacked=False, on_epoch=report)
    return result


def _other_code(question: Question) -> str | None:
    """Return why the model that was loaded here is not the parent's; None where it is."""
    from winnow.errors import ModelError
    from winnow.training import code_digest

    variant = question.variant
    try:
        loaded = code_digest(variant.model, variant.train, variant.metric)
    except ModelError as error:  # the parent could import it
        return f"its worker process cannot load the model: {error}"
    if loaded == question.code:
        return None
    return (
        f"its worker process loaded other code of {variant.model.use!r} than this run began with: "
        f"the model or a helper of it was edited meanwhile - start the run again to train the new "
        f"code"
    )


def _receive(questions: queue.SimpleQueue[bytes]) -> None:
    """Take in what is asked, also during a training: once the parent is gone, killed perhaps,
    nobody may go on writing checkpoints in its workspace.
    """
    try:
        while True:
            questions.put(_read_bytes(sys.stdin.buffer))
    except (EOFError, OSError):
        os._exit(0)
