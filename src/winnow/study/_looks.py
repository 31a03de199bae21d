"""How often the same question was asked of the same data, and what confidence is left for
asking again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from winnow.recipe import Recipe
from winnow.study._records import LookRecord, LooksRecord, Settings

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
    earlier: tuple[Settings, ...]

    def notes(self) -> list[str]:
        """Return what the reader should know; nothing about a first look."""
        if self.number == 1:
            return []
        before = ", ".join(f"{look.seeds} seeds" for look in self.earlier)
        return [
            f"look {self.number} at this question (before it: {before}): judged at confidence "
            f"{self.confidence:.5g} instead of {self.asked:g}, so that all looks after the first "
            f"together err no more often than the first"
        ]

    @property
    def record(self) -> LookRecord:
        """The look as the ``ablation`` document holds it."""
        return LookRecord(self.number, self.asked, self.earlier)


def count(
    before: LooksRecord | None,
    recipe: Recipe,
    parts: Sequence[str],
    *,
    metric: str,
    context: str,
) -> tuple[LooksRecord, Look]:
    """Return the ``looks`` document with this look in it, and the look.

    The question is: which of these parts of this recipe, with this metric on these rows? A look at
    it is a number of seeds, a smallest effect and a confidence. Asking again with the same settings
    is the same look.

    Args:
        before: the document so far; None: there is none.
        recipe: that is ablated.
        parts: the names of the arms.
        metric: the score, never ``auto``.
        context: digest of the data and of the model's source.
    """
    ask = recipe.ablate
    this = Settings(ask.seeds, ask.smallest_effect, ask.confidence)
    questions = dict(before.questions) if before is not None else {}
    key = _question_key(recipe, parts, metric, context)
    looks = questions.get(key, ())
    if this not in looks:
        looks = (*looks, this)
    questions[key] = looks
    num_earlier = looks.index(this)
    confidence = ask.confidence
    if num_earlier:
        # Not where there is none: 1 - (1 - confidence) is not the confidence in its last bit
        confidence = 1 - (1 - ask.confidence) / 2**num_earlier
    look = Look(num_earlier + 1, ask.confidence, confidence, looks[:num_earlier])
    return LooksRecord(questions), look


def _question_key(recipe: Recipe, parts: Sequence[str], metric: str, context: str) -> str:
    settings = recipe.model_dump(mode="json", include={"data", "model", "train", "seed"})
    # How many processes read the rows changes nothing about them
    settings["data"].pop("workers", None)
    question = json.dumps([settings, sorted(parts), metric, context], sort_keys=True, default=str)
    return hashlib.sha256(question.encode()).hexdigest()[:20]
