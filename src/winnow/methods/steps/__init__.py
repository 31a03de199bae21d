"""Steps from features to features, each in a file of its own, under ``BaseStep``'s contract."""

from winnow.methods.steps._base import BaseStep, Learned
from winnow.methods.steps._pca import PCA
from winnow.methods.steps._piecewise_linear import PiecewiseLinear
from winnow.methods.steps._polynomial import Polynomial
from winnow.methods.steps._program import (
    Affine,
    Beside,
    Curves,
    Function,
    Keep,
    Operation,
    Products,
    Program,
)
from winnow.methods.steps._select_best import SelectBest

__all__ = [
    "PCA",
    "STEPS",
    "Affine",
    "BaseStep",
    "Beside",
    "Curves",
    "Function",
    "Keep",
    "Learned",
    "Operation",
    "PiecewiseLinear",
    "Polynomial",
    "Products",
    "Program",
    "SelectBest",
]

STEPS: tuple[type[BaseStep], ...] = (PCA, SelectBest, Polynomial, PiecewiseLinear)
