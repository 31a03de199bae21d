"""The shelf of methods, of training, search and preparation.

Each stands in a file of its own, under the contract of its family.

They know nothing of loops, files or screens. Axes: V members, B batch, C outputs.
"""

from winnow.methods._batch import Batch
from winnow.methods._method import BaseMethod, Switch
from winnow.methods.augment import AUGMENTS, BaseAugment, InputNoise, Mixup
from winnow.methods.compressors import (
    COMPRESSORS,
    BaseCompressor,
    Compressed,
    ExportedModel,
    Features,
    Float16,
    Int8,
    LowRank,
    NotCompressed,
    in_order,
)
from winnow.methods.gradients import GRADIENT_RULES, BaseGradientRule, ClipNorm
from winnow.methods.losses import LOSSES, MSE, BaseLoss, CrossEntropy, Distillation, Focal
from winnow.methods.optimizers import LAMB, OPTIMIZERS, SGD, AdamW, BaseOptimizer, Lion
from winnow.methods.penalties import L1, L2, PENALTIES, BasePenalty
from winnow.methods.samplers import (
    SAMPLERS,
    TPE,
    BaseSampler,
    Random,
    Sobol,
    TriedSettings,
    settings_at,
)
from winnow.methods.scalers import (
    SCALERS,
    BaseScaler,
    Curve,
    Linear,
    RankGauss,
    Scaling,
    Standardize,
)
from winnow.methods.schedules import SCHEDULES, BaseSchedule, Constant, Cosine, OneCycle, Step
from winnow.methods.steps import (
    PCA,
    STEPS,
    Affine,
    BaseStep,
    Beside,
    Curves,
    Function,
    Keep,
    Operation,
    PiecewiseLinear,
    Polynomial,
    Products,
    Program,
    SelectBest,
)

__all__ = [
    "AUGMENTS",
    "COMPRESSORS",
    "GRADIENT_RULES",
    "L1",
    "L2",
    "LAMB",
    "LOSSES",
    "MSE",
    "OPTIMIZERS",
    "PCA",
    "PENALTIES",
    "SAMPLERS",
    "SCALERS",
    "SCHEDULES",
    "SGD",
    "STEPS",
    "TPE",
    "AdamW",
    "Affine",
    "BaseAugment",
    "BaseCompressor",
    "BaseGradientRule",
    "BaseLoss",
    "BaseMethod",
    "BaseOptimizer",
    "BasePenalty",
    "BaseSampler",
    "BaseScaler",
    "BaseSchedule",
    "BaseStep",
    "Batch",
    "Beside",
    "ClipNorm",
    "Compressed",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Curve",
    "Curves",
    "Distillation",
    "ExportedModel",
    "Features",
    "Float16",
    "Focal",
    "Function",
    "InputNoise",
    "Int8",
    "Keep",
    "Linear",
    "Lion",
    "LowRank",
    "Mixup",
    "NotCompressed",
    "OneCycle",
    "Operation",
    "PiecewiseLinear",
    "Polynomial",
    "Products",
    "Program",
    "Random",
    "RankGauss",
    "Scaling",
    "SelectBest",
    "Sobol",
    "Standardize",
    "Step",
    "Switch",
    "TriedSettings",
    "in_order",
    "settings_at",
]
