"""What compression says in words: what was ruled out, what is not faster, what the rows cannot
tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from winnow.compression._choice import shown_faster, shown_slower
from winnow.compression._compressed import Candidate

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
    if all(shown_faster(ratio) for ratio in candidate.versus_onnx.values()):
        return []
    said = []
    for size, ratio in candidate.versus_onnx.items():
        if shown_faster(ratio):
            said.append(f"at batch {size} it is {ratio.mean:.2f} times as fast")
        elif shown_slower(ratio):
            said.append(f"at batch {size} it takes {1 / ratio.mean:.2f} times as long")
        else:
            said.append(f"at batch {size} no difference was found")
    return [
        f"{candidate.name} is not faster everywhere than float32 in ONNX Runtime on this "
        f"machine: {'; '.join(said)}"
    ]
