"""Which candidate ships: one that is shown to keep the budgets and to bring what was asked for,
else float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from winnow.compression._compressed import Candidate, CompressionLoss
from winnow.compression._latency import speedup
from winnow.compression._records import Gain
from winnow.stats import Interval

__all__ = [
    "LEAST_SAVING_BYTES",
    "LEAST_SAVING_SHARE",
    "Prefer",
    "choose",
    "confidence_for",
    "judged",
    "shown_faster",
    "shown_slower",
]

Prefer = Literal["speed", "size"]

# Of the float32 file; a saving below this, or below so many bytes, is none
LEAST_SAVING_SHARE = 0.1
LEAST_SAVING_BYTES = 20_000

# Share of cases in which a loss over its budget may ship, whichever compressor made it
_LEVEL = 0.05
_USUAL_CONFIDENCE = 0.95


def confidence_for(num_candidates: int) -> float:
    """Return the confidence of the two-sided intervals by which each candidate is judged.

    All are judged on the same validation rows, and a loss ships when its upper end is too low. The
    chance of that is half the error probability; over all candidates it adds up to at most 5 %
    (Bonferroni). One or two candidates take 95 % each, three 96.7 %, ten 99 %.

    Args:
        num_candidates: that may be judged, also where fewer will be.

    Example:
        >>> confidence_for(2), confidence_for(10)
        (0.95, 0.99)
    """
    return max(_USUAL_CONFIDENCE, 1 - 2 * _LEVEL / max(num_candidates, 1))


def judged(candidate: Candidate, *, float32: Candidate, prefer: Prefer) -> Candidate:
    """Return a compressed model accepted or not, with the reason in words."""
    keeps_budgets = all(loss.verdict == "within" for loss in candidate.losses)
    gain, what = _gain(candidate, float32, prefer)
    reasons = [*map(_loss, candidate.losses), what]
    is_better = gain in ("smaller", "faster")
    return replace(
        candidate, accepted=keeps_budgets and is_better, reason="; ".join(reasons), gain=gain
    )


def choose(candidates: Sequence[Candidate], *, prefer: Prefer) -> Candidate:
    """Return the best compressed model that was accepted, else the float32 model.

    For size that is the smallest. For speed it is the smallest of those that are not shown to be
    slower than the fastest at any batch size, so that chance does not choose between equals.
    """
    compressed = [one for one in candidates if one.compressor is not None]
    accepted = [one for one in compressed if one.accepted]
    if not accepted:
        return next(one for one in candidates if one.name == "onnx")
    if prefer == "speed":
        fastest = max(accepted, key=_times_as_fast)
        accepted = [one for one in accepted if not _is_slower(one, fastest)]
    return min(accepted, key=lambda one: one.bytes)


def _times_as_fast(candidate: Candidate) -> float:
    """Return the geometric mean over batch sizes."""
    ratios = [ratio.mean for ratio in candidate.versus_onnx.values()]
    return math.prod(ratios) ** (1 / len(ratios))


def _is_slower(candidate: Candidate, reference: Candidate) -> bool:
    ratios = [speedup(reference.latency[n], own) for n, own in candidate.latency.items()]
    return any(shown_slower(ratio) for ratio in ratios)


def shown_faster(ratio: Interval) -> bool:
    """Return whether a speed-up is above 1 with its whole interval."""
    return ratio.low > 1


def shown_slower(ratio: Interval) -> bool:
    """Return whether a speed-up is below 1 with its whole interval."""
    return ratio.high < 1


def _loss(loss: CompressionLoss) -> str:
    found = f"loss of {loss.metric} {loss.drop} on {loss.drop.n:,} validation rows"
    if loss.verdict != "undecided":
        return f"{found}, {loss.verdict} the budget of {loss.allowed:.4g}"
    found += f", which may be over the budget of {loss.allowed:.4g}"
    if loss.rows_needed is not None:
        return (
            f"{found}: about {_rounded_up(loss.rows_needed):,} rows would decide, if the loss "
            f"stays what it is"
        )
    return (
        f"{found}: the rows cannot decide, and more of them would help only if the loss turned "
        f"out smaller"
    )


def _rounded_up(rows: int) -> int:
    """To two digits: no more are known."""
    step = 10 ** max(len(str(rows)) - 2, 0)
    return -(-rows // step) * step


def _gain(candidate: Candidate, float32: Candidate, prefer: Prefer) -> tuple[Gain, str]:
    """Return whether it has what was preferred, and what that is in words."""
    if prefer == "size":
        return _gain_in_size(candidate.bytes, float32.bytes)
    return _gain_in_speed(list(candidate.versus_onnx.values()))


def _gain_in_size(num_bytes: int, float32_bytes: int) -> tuple[Gain, str]:
    saved = float32_bytes - num_bytes
    least = max(LEAST_SAVING_BYTES, LEAST_SAVING_SHARE * float32_bytes)
    what = f"{num_bytes:,} bytes, float32 {float32_bytes:,}"
    if saved >= least:
        return "smaller", f"smaller ({what})"
    if saved <= 0:
        return "not smaller", f"not smaller ({what}): what was added outweighs what was saved"
    said = f"too little smaller ({what}): a saving below 10 % or 20 kB counts as none"
    return "too little smaller", said


def _gain_in_speed(ratios: Sequence[Interval]) -> tuple[Gain, str]:
    against = "than float32 in ONNX Runtime"
    otherwise = "(compress.prefer: size would take it for its size)"
    # Slower at one batch size outweighs faster at another: who asked for speed would not see it.
    if any(map(shown_slower, ratios)):
        return "slower", f"slower {against} {otherwise}"
    if any(map(shown_faster, ratios)):
        return "faster", f"faster {against}"
    return "not shown faster", f"not shown to be faster {against} {otherwise}"
