"""Which candidate ships: one that is shown to keep the budgets and to bring what was asked for,
else float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from winnow.compression._compressed import Candidate, CompressionLoss
from winnow.compression._records import Gain
from winnow.stats import Interval

__all__ = [
    "LEAST_SAVING_BYTES",
    "LEAST_SAVING_SHARE",
    "Prefer",
    "choose",
    "judged",
    "shown_faster",
    "shown_slower",
]

Prefer = Literal["speed", "size"]

# Of the float32 file; a saving below this, or below so many bytes, is none
LEAST_SAVING_SHARE = 0.1
LEAST_SAVING_BYTES = 20_000


def judged(candidate: Candidate, *, float32: Candidate, prefer: Prefer) -> Candidate:
    """``candidate``, an int8 model, accepted or not, with the reason in words."""
    kept = all(loss.verdict == "within" for loss in candidate.losses)
    gain, what = _gain(candidate, float32, prefer)
    said = "; ".join([*(_loss(loss) for loss in candidate.losses), what])
    return replace(
        candidate, accepted=kept and gain in ("smaller", "faster"), reason=said, gain=gain
    )


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The smallest int8 model that was accepted, else the float32 model."""
    accepted = [c for c in candidates if c.kind == "int8" and c.accepted]
    if accepted:
        return min(accepted, key=lambda c: c.bytes)
    return next(c for c in candidates if c.name == "onnx")


def shown_faster(ratio: Interval) -> bool:
    """Whether a speed-up is above 1 with its whole interval."""
    return ratio.low > 1


def shown_slower(ratio: Interval) -> bool:
    """Whether a speed-up is below 1 with its whole interval."""
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
    """Whether it has what was preferred, and what that is in words."""
    if prefer == "size":
        saved = float32.bytes - candidate.bytes
        enough = saved >= LEAST_SAVING_BYTES and saved >= LEAST_SAVING_SHARE * float32.bytes
        what = f"{candidate.bytes:,} bytes, float32 {float32.bytes:,}"
        if enough:
            return "smaller", f"smaller ({what})"
        if saved <= 0:
            return (
                "not smaller",
                f"not smaller ({what}): with so few weights, scales and extra nodes outweigh "
                f"what integers save",
            )
        said = f"too little smaller ({what}): a saving below 10 % or 20 kB counts as none"
        return "too little smaller", said
    ratios = list(candidate.versus_onnx.values())
    if any(shown_slower(ratio) for ratio in ratios):
        return (
            "slower",
            "slower than float32 in ONNX Runtime (compress.prefer: size would take it for its "
            "size)",
        )
    if any(shown_faster(ratio) for ratio in ratios):
        return "faster", "faster than float32 in ONNX Runtime"
    return (
        "not shown faster",
        "not shown to be faster than float32 in ONNX Runtime (compress.prefer: size would take "
        "it for its size)",
    )
