"""Scalers of numbers, each in a file of its own, under the contract of ``BaseScaler``."""

from winnow.methods.scalers._base import BaseScaler
from winnow.methods.scalers._fitted import Curve, Linear, Scaling
from winnow.methods.scalers._rank_gauss import RankGauss
from winnow.methods.scalers._standardize import Standardize

__all__ = ["SCALERS", "BaseScaler", "Curve", "Linear", "RankGauss", "Scaling", "Standardize"]

SCALERS: tuple[type[BaseScaler], ...] = (Standardize, RankGauss)
