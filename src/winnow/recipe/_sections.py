"""The sections that make a recipe, in the order in which they are written."""

from __future__ import annotations

from winnow.recipe._base import Settings
from winnow.recipe._settings import Ablate, Compress, Data, Final, Model, Search, Train
from winnow.recipe._types import Metric, Seed

__all__ = ["Sections"]


class Sections(Settings):
    """Data, model and training, and the questions asked about them."""

    name: str = "recipe"
    data: Data
    model: Model
    train: Train = Train()
    metric: Metric = "auto"  # auto: accuracy for classification, rmse for regression
    seed: Seed = 0  # everything random in every study follows from it
    search: Search = Search()
    ablate: Ablate = Ablate()
    final: Final = Final()
    compress: Compress = Compress()
