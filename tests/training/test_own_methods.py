"""Methods that are no part of winnow: written here, or PyTorch's own, under the same contracts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import winnow
from winnow.data import prepare
from winnow.errors import ModelError
from winnow.execution._fleets import trains_elsewhere
from winnow.methods import (
    EMA,
    L1,
    L2,
    SGD,
    BaseAugment,
    BaseLoss,
    BaseOptimizer,
    BasePenalty,
    BaseSchedule,
    Centralize,
    Constant,
    Cosine,
    GeneralizationLoss,
)
from winnow.recipe import (
    Ablate,
    Augment,
    Choice,
    Compress,
    Data,
    Final,
    Log,
    Loss,
    Model,
    Optimizer,
    Penalty,
    Recipe,
    Schedule,
    Search,
    Train,
    Uniform,
    Variant,
)
from winnow.training import MemberResult, _checkpoint, methods_key, probe, train_fleet
from winnow.training._find_methods import check_methods, code_digest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6))
DATA = Data.arrays(X, (X[:, 0] * X[:, 1] > 0).astype(int))
NUMBERS = Data.arrays(X, X @ RNG.normal(size=6))


class Net(nn.Module):
    """With ``batch`` a bias before the norm has a gradient of zero but for rounding, of which a
    method of signs makes whole steps.
    """

    def __init__(self, in_features: int, out_features: int, batch: bool = False) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(8) if batch else nn.LayerNorm(8)
        self.body = nn.Sequential(nn.Linear(in_features, 8), norm, nn.Tanh(), nn.Dropout(0.2))
        self.head = nn.Linear(8, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Muon(BaseOptimizer):
    """Orthogonalized momentum for matrices, sign descent for the rest (Jordan et al. 2024)."""

    slots = ("momentum",)
    structural = ("rounds",)

    momentum: float = 0.9
    rounds: int = 5

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: dict[str, Tensor],
        *,
        lr: Tensor,
        momentum: Tensor,
        rounds: int,
        number: Tensor,
    ) -> None:
        buffer = state["momentum"].mul_(momentum).add_(grad)
        if param.dim() != 3:
            param.sub_(lr * buffer / (1 + buffer.abs()))
            return
        a, b, c = 3.4445, -4.7750, 2.0315
        x = buffer / (torch.linalg.matrix_norm(buffer, keepdim=True) + 1e-7)
        for _ in range(rounds):
            gram = x @ x.transpose(-1, -2)
            x = a * x + (b * gram + c * gram @ gram) @ x
        param.sub_(lr * x)


class SAM(BaseOptimizer):
    """Sharpness-aware descent (Foret et al. 2021): the gradient where the loss is near its
    worst.
    """

    slots = ("offset",)
    perturbs = True

    rho: float = 0.05

    @classmethod
    def perturb_(
        cls,
        params: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        states: Mapping[str, dict[str, Tensor]],
        settings: Mapping[str, Tensor],
    ) -> None:
        squares = [grad.square().flatten(1).sum(dim=1, keepdim=True) for grad in grads.values()]
        scale = settings["rho"] / (torch.stack(squares).sum(dim=0).sqrt() + 1e-12)
        for name, param in params.items():
            step = grads[name] * scale.view(-1, *[1] * (param.dim() - 1))
            states[name]["offset"].copy_(step)
            param.add_(step)

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: dict[str, Tensor],
        *,
        lr: Tensor,
        rho: Tensor,
        number: Tensor,
    ) -> None:
        param.sub_(state["offset"]).sub_(lr * grad)


class LogCosh(BaseLoss):
    task = "regression"
    sharpness: float = 1.0

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets_VB: Tensor, *, sharpness: Tensor) -> Tensor:
        return (sharpness * (outputs_VBC.squeeze(-1) - targets_VB)).cosh().log()


class Hoyer(BasePenalty):
    """A penalty that sees rows of matrices, so it may not be laid flat."""

    strength: float = 0.01

    @staticmethod
    def add_gradient_(
        grad: Tensor, param: Tensor, where: float | Tensor, *, strength: Tensor
    ) -> None:
        norms = torch.linalg.vector_norm(param, dim=-1, keepdim=True)
        grad.add_(strength * where * param / (norms + 1e-6))


class Halving(BaseSchedule):
    every: int = 5

    def factors(self, num_steps: int) -> np.ndarray:
        return 0.5 ** (np.arange(num_steps) // self.every)


def fleet(data: Data = DATA, members: int = 3, **train: Any) -> list[Variant]:
    batch = train.pop("batch_norm", False)
    settings = {"epochs": 3, "batch_size": 16, "precision": "float64", **train}
    metric = "accuracy" if data is DATA else "rmse"
    return [
        Variant(
            data=data, model=Model(Net, batch=batch), train=Train(**settings), metric=metric, seed=s
        )
        for s in range(members)
    ]


def assert_equal_to_solo(variants: Sequence[Variant], *, compiled: bool = False) -> None:
    """Every member of the fleet against itself, trained alone."""
    prepared = prepare(variants[0].data)
    together = train_fleet(variants, prepared, stacked=True, compiled=compiled)
    for found, variant in zip(together, variants, strict=True):
        (expected,) = train_fleet([variant], prepared, stacked=False)
        assert found.outcome.finished
        same(found, expected)


def same(found: MemberResult, expected: MemberResult, tolerance: float = 1e-8) -> None:
    np.testing.assert_allclose(
        found.outcome.curves["train_loss"], expected.outcome.curves["train_loss"], rtol=tolerance
    )
    assert found.weights is not None
    assert expected.weights is not None
    for name, tensor in found.weights.items():
        torch.testing.assert_close(tensor, expected.weights[name], rtol=tolerance, atol=tolerance)


OWN: dict[str, dict[str, Any]] = {
    "matrix-shaped": {"optimizer": Muon(lr=0.02)},
    "two calls": {"optimizer": SAM(lr=0.1)},
    "two calls, running means": {"optimizer": SAM(lr=0.1), "batch_norm": True},
    "layer-wise": {"optimizer": {"kind": "lamb"}},
    "lion": {"optimizer": {"kind": "lion", "lr": 0.01}},
    "penalty by rows": {"optimizer": SGD(lr=0.05), "penalties": [Hoyer(strength=0.02)]},
    "schedule": {"optimizer": SGD(lr=0.1), "schedule": Halving(every=4)},
    "focal loss": {"optimizer": SGD(lr=0.1), "loss": {"kind": "focal", "gamma": 1.5}},
    "all at once": {
        "optimizer": SAM(lr=0.1, rho=0.1),
        "penalties": [Hoyer()],
        "schedule": Halving(),
        "clip_norm": 0.5,
        "l1": 1e-3,
    },
}


@pytest.mark.parametrize("train", OWN.values(), ids=OWN)
def test_members_of_a_fleet_equal_their_solo_runs(train: dict[str, Any]) -> None:
    variants = fleet(**train)
    assert probe(variants[0], prepare(DATA)).reason is None
    assert_equal_to_solo(variants)


def test_an_own_loss_trains_a_regression_in_a_fleet() -> None:
    assert_equal_to_solo(fleet(NUMBERS, loss=LogCosh(sharpness=0.5), optimizer=SGD(lr=0.01)))


def test_settings_of_an_own_method_may_differ_within_a_fleet() -> None:
    variants = [
        v.model_copy(update={"train": Train(**{**dict(v.train), "optimizer": SAM(lr=lr, rho=rho)})})
        for v, lr, rho in zip(fleet(), (0.1, 0.05, 0.2), (0.0, 0.1, 0.3), strict=True)
    ]
    assert_equal_to_solo(variants)


def test_sam_with_radius_zero_is_plain_descent() -> None:
    prepared = prepare(DATA)
    (sam,) = train_fleet(fleet(members=1, optimizer=SAM(lr=0.1, rho=0.0)), prepared)
    (plain,) = train_fleet(fleet(members=1, optimizer=SGD(lr=0.1, momentum=0.0)), prepared)
    same(sam, plain)


def test_a_penalty_in_the_list_is_the_one_of_its_setting() -> None:
    prepared = prepare(DATA)
    listed = fleet(penalties=[L1(strength=0.01), L2(strength=0.1)], optimizer=SGD(lr=0.05))
    named = fleet(l1=0.01, l2=0.1, optimizer=SGD(lr=0.05))
    for a, b in zip(train_fleet(listed, prepared), train_fleet(named, prepared), strict=True):
        same(a, b, tolerance=1e-12)


def test_what_was_typed_into_a_notebook_trains_in_this_process_alone() -> None:
    class Typed(BaseAugment):
        @staticmethod
        def apply(x_VBF: Tensor, targets: Tensor, uniform: Any) -> tuple[Tensor, Tensor]:
            return x_VBF, targets

    prepared = prepare(Data(source="sklearn:wine"))
    for train in (Train(augment=[Typed()]), Train(augment=[Augment(Typed)])):
        variant = fleet(members=1)[0].model_copy(update={"train": train})
        assert not trains_elsewhere(variant, prepared)
    assert trains_elsewhere(fleet(members=1)[0], prepared)


# -- PyTorch's own ---------------------------------------------------------------------------------


TORCH = {
    "RAdam": {"betas": [0.8, 0.95]},
    "NAdam": {},
    "Adagrad": {},
    "Rprop": {},
    "RMSprop": {"momentum": 0.5},
    "Adadelta": {},
    "ASGD": {},
    "Adamax": {"weight_decay": 0.01},
}


@pytest.mark.parametrize("name", TORCH)
def test_an_optimizer_of_torch_trains_in_a_fleet_as_alone(name: str) -> None:
    cls, args = getattr(torch.optim, name), TORCH[name]
    variants = fleet(optimizer=Optimizer(cls, lr=0.01, **args), epochs=6)
    prepared = prepare(DATA)
    assert probe(variants[0], prepared).reason is None
    assert_equal_to_solo(variants)


def test_a_torch_optimizer_equals_ours_where_we_have_it() -> None:
    prepared = prepare(DATA)
    theirs = fleet(
        members=1,
        optimizer=Optimizer(torch.optim.AdamW, lr=0.01, weight_decay=0.05),
        schedule=Cosine(),
    )
    ours = fleet(
        members=1,
        optimizer={"kind": "adamw", "lr": 0.01, "weight_decay": 0.05},
        schedule=Cosine(),
    )
    (a,), (b,) = train_fleet(theirs, prepared), train_fleet(ours, prepared)
    same(a, b)


def test_an_optimizer_of_torch_that_is_not_elementwise_trains_alone() -> None:
    variant = fleet(optimizer=Optimizer(torch.optim.Adafactor, lr=0.01))[0]
    reason = probe(variant, prepare(DATA)).reason
    assert reason is not None
    assert "optimizer" in reason
    (found,) = train_fleet([variant], prepare(DATA), stacked=False)
    assert found.outcome.finished


def test_a_loss_of_torch_equals_ours_where_we_have_it() -> None:
    prepared = prepare(NUMBERS)
    theirs = fleet(NUMBERS, loss=Loss(nn.MSELoss), optimizer=SGD(lr=0.01))
    ours = fleet(NUMBERS, loss="mse", optimizer=SGD(lr=0.01))
    for a, b in zip(train_fleet(theirs, prepared), train_fleet(ours, prepared), strict=True):
        same(a, b)
    assert_equal_to_solo(fleet(NUMBERS, loss=nn.SmoothL1Loss, optimizer=SGD(lr=0.01)))


class LooksAtNumbers(nn.Module):
    """A loss that ``vmap`` cannot take."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        loss = nn.functional.mse_loss(outputs, targets)
        return loss if loss.item() < 1e6 else loss.sqrt()


def test_a_loss_that_cannot_be_stacked_trains_alone() -> None:
    prepared = prepare(NUMBERS)
    (own,) = fleet(NUMBERS, members=1, loss=Loss(LooksAtNumbers), optimizer=SGD(lr=0.01))
    assert probe(own, prepared).reason is not None
    (found,) = train_fleet([own], prepared)
    (plain,) = train_fleet(fleet(NUMBERS, members=1, optimizer=SGD(lr=0.01)), prepared)
    same(found, plain)


class Capped(BaseLoss):
    """A setting that may be left out, and one that is called as the optimizer's."""

    task = "regression"

    cap: float | None = None
    lr: float = 1.0

    @staticmethod
    def per_row(
        outputs_VBC: Tensor, targets_VB: Tensor, *, cap: Tensor | None, lr: Tensor
    ) -> Tensor:
        squares = (outputs_VBC.squeeze(-1) - targets_VB).square()
        return lr * (squares if cap is None else squares.minimum(cap))


def test_a_setting_that_is_left_out_and_one_of_any_name_arrive() -> None:
    for loss in (Capped(), Capped(cap=0.5, lr=0.3)):
        assert_equal_to_solo(fleet(NUMBERS, loss=loss, optimizer=SGD(lr=0.01)))
    without, with_cap = (fleet(NUMBERS, loss=loss)[0].train for loss in (Capped(), Capped(cap=0.5)))
    assert methods_key(without) != methods_key(with_cap)


# -- in a recipe -----------------------------------------------------------------------------------


def test_own_methods_stand_in_yaml_and_read_back_equal() -> None:
    recipe = Recipe(
        data=Data(source="sklearn:wine"),
        model=Model("mlp"),
        train=Train(
            optimizer=Choice(SGD(), Optimizer(torch.optim.RAdam, lr=Log(1e-3, 1e-1))),
            schedule=Halving(every=7),
            loss=Loss(nn.CrossEntropyLoss, reduction="mean"),
            penalties=[Hoyer(strength=0.5)],
        ),
    )
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert list(recipe.ranges()) == ["train.optimizer", "train.optimizer.RAdam.lr"]
    resolved = recipe.resolve({"train.optimizer": "RAdam", "train.optimizer.RAdam.lr": 0.01})
    assert resolved.train.optimizer == Optimizer(torch.optim.RAdam, lr=0.01)


def test_own_methods_are_parts_that_can_be_switched_off() -> None:
    train = Train(schedule=Halving(), loss=Loss(nn.CrossEntropyLoss), penalties=[Hoyer()])
    recipe = Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), train=train)
    parts = recipe.parts()
    assert {"schedule", "loss", "penalty.Hoyer"} <= set(parts)
    assert parts["schedule"].what == "Halving schedule"
    without = recipe.without("schedule", "loss", "penalty.Hoyer").train
    assert (without.schedule, without.loss, without.penalties) == (Constant(), "auto", ())


def test_a_usual_loss_is_no_part() -> None:
    train = Train(loss="cross_entropy")
    recipe = Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), train=train)
    assert "loss" not in recipe.parts()


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (Train(optimizer=Optimizer("torch.optim:RAdm")), "did you mean 'RAdam'?"),
        (Train(optimizer=Optimizer("torch.nn:Linear")), "expected a subclass of"),
        (Train(optimizer=Optimizer(torch.optim.RAdam, beta=3)), "unexpected keyword argument"),
        (Train(optimizer=Optimizer(torch.optim.LBFGS)), "calls the loss itself"),
        (Train(optimizer=Optimizer(torch.optim.SparseAdam)), "does not support dense gradients"),
        (Train(schedule=Schedule(Halving, evry=3)), "did you mean 'every'?"),
        (Train(penalties=[Penalty("no.such:Thing")]), "no module of that name"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_setting(train: Train, words: str) -> None:
    with pytest.raises(ModelError, match=r"^train") as caught:
        check_methods(train, "classification")
    assert words in str(caught.value)


def test_the_code_of_own_methods_is_part_of_the_identity() -> None:
    model = Model("mlp")
    plain = code_digest(model, Train())
    assert code_digest(model, Train(schedule=Cosine())) == plain
    assert code_digest(model, Train(schedule=Halving())) != plain
    assert code_digest(model, Train(optimizer=Choice(SGD(), Optimizer(Muon)))) != plain


# -- through a whole run -------------------------------------------------------------------------


class Stopped(Exception):
    """Stands for a kill between two epochs."""


def stop_at_the_second_report() -> Callable[[object], None]:
    """Checkpoints are written after the report of an epoch, so one has been written then."""
    reports = itertools.count(1)

    def stop(_: object) -> None:
        if next(reports) == 2:
            raise Stopped

    return stop


@pytest.mark.parametrize(
    "train",
    [
        {"optimizer": SAM(lr=0.1), "penalties": [Hoyer()], "schedule": Halving()},
        {"optimizer": Optimizer(torch.optim.NAdam, lr=0.01)},
    ],
    ids=["own", "of torch"],
)
@pytest.mark.parametrize("stacked", [True, False])
def test_a_stopped_training_goes_on_to_the_same_bits(
    train: dict[str, Any], stacked: bool, tmp_path: Path
) -> None:
    variants = fleet(members=3 if stacked else 1, epochs=4, **train)
    prepared, place = prepare(DATA), tmp_path / "fleet.safetensors"
    unbroken = train_fleet(variants, prepared, stacked=stacked)
    for _ in range(3):
        with pytest.raises(Stopped):
            train_fleet(
                variants,
                prepared,
                stacked=stacked,
                checkpoint=place,
                checkpoint_seconds=0.0,
                on_epoch=stop_at_the_second_report(),
            )
    begun = _checkpoint.read(place, [v.id for v in variants])
    assert begun is not None
    assert begun.epoch == 3
    found = train_fleet(
        variants, prepared, stacked=stacked, checkpoint=place, checkpoint_seconds=0.0
    )
    for a, b in zip(found, unbroken, strict=True):
        same(a, b, tolerance=0.0)


def test_a_run_searches_ablates_and_reports_own_methods(tmp_path: Path) -> None:
    recipe = Recipe(
        name="own",
        data=Data(source="sklearn:wine"),
        model=Model("mlp", width=8, depth=1),
        train=Train(
            epochs=3,
            batch_size=32,
            optimizer=Choice(Muon(lr=Log(1e-3, 1e-1)), Optimizer(torch.optim.RAdam, lr=0.01)),
            loss=Choice("auto", Loss(nn.CrossEntropyLoss)),
            schedule=Halving(every=3),
            penalties=[Hoyer()],
            gradient_rules=[Centralize()],
            averaging=EMA(decay=Uniform(0.1, 0.9)),
            early_stopping=GeneralizationLoss(alpha=50.0),
        ),
        search=Search(trials=6, batch=6, leaders=2, seeds=2),
        ablate=Ablate(seeds=2),
        final=Final(seeds=2),
        compress=Compress(methods=[]),
    )
    done = winnow.run(recipe, out=tmp_path / "run")
    assert done.ablation is not None
    assert done.found is not None
    ablated = {arm.name for arm in done.ablation.arms}
    assert {"schedule", "penalty.Hoyer", "gradient_rule.centralize", "averaging"} <= ablated
    assert "early_stopping" in ablated
    report = done.report.read_text()
    assert "penalty Hoyer" in report
    assert "Halving schedule" in report
    assert "ema averaging of weights" in report
    assert "early stopping at a loss 50 % above the lowest" in report
    tried = set(done.found.table()["train.optimizer"])
    assert tried == {"Muon", "RAdam"}
