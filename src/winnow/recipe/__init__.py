"""What is to be trained: recipes, ranges, parts, variants and outcomes. Nothing here knows
torch.
"""

from __future__ import annotations

from winnow.metrics import Task
from winnow.recipe._callables import (
    TRUST,
    installed_package,
    is_standard,
    uncallable,
    written_in_python,
)
from winnow.recipe._changes import QUICK, change, parse, quick
from winnow.recipe._digest import SAMPLED_ITEMS, sampled_items
from winnow.recipe._locate import locate, sections
from winnow.recipe._metrics import (
    Metric,
    better,
    is_own_metric,
    metric_label,
    metric_of,
    resolve_metric,
)
from winnow.recipe._names import SKLEARN_SETS, is_file
from winnow.recipe._objects import PREFIX as OBJECT_PREFIX
from winnow.recipe._objects import (
    ObjectNotFound,
    content_digest,
    dataset_digest,
    is_import_path,
    source_digest,
)
from winnow.recipe._objects import resolve as resolve_object
from winnow.recipe._parts import Part
from winnow.recipe._ready import READY, ConvNetArgs, MLPArgs
from winnow.recipe._recipe import Recipe
from winnow.recipe._sections import LONGEST_NAME
from winnow.recipe._seeds import derive_seed
from winnow.recipe._settings import (
    Ablate,
    AuxiliaryLoss,
    Compress,
    Data,
    EarlyStopping,
    Final,
    Model,
    Prepare,
    Search,
    Split,
    Start,
    Train,
)
from winnow.recipe._used import (
    Augment,
    Averaging,
    Compressor,
    DataStep,
    GradientRule,
    Loss,
    Optimizer,
    Penalty,
    Sampler,
    Scaler,
    Schedule,
    Stopping,
    Used,
    made,
    usual_loss,
)
from winnow.recipe._variant import (
    Cause,
    Outcome,
    Status,
    Variant,
)
from winnow.spec import Choice, Integer, Log, OpenSetting, Range, Uniform, is_range

__all__ = [
    "LONGEST_NAME",
    "OBJECT_PREFIX",
    "QUICK",
    "READY",
    "SAMPLED_ITEMS",
    "SKLEARN_SETS",
    "TRUST",
    "Ablate",
    "Augment",
    "AuxiliaryLoss",
    "Averaging",
    "Cause",
    "Choice",
    "Compress",
    "Compressor",
    "ConvNetArgs",
    "Data",
    "DataStep",
    "EarlyStopping",
    "Final",
    "GradientRule",
    "Integer",
    "Log",
    "Loss",
    "MLPArgs",
    "Metric",
    "Model",
    "ObjectNotFound",
    "OpenSetting",
    "Optimizer",
    "Outcome",
    "Part",
    "Penalty",
    "Prepare",
    "Range",
    "Recipe",
    "Sampler",
    "Scaler",
    "Schedule",
    "Search",
    "Split",
    "Start",
    "Status",
    "Stopping",
    "Task",
    "Train",
    "Uniform",
    "Used",
    "Variant",
    "better",
    "change",
    "content_digest",
    "dataset_digest",
    "derive_seed",
    "installed_package",
    "is_file",
    "is_import_path",
    "is_own_metric",
    "is_range",
    "is_standard",
    "locate",
    "made",
    "metric_label",
    "metric_of",
    "parse",
    "quick",
    "resolve_metric",
    "resolve_object",
    "sampled_items",
    "sections",
    "source_digest",
    "uncallable",
    "usual_loss",
    "written_in_python",
]
