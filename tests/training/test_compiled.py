"""A compiled program is found again only for what it was made for, and refuses everything else
before it reads memory.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from winnow.data import PreparedData, prepare
from winnow.methods import SGD, AdamW
from winnow.recipe import Data, Model, Train, Variant
from winnow.training import MemberResult, _runners, probe, train_fleet
from winnow.training._compiled import CompiledProgram, WrongInputs, _Input


def rows(*in_shape: int, number: int = 60) -> Data:
    rng = np.random.default_rng(0)
    return Data.arrays(
        rng.normal(size=(number, *in_shape)), rng.integers(0, 3, size=number), task="classification"
    )


DATA = rows(12)
SMALL, LARGE = rows(1, 8, 8), rows(1, 12, 12)


class Pooling(nn.Module):
    """Takes images of any size: no tensor of it tells which."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.conv(x).relu().mean(dim=(2, 3)))


class Mixture(nn.Module):
    """What may be in one network and not in the next."""

    def __init__(
        self,
        width: int = 8,
        norm: str = "",
        frozen: bool = False,
        rates: Sequence[float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, width), nn.Linear(width, width)
        self.norm = {"": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[norm](width)
        self.drop, self.late = nn.Dropout(rates[0]), nn.Dropout(rates[1])
        self.out = nn.Linear(width, 3)
        self.first.requires_grad_(not frozen)

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.norm(self.first(x)).relu())
        return self.out(self.late(self.second(h).tanh()))


def fleet_of(
    model: Any,
    data: Data = DATA,
    *,
    members: int = 8,
    epochs: Sequence[int] = (2,),
    rates: Sequence[Any] = (None,),
    **train: Any,
) -> list[Variant]:
    settings = {
        "batch_size": 16,
        "precision": "float64",
        "optimizer": SGD(lr=0.1, momentum=0.9),
        **train,
    }
    return [
        Variant(
            data=data,
            model=model if isinstance(model, Model) else Model(model),
            train=Train(**settings, epochs=epochs[i % len(epochs)], dropout=rates[i % len(rates)]),
            metric="accuracy",
            seed=i,
        )
        for i in range(members)
    ]


def assert_same(found: Sequence[MemberResult], expected: Sequence[MemberResult]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.outcome.epochs == b.outcome.epochs
        # In single precision rounding alone makes differences of the last digit.
        tolerance = 1e-8 if a.variant.train.precision == "float64" else 1e-5
        for name, curve in a.outcome.curves.items():
            np.testing.assert_allclose(
                curve, b.outcome.curves[name], rtol=tolerance, atol=tolerance, err_msg=name
            )
        for name, tensor in (a.weights or {}).items():
            torch.testing.assert_close(
                tensor, (b.weights or {})[name], rtol=tolerance, atol=tolerance
            )


def train_compiled(fleet: Sequence[Variant], prepared: PreparedData) -> list[MemberResult]:
    # A program that refuses says so, and a warning is an error
    found = train_fleet(fleet, prepared, compiled=True)
    assert all(f.outcome.fleet.endswith("compiled") for f in found if f.outcome.fleet)
    return found


def in_turn(pair: Sequence[list[Variant]]) -> list[list[MemberResult]]:
    return [train_compiled(fleet, prepare(fleet[0].data)) for fleet in pair]


def side_by_side(pair: Sequence[list[Variant]]) -> list[list[MemberResult]]:
    found: list[list[MemberResult]] = [[] for _ in pair]
    errors: list[BaseException] = []

    def train(i: int) -> None:
        try:
            found[i] = train_compiled(pair[i], prepare(pair[i][0].data))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=train, args=(i,)) for i in range(len(pair))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return found


PLAIN = fleet_of(Mixture)
QUICK = {
    "dropout on, then off": (fleet_of(Mixture, rates=(0.2,)), PLAIN),
    "two sizes of images": (fleet_of(Pooling, SMALL), fleet_of(Pooling, LARGE)),
}
MORE = {
    "one layer drops, then the other": (
        fleet_of(Model(Mixture, rates=(0.2, 0.0))),
        fleet_of(Model(Mixture, rates=(0.0, 0.2))),
    ),
    "penalties or none": (fleet_of(Mixture, l2=0.01, clip_norm=1.0), PLAIN),
    "frozen or not": (fleet_of(Model(Mixture, frozen=True)), PLAIN),
    "rows of a batch": (fleet_of(Mixture, batch_size=20), PLAIN),
    "number type": (fleet_of(Mixture, precision="float32"), PLAIN),
}


def check_pair(pair: tuple[list[Variant], list[Variant]]) -> None:
    """Compiled against uncompiled: side by side in two threads, then in turn."""
    plain = [train_fleet(fleet, prepare(fleet[0].data)) for fleet in pair]
    for found in (side_by_side(pair), in_turn(pair), in_turn(pair[::-1])[::-1]):
        for mine, expected in zip(found, plain, strict=True):
            assert_same(mine, expected)


@pytest.mark.parametrize("pair", QUICK.values(), ids=QUICK)
def test_fleets_that_differ_in_one_thing_do_not_share_a_program(
    pair: tuple[list[Variant], list[Variant]],
) -> None:
    check_pair(pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", MORE.values(), ids=MORE)
def test_more_fleets_that_differ_in_one_thing(pair: tuple[list[Variant], list[Variant]]) -> None:
    check_pair(pair)


def random_kind(rng: random.Random) -> dict[str, Any]:
    """A network and settings that one program is compiled for."""
    return {
        "model": Model(
            Mixture,
            width=rng.choice((4, 8)),
            norm=rng.choice(("", "batch", "layer")),
            frozen=rng.random() < 0.3,
            rates=rng.choice(((0.0, 0.0), (0.2, 0.0), (0.0, 0.2), (0.2, 0.1))),
        ),
        "data": rows(12, number=rng.choice((48, 60, 90))),
        "batch_size": rng.choice((16, 20)),
        "optimizer": rng.choice((SGD(lr=0.1, momentum=0.9), AdamW(lr=0.01))),
        "label_smoothing": rng.choice((0.0, 0.1)),
        "clip_norm": rng.choice((None, 1.0)),
    }


def random_fleet(rng: random.Random, kinds: Sequence[dict[str, Any]]) -> list[Variant]:
    """Of one of the kinds, so that programs are found again; dropout may be on, off or mixed,
    and members may leave early.
    """
    return fleet_of(
        **rng.choice(kinds),
        # One size of blocks, so that there are fewer programs to compile
        members=rng.choice((5, 8)),
        epochs=rng.choice(((1,), (2,), (1, 2), (1, 3, 2))),
        rates=rng.choice(((None,), (0.0,), (0.3,), (0.0, 0.3))),
    )


def check_random_pairs(count: int, *, num_kinds: int, seed: int) -> None:
    rng = random.Random(seed)
    kinds = [random_kind(rng) for _ in range(num_kinds)]
    for _ in range(count):
        pair = [random_fleet(rng, kinds), random_fleet(rng, kinds)]
        plain = [train_fleet(fleet, prepare(fleet[0].data)) for fleet in pair]
        for mine, expected in zip(side_by_side(pair), plain, strict=True):
            assert_same(mine, expected)


@pytest.mark.slow
def test_a_random_pair_in_two_threads() -> None:
    check_random_pairs(1, num_kinds=1, seed=1)


@pytest.mark.slow
def test_three_hundred_random_pairs_in_two_threads() -> None:
    check_random_pairs(300, num_kinds=8, seed=0)


def known(*shape: int, dtype: torch.dtype = torch.float32) -> _Input:
    return _Input("x", torch.Size(shape), dtype, torch.device("cpu"))


@pytest.mark.parametrize(
    "wrong",
    [
        [torch.zeros(8, 4)],
        [torch.zeros(8, 4), torch.zeros(3), torch.zeros(3)],
        [torch.zeros(8, 5), torch.zeros(3)],
        [torch.zeros(4, 8).T, torch.zeros(3)],
        [torch.zeros(8, 4, dtype=torch.float64), torch.zeros(3)],
        [torch.zeros(8, 4), torch.zeros(1, 3)],
        [torch.zeros(8, 4, device="meta"), torch.zeros(3)],
    ],
    ids=["too few", "too many", "shape", "strides", "type", "axes", "device"],
)
def test_a_program_refuses_what_it_was_not_made_for(wrong: list[Tensor]) -> None:
    calls: list[int] = []

    def run(*tensors: Tensor) -> list[Tensor]:
        calls.append(len(tensors))
        return [tensors[0]]

    program = CompiledProgram(8, (known(8, 4), known(3)), run)
    with pytest.raises(WrongInputs, match="expected"):
        program(wrong)
    assert calls == []
    program([torch.zeros(8, 4), torch.zeros(3)])
    assert calls == [2]


def test_a_fleet_whose_program_refuses_goes_on_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a program were found under the wrong key."""
    fleet, prepared = fleet_of(Mixture), prepare(DATA)
    monkeypatch.setattr(
        _runners,
        "compiled",
        lambda *_, **__: CompiledProgram(8, (known(8, 4),), lambda *_: [torch.zeros(8)]),
    )
    with pytest.warns(RuntimeWarning, match="its compiled program refuses: expected 1 tensors"):
        found = train_fleet(fleet, prepared, compiled=True)
    assert_same(found, train_fleet(fleet, prepared))


class Choosing(nn.Module):
    """In evaluation mode it decides by the values of the rows, in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.b, self.how = nn.Linear(12, 3), nn.Linear(12, 3), how

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.a(x)
        positive = {
            "if": lambda: bool(x[0, 0] > 0),
            "item": lambda: x[0, 0].item() > 0,
            "numpy": lambda: x.numpy()[0, 0] > 0,
            "shape": lambda: len(x[:1, :1][x[:1, :1] > 0]) > 0,
        }[self.how]()
        return self.a(x) if positive else self.b(x)


@pytest.mark.parametrize("how", ["if", "item", "numpy", "shape"])
def test_what_rows_decide_in_evaluation_is_not_made_constant(how: str) -> None:
    """The first of every chunk of rows decides: of the one that a capture would see, and of the
    others.
    """
    signs = np.resize([1, 1, -1], 2000)
    data = Data.arrays(
        signs[:, None] * np.abs(np.random.default_rng(0).normal(size=(2000, 12))),
        np.arange(2000) % 3,
    )
    fleet, prepared = (
        fleet_of(Model(Choosing, how=how), data, epochs=(1,), batch_size=256),
        prepare(data),
    )
    with pytest.warns(
        RuntimeWarning, match="a fleet runs uncompiled, because its step cannot be compiled"
    ):
        found = train_fleet(fleet, prepared, compiled=True)
    assert_same(found, train_fleet(fleet, prepared))


class Drawing(nn.Module):
    """Leaves a layer out at random, by a generator that is not PyTorch's."""

    def __init__(self, of: str) -> None:
        super().__init__()
        self.a, self.b, self.of = nn.Linear(12, 12), nn.Linear(12, 3), of

    def forward(self, x: Tensor) -> Tensor:
        drawn = random.random() if self.of == "python" else np.random.rand()
        return self.b(x) if self.training and drawn < 0.5 else self.b(self.a(x))


@pytest.mark.parametrize("of", ["python", "numpy"])
def test_draws_of_other_global_generators_are_noticed_and_seeded(of: str) -> None:
    fleet, prepared = fleet_of(Model(Drawing, of=of), members=2, epochs=(3,)), prepare(DATA)
    assert "global generator" in (probe(fleet[0], prepared).reason or "")
    random.seed(1)
    np.random.seed(1)
    state = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    first = train_fleet(fleet[:1], prepared)
    assert state == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index, union-attr]
    random.seed(2)
    np.random.seed(2)
    assert_same(train_fleet(fleet[:1], prepared), first)
