"""A fleet that fails while it trains goes on in halves: only a variant that fails by itself has
failed.

Out of memory, an exception in a user's ``forward``, a matrix of one member that cannot be inverted:
the others are none the worse for it, since what a member gets does not depend on its mates.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from winnow.errors import ModelError, WinnowError, first_line, kind_and_line
from winnow.recipe import Cause, Outcome, Variant
from winnow.training import EpochReport, MemberResult, OutOfMemory, is_out_of_memory

__all__ = ["Train", "cause_of", "failure", "in_a_sentence", "train_in_halves"]

Tell = Callable[[EpochReport], None]
Train = Callable[[Sequence[Variant], bool, Tell], list[MemberResult]]
"""Trains these variants as one fleet, stacked or not, and tells of every epoch."""

# Frames in them are not the user's
_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent.parent))


def train_in_halves(
    variants: Sequence[Variant], train: Train, *, stacked: bool, on_epoch: Tell
) -> Iterator[list[MemberResult]]:
    """Train a fleet, and its halves where it fails.

    What has not left a fleet that fails trains again from the start, as two fleets one after the
    other. One that fails by itself in a stack trains once more unstacked, so that a fault of the
    stacked program is nobody's. What a member gets does not depend on the others, so its result is
    the same.

    Args:
        variants: of the fleet.
        train: trains a fleet; raises ``OutOfMemory`` when it does not fit, and whatever a model may
            raise.
        stacked: whether it trains as one program.
        on_epoch: passed on to ``train``; what it raises is no fault of a variant, and is raised.

    Yields:
        Results of the fleets that it became, each as soon as it ends; of members that left before
        it was halved first. Every variant is in one of them.

    Raises:
        WinnowError: the workspace or the data cannot be used, which concerns all variants.
    """

    def tell(report: EpochReport) -> None:
        try:
            on_epoch(report)
        except Exception as error:
            raise _FromOutside(error) from error

    try:
        yield from _train_parts(variants, train, stacked, tell)
    except _FromOutside as outside:
        raise outside.error from None


def cause_of(error: BaseException) -> Cause:
    """Return whose failure an exception in a training is.

    What memory, disks, imports and devices raise need not come again.
    """
    if isinstance(error, OSError | ImportError):
        return "environment"
    if isinstance(error, Exception) and is_out_of_memory(error):
        return "environment"
    # PyTorch has no class of its own for these
    of_device = ("CUDA error", "cuDNN error", "DataLoader worker")
    if isinstance(error, RuntimeError) and str(error).startswith(of_device):
        return "environment"
    return "variant"


def failure(variant: Variant, reason: str, cause: Cause, *, fleet: str = "") -> MemberResult:
    """Return the result of a variant that failed.

    Args:
        variant: the variant.
        reason: why, in a sentence.
        cause: whose failure it is.
        fleet: how it was trained; empty where it was not.
    """
    outcome = Outcome(variant.id, "failed", reason=reason, cause=cause, fleet=fleet)
    return MemberResult(variant, outcome, None)


def in_a_sentence(error: BaseException) -> str:
    """Return kind and first line of an exception, and where in the user's code it was raised."""
    if isinstance(error, ModelError):
        return str(error)
    hint = ""
    if "Expected more than 1 value per channel" in first_line(error):
        hint = (
            "; the last batch of an epoch has one row: set train.drop_last to true, or another "
            "train.batch_size"
        )
    return f"training it raised {kind_and_line(error)}{_place_in_user_code(error)}{hint}"


def _place_in_user_code(error: BaseException) -> str:
    """Return where the user's innermost function was when it was raised; empty if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith((*_LIBRARIES, "<"))]
    if not theirs:
        return ""
    last = theirs[-1]
    return f" ({Path(last.filename).name}, line {last.lineno}, in {last.name})"


class _FromOutside(BaseException):
    """Carries what a callback raised past everything that handles the exceptions of a training."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _train_parts(
    variants: Sequence[Variant], train: Train, stacked: bool, tell: Tell
) -> Iterator[list[MemberResult]]:
    finished: list[MemberResult] = []
    try:
        results = train(variants, stacked, tell)
    except OutOfMemory as error:
        finished = error.finished
        reason = f"does not fit by itself: {error}"
        cause = cause_of(error)
    except Exception as error:
        # Of the workspace or the data, which concern all; only a model is a variant's own
        if isinstance(error, WinnowError) and not isinstance(error, ModelError):
            raise
        reason = in_a_sentence(error)
        cause = cause_of(error)
    else:
        yield results
        return
    # Outside of the handlers, where the traceback would hold on to the tensors of the fleet that
    # failed.
    gc.collect()  # it is still around where it is part of a cycle
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if finished:
        yield finished
    gone = {one.variant.id for one in finished}
    left = [variant for variant in variants if variant.id not in gone]
    if len(variants) == 1:
        if stacked:
            yield from _train_parts(variants, train, False, tell)
        else:
            yield [failure(variants[0], reason, cause)]
        return
    half = -(-len(left) // 2)  # rounded up
    for part in (left[:half], left[half:]):
        if part:
            yield from _train_parts(part, train, stacked, tell)
