"""Batches as a step sees them: changed by augmentations, with randomness of their own, and with
what a teacher says to them.

Axes: V members, B batch, F features (any number of axes), S steps, A augmentations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from winnow.data import PreparedData
from winnow.methods import BaseAugment, Batch
from winnow.recipe import Train, Variant
from winnow.training._make_methods import member_settings
from winnow.training._noise import noise_keys, uniforms_as
from winnow.training._teacher import Teacher, open_teacher

__all__ = ["Augmentation"]

_CPU = torch.device("cpu")


class Augmentation:
    """The augmentations of members that train together.

    Args:
        trains: the training sections of the members, with equal ``methods_key``.
        seeds: of the members.
        steps: numbers of the steps that it will change, from 0.
        num_classes: of a classification; None for a regression.
        like: a tensor of the type and on the device of the rows.
        teacher: hears the batch as it has become.
    """

    @classmethod
    def of(
        cls,
        variants: Sequence[Variant],
        prepared: PreparedData,
        steps: range,
        dtype: torch.dtype,
        device: torch.device = _CPU,
    ) -> Augmentation:
        """Return the augmentations of variants that train together.

        Args:
            variants: of the members.
            prepared: their data.
            steps: numbers of the steps that it will change, from 0.
            dtype: of the rows.
            device: where the rows lie.

        Raises:
            ModelError: their teacher cannot be built.
        """
        return cls(
            [variant.train for variant in variants],
            [variant.seed for variant in variants],
            steps,
            num_classes=prepared.out_features if prepared.task == "classification" else None,
            like=torch.empty(0, dtype=dtype, device=device),
            teacher=open_teacher(variants[0], prepared, device),
        )

    def __init__(
        self,
        trains: Sequence[Train],
        seeds: Sequence[int],
        steps: range,
        *,
        num_classes: int | None,
        like: Tensor,
        teacher: Teacher | None = None,
    ) -> None:
        self._teacher = teacher
        self._num_classes, self._dtype = num_classes, like.dtype
        self._first = steps.start
        self._methods = []
        for i in range(len(trains[0].augment)):
            records = [train.augment[i] for train in trains]
            method, columns, constants = member_settings(
                records, BaseAugment, f"train.augment[{i}]", like.dtype
            )
            if columns or not method.neutral:
                settings = {n: t.to(like.device) for n, t in columns.items()}
                self._methods.append((i, method, {**settings, **constants}))
        if self._methods:
            keys = noise_keys(list(seeds), len(trains[0].augment), steps, purpose="augment")
            self._keys_SVA2 = torch.from_numpy(keys).to(like.device)

    def __call__(self, batch: Batch, step: int) -> Batch:
        """Return the batch of a step as the members see it; with soft targets if any mixes them.

        Raises:
            TypeError: an augmentation is for one input and one target, and there are several.
        """
        for i, method, settings in self._methods:
            targets = batch.targets
            is_soft = not isinstance(targets, Tensor) or targets.is_floating_point()
            if method.mixes_targets and not is_soft:
                assert self._num_classes is not None
                soft = torch.nn.functional.one_hot(targets, self._num_classes).to(self._dtype)
                batch = replace(batch, targets=soft)
            draw = _Draws(self._keys_SVA2[step - self._first, :, i], self._dtype)
            batch = method.of_batch(batch, draw, **settings)
        return batch if self._teacher is None else self._teacher(batch)


class _Draws:
    """Random numbers of one augmentation at one step: each call gives others."""

    def __init__(self, keys_V2: Tensor, dtype: torch.dtype) -> None:
        self._keys_V2, self._dtype, self._calls = keys_V2, dtype, 0

    def __call__(self, *shape: int) -> Tensor:
        size = torch.Size(shape)
        self._calls += 1
        found = uniforms_as(self._keys_V2, size.numel(), call=self._calls, dtype=self._dtype)
        return found.view(-1, *size)
