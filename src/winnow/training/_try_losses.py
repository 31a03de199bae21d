"""The losses of a training tried on a few rows, before anything trains.

Axes: V members, B batch.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import Tensor, nn

from winnow.data import PreparedData
from winnow.errors import ModelError, kind_and_line
from winnow.methods import Batch
from winnow.models import to_training
from winnow.recipe import Variant
from winnow.training._augment import Augmentation
from winnow.training._batches import head_batch
from winnow.training._dropout import undrawn
from winnow.training._make_methods import make_methods
from winnow.training._methods import LossTerm, Methods
from winnow.training._program import run_module
from winnow.training._settings import dtype_of
from winnow.trees import Tree, described, leaves, map_tree

__all__ = ["try_losses"]

_ROWS = 8


def try_losses(variant: Variant, module: nn.Module, prepared: PreparedData) -> None:
    """Compute the losses of a training on a few rows, as its augmentations and its teacher make
    them.

    The module and the global generators are left as they were.

    Args:
        variant: whose losses they are; its methods can be found.
        module: a model of its recipe, as it was built.
        prepared: the data.

    Raises:
        ModelError: a loss does not fit the outputs, the targets or the teacher; an augmentation or
            the teacher fails.
    """
    dtype = dtype_of(variant)
    rows = head_batch(prepared, _ROWS, dtype).map(lambda tensor: tensor.unsqueeze(0))
    if prepared.task == "classification" and isinstance(rows.targets, Tensor):
        last = rows.targets.clone()
        last[:, 0] = prepared.out_features - 1  # a loss of fewer outputs has no such class
        rows = replace(rows, targets=last)
    augment = Augmentation.of([variant], prepared, range(1), dtype)
    try:
        batch = augment(rows, 0)
    except ModelError:  # it names its setting
        raise
    except Exception as error:  # whatever an augmentation of the user's may raise
        raise ModelError(f"train.augment: {kind_and_line(error)}") from error
    tried = copy.deepcopy(module).to(dtype)
    to_training(tried)
    try:
        with undrawn(0):
            own = run_module(tried, map_tree(lambda tensor: tensor[0], batch.inputs), mixed=False)
    except Exception as error:  # whatever the user's forward may raise
        raise ModelError(
            f"the model fails on rows as training gives them: {kind_and_line(error)}"
        ) from error
    outputs = map_tree(lambda tensor: tensor.unsqueeze(0), own)
    methods = make_methods([variant], prepared.task, dtype, num_steps=[1])
    for term in methods.losses:
        _try(term, methods, outputs, batch)


def _try(term: LossTerm, methods: Methods, outputs: Tree, batch: Batch) -> None:
    settings = {**methods.settings[term.role], **methods.constants[term.role]}
    setting, name = f"train.{term.role}", term.method.__name__
    try:
        found = term.per_row(outputs, batch, settings)
    except ModelError:  # it names its setting
        raise
    except Exception as error:  # whatever a loss of the user's may raise
        raise ModelError(
            f"{setting}: {name} fails on outputs of shape {described(outputs)} and targets of "
            f"shape {described(batch.targets)} (members, rows, ...): {kind_and_line(error)}"
        ) from error
    expected = tuple(leaves(batch.inputs)[0].shape[:2])
    if isinstance(found, Tensor) and tuple(found.shape) == (expected[0], 1):
        # As a loss module gives that reduces the batch itself
        if batch.weights is None or expected[1] == 1:
            return
        raise ModelError(
            f"{setting}: {name} gives one number for a whole batch, so data.weights cannot count "
            f"in it: let it give one for each row (reduction: none)"
        )
    if not isinstance(found, Tensor) or tuple(found.shape) != expected:
        what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ModelError(
            f"{setting}: {name} gives {what} for outputs of shape {described(outputs)} and targets "
            f"of shape {described(batch.targets)}, and a number for each row of each member is "
            f"expected, {expected}"
        )
