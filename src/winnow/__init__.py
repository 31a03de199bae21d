"""winnow makes a PyTorch model better, smaller and faster, and shows which changes did it.

This page is the shop window. Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from winnow.bundle import load as load
    from winnow.compression import compress as compress
    from winnow.errors import BundleError as BundleError
    from winnow.errors import DataError as DataError
    from winnow.errors import InputError as InputError
    from winnow.errors import MissingExtraError as MissingExtraError
    from winnow.errors import ModelError as ModelError
    from winnow.errors import RecipeError as RecipeError
    from winnow.errors import WinnowError as WinnowError
    from winnow.errors import WorkspaceError as WorkspaceError
    from winnow.evaluation import evaluate as evaluate
    from winnow.execution import Workspace as Workspace
    from winnow.methods import EMA as EMA
    from winnow.methods import LAMB as LAMB
    from winnow.methods import SGD as SGD
    from winnow.methods import SWA as SWA
    from winnow.methods import AdamW as AdamW
    from winnow.methods import Centralize as Centralize
    from winnow.methods import ClipValue as ClipValue
    from winnow.methods import Constant as Constant
    from winnow.methods import Cosine as Cosine
    from winnow.methods import Distillation as Distillation
    from winnow.methods import Focal as Focal
    from winnow.methods import GeneralizationLoss as GeneralizationLoss
    from winnow.methods import InputNoise as InputNoise
    from winnow.methods import Lion as Lion
    from winnow.methods import Mixup as Mixup
    from winnow.methods import OneCycle as OneCycle
    from winnow.methods import Patience as Patience
    from winnow.methods import Step as Step
    from winnow.pipeline import Flow as Flow
    from winnow.pipeline import run as run
    from winnow.recipe import Ablate as Ablate
    from winnow.recipe import Augment as Augment
    from winnow.recipe import AuxiliaryLoss as AuxiliaryLoss
    from winnow.recipe import Averaging as Averaging
    from winnow.recipe import Choice as Choice
    from winnow.recipe import Compress as Compress
    from winnow.recipe import Data as Data
    from winnow.recipe import DataStep as DataStep
    from winnow.recipe import EarlyStopping as EarlyStopping
    from winnow.recipe import Final as Final
    from winnow.recipe import GradientRule as GradientRule
    from winnow.recipe import Integer as Integer
    from winnow.recipe import Log as Log
    from winnow.recipe import Loss as Loss
    from winnow.recipe import Model as Model
    from winnow.recipe import Optimizer as Optimizer
    from winnow.recipe import Penalty as Penalty
    from winnow.recipe import Prepare as Prepare
    from winnow.recipe import Recipe as Recipe
    from winnow.recipe import Sampler as Sampler
    from winnow.recipe import Scaler as Scaler
    from winnow.recipe import Schedule as Schedule
    from winnow.recipe import Search as Search
    from winnow.recipe import Split as Split
    from winnow.recipe import Start as Start
    from winnow.recipe import Stopping as Stopping
    from winnow.recipe import Train as Train
    from winnow.recipe import Uniform as Uniform
    from winnow.serving import serve as serve
    from winnow.study import ablate as ablate
    from winnow.study import search as search
    from winnow.study import train as train

__version__ = "0.1.0"

_ROOMS = {
    "winnow.bundle": ("load",),
    "winnow.compression": ("compress",),
    "winnow.errors": (
        "BundleError",
        "DataError",
        "InputError",
        "MissingExtraError",
        "ModelError",
        "RecipeError",
        "WinnowError",
        "WorkspaceError",
    ),
    "winnow.evaluation": ("evaluate",),
    "winnow.pipeline": ("Flow", "run"),
    "winnow.methods": (
        "EMA",
        "SWA",
        "SGD",
        "AdamW",
        "Centralize",
        "ClipValue",
        "Constant",
        "Cosine",
        "Distillation",
        "Focal",
        "GeneralizationLoss",
        "InputNoise",
        "Patience",
        "Mixup",
        "LAMB",
        "Lion",
        "OneCycle",
        "Step",
    ),
    "winnow.recipe": (
        "Ablate",
        "Augment",
        "Averaging",
        "Choice",
        "Compress",
        "Data",
        "DataStep",
        "AuxiliaryLoss",
        "EarlyStopping",
        "Final",
        "GradientRule",
        "Integer",
        "Log",
        "Loss",
        "Model",
        "Optimizer",
        "Penalty",
        "Prepare",
        "Recipe",
        "Sampler",
        "Scaler",
        "Schedule",
        "Search",
        "Split",
        "Stopping",
        "Start",
        "Train",
        "Uniform",
    ),
    "winnow.execution": ("Workspace",),
    "winnow.serving": ("serve",),
    "winnow.study": ("ablate", "search", "train"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'winnow' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # found without this function the next time
    return value


def __dir__() -> list[str]:
    return __all__
