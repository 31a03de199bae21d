"""The sections that make a recipe, in the order in which they are written."""

from __future__ import annotations

from pydantic import field_validator

from winnow.recipe._metrics import Metric
from winnow.recipe._settings import Ablate, Compress, Data, Final, Model, Search, Train
from winnow.spec import Minutes, Seed, Settings

__all__ = ["LONGEST_NAME", "Sections"]

LONGEST_NAME = 200  # bytes; file systems take 255, and endings are added


class Sections(Settings):
    """Data, model and training, and the questions asked about them."""

    name: str = "recipe"
    data: Data
    model: Model
    train: Train = Train()
    metric: Metric = "auto"
    """``auto``: accuracy for classification, rmse for regression."""
    seed: Seed = 0
    """Everything random in every study follows from it."""
    minutes: Minutes | None = None
    """That a run may take, all stages together; no outcome depends on it."""
    search: Search = Search()
    ablate: Ablate = Ablate()
    final: Final = Final()
    compress: Compress = Compress()

    @field_validator("name")
    @classmethod
    def _names_a_file(cls, name: str) -> str:
        size = len(name.encode("utf-8", "surrogatepass"))
        if size > LONGEST_NAME:
            raise ValueError(
                f"names a folder, so it takes at most {LONGEST_NAME} bytes, got {size:,}"
            )
        return name
