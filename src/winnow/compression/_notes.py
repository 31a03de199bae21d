"""What compression says in words: what was ruled out, what is not faster, what the rows cannot
tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from winnow.compression._choice import shown_faster, shown_slower
from winnow.compression._compressed import Candidate
from winnow.stats import Interval

__all__ = ["notes"]


def notes(candidates: Sequence[Candidate], chosen: Candidate) -> list[str]:
    """Return what is to be said of the compressed models, and that float32 ships where it does."""
    said = []
    tried = [candidate for candidate in candidates if candidate.compressor is not None]
    for candidate in tried:
        if not candidate.accepted:
            said.append(f"{candidate.name} does not ship: {candidate.reason}")
        said += _slow(candidate)
    if chosen.compressor is None and tried:
        said.append("so the float32 model ships")
    return said


def _slow(candidate: Candidate) -> list[str]:
    """Where a compressed model is not faster than the same model in float32."""
    ratios = candidate.versus_onnx
    if all(map(shown_faster, ratios.values())):
        return []
    said = [f"at batch {size} {_how_fast(ratio)}" for size, ratio in ratios.items()]
    return [
        f"{candidate.name} is not faster everywhere than float32 in ONNX Runtime on this "
        f"machine: {'; '.join(said)}"
    ]


def _how_fast(ratio: Interval) -> str:
    if shown_faster(ratio):
        return f"it is {ratio.mean:.2f} times as fast"
    if shown_slower(ratio):
        return f"it takes {1 / ratio.mean:.2f} times as long"
    return "no difference was found"
