"""Out of memory while training: a fleet goes on in halves, and only a variant that does not fit by itself fails."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence

import torch

from winnow.recipe import Outcome, Variant
from winnow.train import Finished, OutOfMemory

__all__ = ["train_in_halves"]


def train_in_halves(
    variants: Sequence[Variant], train: Callable[[Sequence[Variant]], list[Finished]]
) -> Iterator[list[Finished]]:
    """Train a fleet; where it does not fit, what has not left it yet trains again from the start, as two fleets one after the
    other. What a member gets does not depend on the others, so its result is the same.

    Args:
        variants: of the fleet.
        train: trains a fleet; raises ``OutOfMemory`` when it does not fit.

    Yields:
        Results of the fleets that it became, of members that left before it was halved first. Every variant is in one of them.
    """
    try:
        yield train(variants)
        return
    except OutOfMemory as error:
        finished, reason = error.finished, str(error)
    gc.collect()  # the fleet that did not fit is still around where it is part of a cycle
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if finished:
        yield finished
    gone = {one.variant.id for one in finished}
    left = [v for v in variants if v.id not in gone]
    if len(left) == len(variants) == 1:
        outcome = Outcome(variant_id=left[0].id, status="failed", reason=f"does not fit by itself: {reason}")
        yield [Finished(left[0], outcome, None)]
        return
    half = -(-len(left) // 2)
    for part in (left[:half], left[half:]):
        if part:
            yield from train_in_halves(part, train)
