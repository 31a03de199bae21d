"""How often the same question was asked of the same data, and what confidence is left for
asking again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.recipe import Recipe

__all__ = ["Look", "count"]


@dataclass(frozen=True)
class Look:
    """One look at a question.

    Who adds seeds until a part is decided gives chance one more try each time. So the first look
    may err with probability alpha = 1 - ``asked``, the second with alpha / 2, the third with alpha
    / 4, and so on: all looks after the first, together, no more often than the first, and all looks
    together with at most 2 alpha.

    Attributes:
        number: from 1, in the order in which the looks were first taken.
        asked: the confidence of the recipe.
        confidence: what this look is judged at.
        earlier: the settings of the looks before it: seeds, smallest effect, confidence.
    """

    number: int
    asked: float
    confidence: float
    earlier: tuple[Mapping[str, Any], ...]

    def notes(self) -> list[str]:
        """What the reader should know: nothing about a first look."""
        if self.number == 1:
            return []
        before = ", ".join(f"{look['seeds']} seeds" for look in self.earlier)
        return [
            f"look {self.number} at this question (before it: {before}): judged at confidence "
            f"{self.confidence:.5g} instead of "
            f"{self.asked:g}, so that all looks after the first together err no more often than "
            f"the first"
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "asked_confidence": self.asked,
            "earlier": [dict(look) for look in self.earlier],
        }


def count(
    document: Mapping[str, Any] | None,
    recipe: Recipe,
    parts: Sequence[str],
    *,
    metric: str,
    context: str,
) -> tuple[dict[str, Any], Look]:
    """The ``looks`` document with this look in it, and the look. Asking again with the same
    settings is the same look.

    The question is: which of these parts of this recipe, with this metric on these rows? A look at
    it is a number of seeds, a smallest effect and a confidence.
    """
    settings = recipe.model_dump(mode="json", include={"data", "model", "train", "seed"})
    settings["data"].pop("workers", None)
    question = json.dumps([settings, sorted(parts), metric, context], sort_keys=True, default=str)
    key = hashlib.sha256(question.encode()).hexdigest()[:20]
    ask = recipe.ablate
    this = {
        "seeds": ask.seeds,
        "smallest_effect": ask.smallest_effect,
        "confidence": ask.confidence,
    }
    questions = {
        name: list(looks) for name, looks in ((document or {}).get("questions") or {}).items()
    }
    looks = questions.setdefault(key, [])
    if this not in looks:
        looks.append(this)
    before = looks.index(this)
    alpha = (1 - ask.confidence) / 2**before
    return {"questions": questions}, Look(
        before + 1, ask.confidence, 1 - alpha if before else ask.confidence, tuple(looks[:before])
    )
