"""Named streams of seeds: everything random in a study follows from the recipe's one seed and a
purpose.
"""

from __future__ import annotations

import hashlib
import json

__all__ = ["derive_seed"]


def derive_seed(root: int, *purpose: str | int) -> int:
    """Return the seed in [0, 2**31) for one purpose, a function of ``root`` and the purpose alone.

    ``derive_seed(recipe.seed, "ablate", 3)`` is the same in every process and on every machine.
    Different purposes give seeds that have nothing to do with each other; two of them agree with
    probability 2**-31.
    """
    text = json.dumps([root, *purpose])  # "1" and 1, ("a", "b") and ("ab",) must not meet
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 33
