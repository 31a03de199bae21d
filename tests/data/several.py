"""Rows of several inputs for tests, and models of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from winnow.methods import BaseLoss

__all__ = [
    "VOCABULARY",
    "Attention",
    "Branches",
    "PicturesAndNumbers",
    "ScoresAndSize",
    "Texts",
    "pictures",
    "texts",
]

VOCABULARY = 24


def texts(rows: int = 150, length: int = 7) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Token ids padded with 0, which of them are tokens, and whether one of the last four words of
    the vocabulary is among them.
    """
    rng = np.random.default_rng(0)
    mask = np.arange(length) < rng.integers(3, length + 1, size=(rows, 1))
    ids = rng.integers(1, VOCABULARY, size=(rows, length)) * mask
    return {"ids": ids, "mask": mask}, (ids >= VOCABULARY - 4).any(axis=1).astype(int)


class Texts:
    """The same as a map-style dataset.

    Attributes:
        odd: what takes the place of some items.
    """

    def __init__(self, rows: int = 150, **odd: Any) -> None:
        self.inputs, self.labels = texts(rows)
        self.odd = {int(name[1:]): item for name, item in odd.items()}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Any:
        if i in self.odd:
            return self.odd[i]
        return {name: torch.from_numpy(x)[i] for name, x in self.inputs.items()}, self.labels[i]


class Attention(nn.Module):
    """Embedding, a block of attention that sees only tokens, the mean over tokens, a head."""

    def __init__(self, in_shape: dict[str, tuple[int, ...]], out_features: int, width: int = 8):
        super().__init__()
        (length,) = in_shape["ids"]
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(torch.zeros(length, width))
        self.query, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.dropout, self.head = nn.Dropout(0.1), nn.Linear(width, out_features)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.tokens(ids) + self.places
        key = hidden.unsqueeze(1)
        seen = nn.functional.scaled_dot_product_attention(
            self.query(key), key, key, attn_mask=mask[:, None, None, :]
        )
        hidden = self.dropout(self.norm(hidden + seen.squeeze(1))) * mask.unsqueeze(-1)
        return self.head(hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True))


class Branches(nn.Module):
    """A layer for each of two blocks of columns, then one of both."""

    def __init__(self, in_shape: tuple[tuple[int, ...], ...], out_features: int, width: int = 8):
        super().__init__()
        (first,), (second,) = in_shape
        self.left, self.right = nn.Linear(first, width), nn.Linear(second, width)
        self.norm, self.head = nn.BatchNorm1d(2 * width), nn.Linear(2 * width, out_features)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        both = torch.cat([self.left(left), self.right(right)], dim=1)
        return self.head(self.norm(both).relu())


def pictures(rows: int = 120) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Pictures and numbers, a class that both tell together, and the mean of the picture."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, size=rows)
    brighter = (labels == 1).reshape(rows, 1, 1, 1)
    inputs = {
        "image": rng.random((rows, 1, 6, 6)).astype(np.float32) + brighter,
        "numbers": rng.normal(size=(rows, 4)).astype(np.float32) + (labels == 2)[:, None],
    }
    return inputs, labels, inputs["image"].mean(axis=(1, 2, 3))


class PicturesAndNumbers(nn.Module):
    """Scores, and beside them a guess of the picture's mean."""

    def __init__(self, out_features: int) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(4, 4)
        self.head, self.aux = nn.Linear(8, out_features), nn.Linear(4, 1)

    def forward(self, image: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        seen = self.conv(image).relu().mean(dim=(2, 3))
        both = torch.cat([seen, self.linear(numbers)], dim=1)
        return {"aux": self.aux(seen).squeeze(-1), "logits": self.head(both)}


class ScoresAndSize(BaseLoss):
    """Cross-entropy of the scores, and the squared error of the other output."""

    task = "classification"

    weight: float = 0.5

    @classmethod
    def of_batch(cls, outputs: Any, batch: Any, *, weight: Tensor) -> Tensor:
        logits, targets = outputs["logits"], batch.targets
        entropy = nn.functional.cross_entropy(
            logits.transpose(1, 2), targets["label"], reduction="none"
        )
        # A tensor (variants, batch) comes with an axis for its numbers inside a fleet
        guess = outputs["aux"].reshape(targets["size"].shape)
        return entropy + weight * (guess - targets["size"]).square()
