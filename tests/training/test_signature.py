"""What members must share to be stacked: objects are compared by what is in them, and a reason
names what differs.
"""

from __future__ import annotations

import copy
import logging
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from winnow.data import prepare
from winnow.recipe import Data, Model, Train, Variant
from winnow.training import probe
from winnow.training._signature import difference, signature


@dataclass
class Settings:
    width: int = 16
    rates: list[float] = field(default_factory=lambda: [0.1, 0.2])


@dataclass(frozen=True, slots=True)
class Slotted:
    width: int = 16


class Config:
    """An object as anybody writes one; it knows its owner, so following it goes round in
    circles.
    """

    def __init__(self, scale: float = 1.0, owner: object = None) -> None:
        self.scale, self.nested, self.owner = scale, {"deep": Settings()}, owner


class Sized(dict[str, int]):
    pass


class Holding(nn.Module):
    def __init__(self, held: Any) -> None:
        super().__init__()
        self.config, self.out = held, nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


def seeded(torch_seed: int) -> nn.Linear:
    torch.manual_seed(torch_seed)
    return nn.Linear(2, 2)


EQUAL_BY_CONTENT = [
    lambda: Config(),
    lambda: Settings(),
    lambda: Slotted(),
    lambda: SimpleNamespace(a=1, b=[2]),
    lambda: Sized(a=1),
    lambda: {"a": (1, 2.0, None), "b": {3, 4}},
    lambda: np.arange(3),
    lambda: torch.arange(3),
    lambda: logging.getLogger("winnow.tests"),
    lambda: [seeded(0)],
]
DIFFERENT = [
    (Config(), Config(scale=2.0), "config'.scale differs"),
    (Settings(), Settings(rates=[0.1, 0.3]), "config'.rates[1] differs"),
    (Slotted(), Slotted(8), "config'.width differs"),
    (
        SimpleNamespace(a=1),
        SimpleNamespace(b=1),
        "config'.a where the other has attribute 'config'.b",
    ),
    (Sized(a=1), Sized(a=2), "config'['a'] differs"),
    (np.arange(3), np.arange(3.0), "config' differs"),
    (lambda x: x + 1, lambda x: x + 2, "config' differs"),
    (threading.Lock(), threading.Lock(), "config' holds a lock, which cannot be compared"),
    ([seeded(0)], [seeded(1)], "config'[0], parameter 'weight' differs"),
]


@pytest.mark.parametrize("make", EQUAL_BY_CONTENT)
def test_objects_with_the_same_in_them_are_the_same(make: Any) -> None:
    assert signature(Holding(make())) == signature(Holding(make()))
    assert hash(signature(Holding(make()))) == hash(signature(Holding(make())))
    assert difference(Holding(make()), Holding(make())) is None


@pytest.mark.parametrize(("one", "other", "where"), DIFFERENT)
def test_what_differs_is_named(one: Any, other: Any, where: str) -> None:
    a, b = Holding(one), Holding(other)
    assert signature(a) != signature(b)
    assert where in (difference(a, b) or "")


def test_objects_that_lead_back_to_their_module_are_followed_once() -> None:
    a, b = Holding(None), Holding(None)
    a.config, b.config = Config(owner=a), Config(owner=b)
    a.config.nested["self"] = a.config
    b.config.nested["self"] = b.config
    assert signature(a) == signature(b) == signature(copy.deepcopy(a))


def test_hooks_count() -> None:
    a, b = Holding(None), Holding(None)
    a.out.register_forward_hook(lambda *_: None)
    assert "'out', forward hook 0" in (difference(a, b) or "")


def test_an_object_is_never_taken_for_one_that_is_gone() -> None:
    # Each lock is freed before the next is made
    signatures = {signature(Holding(threading.Lock())) for _ in range(50)}
    assert len(signatures) == 50


DATA = Data.arrays(np.random.default_rng(0).normal(size=(60, 12)), np.arange(60) % 3)


class Configured(Holding):
    def __init__(self) -> None:
        super().__init__(Config())


class ByNumber(Holding):
    """Its configuration depends on the seed, by way of PyTorch's generator."""

    def __init__(self) -> None:
        super().__init__(Config(scale=float(torch.rand(()))))


def test_a_model_with_a_configuration_object_is_stacked() -> None:
    def reason(model: type[nn.Module]) -> str | None:
        settings = Train(epochs=1)
        return probe(
            Variant(data=DATA, model=Model(model), train=settings, metric="accuracy", seed=0),
            prepare(DATA),
        ).reason

    assert reason(Configured) is None
    assert reason(ByNumber) == (
        "two members that differ only in the seed are not built alike: attribute 'config'.scale "
        "differs"
    )
