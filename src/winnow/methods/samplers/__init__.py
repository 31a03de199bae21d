"""Samplers of a search, each in a file of its own, under the contract of ``BaseSampler``."""

from winnow.methods.samplers._base import BaseSampler, TriedSettings, settings_at
from winnow.methods.samplers._random import Random
from winnow.methods.samplers._sobol import Sobol
from winnow.methods.samplers._tpe import TPE

__all__ = ["SAMPLERS", "TPE", "BaseSampler", "Random", "Sobol", "TriedSettings", "settings_at"]

SAMPLERS: tuple[type[BaseSampler], ...] = (TPE, Random, Sobol)
