"""The contract of augmentations. Axes: V members, B batch, F features, C classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from winnow.methods import BaseAugment, Batch
from winnow.recipe import Train
from winnow.testing._contract import (
    calling,
    close,
    differing_members,
    expect,
    expect_family,
    numbers,
    others,
)
from winnow.testing._fleets import check_fleet, train
from winnow.training import Augmentation

__all__ = ["check_augment"]

_SHAPE = (6, 3)  # of a batch
_CLASSES = 3


def check_augment(augment: BaseAugment) -> None:
    """Check that an augmentation keeps the contract of ``BaseAugment``.

    It returns another batch and leaves the one that it is given alone; its randomness comes from
    ``uniform``, so the same step changes a batch in the same way; a member gets what it gets alone;
    settings may differ between members, and each has an effect; at its neutral settings it changes
    nothing. A tiny model is trained, as a fleet and alone, in double precision.

    Args:
        augment: with settings at which it does something.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import InputNoise
        >>> check_augment(InputNoise(sd=0.1))
    """
    name = expect_family(augment, BaseAugment)
    members = differing_members(augment)
    with calling(f"{name}: apply"):
        _check_changes(name, members)
        _check_settings(name, augment)
    check_fleet(name, [{"augment": [member]} for member in members])


def _check_changes(name: str, members: Sequence[BaseAugment]) -> None:
    V = len(members)
    x, y = _batch(V)
    before = x.clone(), y.clone()
    changed, targets = _changed(members, range(V), x, y)
    expect(
        torch.equal(x, before[0]) and torch.equal(y, before[1]),
        f"{name}: it changes the batch that it is given, in place",
    )
    expect(changed.shape == x.shape, f"{name}: it returns rows of shape {tuple(changed.shape)}")
    expect(bool(torch.isfinite(changed).all()), f"{name}: it returns numbers that are not finite")
    expect(
        not torch.equal(changed[0], x[0]) or not torch.equal(targets[0], y[0]),
        f"{name}: it returns the batch as it was, so it has no effect",
    )
    mixes = targets.dim() == 3
    expect(
        mixes == members[0].mixes_targets and (mixes or torch.equal(targets, y)),
        f"{name}: it changes targets, which `mixes_targets` has to say",
    )
    if mixes:
        total = targets.sum(dim=-1)
        expect(
            close(total, torch.ones_like(total)) and bool((targets >= 0).all()),
            f"{name}: the targets that it mixes are no probabilities",
        )
    again, _ = _changed(members, range(V), x, y)
    expect(
        torch.equal(again, changed),
        f"{name}: the same step gives another batch: random numbers come from `uniform` alone",
    )
    for i, member in enumerate(members):
        alone, own = _changed([member], [i], x[i : i + 1], y[i : i + 1])
        expect(
            close(changed[i : i + 1], alone) and close(targets[i : i + 1].double(), own.double()),
            f"{name}: member {i} of {V} gets another batch than alone",
        )


def _check_settings(name: str, augment: BaseAugment) -> None:
    x, y = _batch(1)
    now, _ = _changed([augment], [0], x, y)
    for setting, other in others(augment).items():
        changed, _ = _changed([other], [0], x, y)
        expect(
            not torch.equal(now, changed),
            f"{name}: its setting {setting!r} has no effect on the batch",
        )
    if augment.neutral:
        # Beside a member that is not neutral, since one that all share is left out.
        neutral = augment.model_copy(update=dict(augment.neutral))
        twice, labels = x.expand(2, *_SHAPE), y.expand(2, _SHAPE[0])
        changed, _ = _changed([neutral, augment], [0, 1], twice, labels)
        expect(
            close(changed[:1], x),
            f"{name}: it changes rows at its neutral settings ({dict(augment.neutral)})",
        )


def _batch(members: int) -> tuple[Tensor, Tensor]:
    x = numbers(0, members, {"": _SHAPE})[""]
    y = torch.arange(_SHAPE[0]).remainder(_CLASSES).expand(members, _SHAPE[0]).contiguous()
    return x, y


def _changed(
    members: Sequence[BaseAugment], seeds: Sequence[int], x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    trains: list[Train] = [train({"augment": [member]}) for member in members]
    change = Augmentation(trains, list(seeds), range(1), num_classes=_CLASSES, like=x)
    batch = change(Batch(x, y), 0)
    return batch.inputs, batch.targets
