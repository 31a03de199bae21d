"""What compression says in words: what was ruled out, what is not faster, what the rows cannot tell."""

from __future__ import annotations

from winnow.compress._compressed import Candidate
from winnow.compress._trial import Trial

__all__ = ["notes"]


def notes(trial: Trial, candidates: list[Candidate], chosen: Candidate) -> list[str]:
    said = []
    fp32 = next(c for c in candidates if c.name == "onnx")
    for candidate in candidates:
        if candidate.kind != "int8" or candidate.score_drop is None:
            continue
        if not candidate.accepted:
            said.append(f"the budget rules {candidate.name} out: {candidate.reason}")
        elif candidate.score_drop.high > trial.allowed:
            said.append(
                f"{candidate.name} keeps the budget, but the validation rows cannot exclude a larger loss: up to "
                f"{candidate.score_drop.high:.4g} {trial.judge.metric} where {trial.allowed:.4g} is allowed"
            )
        if candidate.bytes >= fp32.bytes:
            said.append(
                f"{candidate.name} is not smaller ({candidate.bytes:,} bytes, float32 {fp32.bytes:,}): there are so few weights "
                "that scales and extra nodes outweigh what integers save"
            )
        said += _slow(candidate)
    if chosen.kind == "fp32" and any(c.kind == "int8" for c in candidates):
        said.append("so the float32 model ships")
    return said


def _slow(candidate: Candidate) -> list[str]:
    """Where int8 is not faster than the same model in float32."""
    said, slow = [], False
    for size, ratio in candidate.versus_onnx.items():
        if ratio.low > 1:
            said.append(f"at batch {size} it is {ratio.mean:.2f} times as fast")
            continue
        slow = True
        took = f"it takes {1 / ratio.mean:.2f} times as long" if ratio.high < 1 else "no difference was found"
        said.append(f"at batch {size} {took}")
    return [f"{candidate.name} is not faster than float32 in ONNX Runtime on this machine: {'; '.join(said)}"] if slow else []
