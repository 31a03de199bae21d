"""Rules in ``train.gradient_rules``: winnow's own and one from elsewhere, in fleets, compiled and
over a stop, against loops in plain PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.test_compiled import Mixture, check_pair, fleet_of
from tests.training.test_own_methods import (
    DATA,
    Muon,
    Net,
    Stopped,
    assert_equal_to_solo,
    fleet,
    same,
    stop_at_the_second_report,
)
from torch import Tensor, nn

from winnow.data import prepare
from winnow.errors import ModelError
from winnow.methods import SGD, BaseGradientRule, Centralize, ClipNorm, ClipValue
from winnow.models import build
from winnow.recipe import (
    Data,
    GradientRule,
    Model,
    Recipe,
    Train,
    Uniform,
    Variant,
    derive_seed,
)
from winnow.testing import check_gradient_rule
from winnow.training import methods_key, peek, probe, train_fleet
from winnow.training._find_methods import check_methods, code_digest


class Adaptive(BaseGradientRule):
    """Adaptive gradient clipping (Brock et al. 2021): the gradient of each unit is at most
    ``factor`` times as long as the unit's weights.
    """

    shaped = True

    factor: float = 0.1

    @classmethod
    def with_params_(
        cls, grads: Sequence[Tensor], params: Sequence[Tensor], **settings: Any
    ) -> None:
        for grad, param in zip(grads, params, strict=True):
            axes = tuple(range(2, grad.dim())) or (1,)
            factor = settings["factor"].view(-1, *[1] * (grad.dim() - 1))
            most = factor * torch.linalg.vector_norm(param, dim=axes, keepdim=True).clamp(min=1e-3)
            norm = torch.linalg.vector_norm(grad, dim=axes, keepdim=True)
            grad.mul_((most / norm.clamp(min=1e-6)).clamp(max=1.0))


class Signs(BaseGradientRule):
    """Of a gradient that is zero but for rounding it makes whole steps."""

    @staticmethod
    def apply_(grads: Sequence[Tensor]) -> None:
        for grad in grads:
            grad.sign_()


class OverMembers(BaseGradientRule):
    @staticmethod
    def apply_(grads: Sequence[Tensor]) -> None:
        for grad in grads:
            grad.div_(grad.norm())


def unit_norms(tensor: Tensor) -> Tensor:
    """As the paper's code: of a vector one norm, of a matrix one a row."""
    if tensor.dim() <= 1:
        return tensor.norm()
    return torch.stack([row.norm() for row in tensor]).view(-1, *[1] * (tensor.dim() - 1))


def clip_adaptively(module: nn.Module, factor: float) -> None:
    for p in module.parameters():
        assert p.grad is not None
        most = factor * unit_norms(p.detach()).clamp(min=1e-3)
        p.grad *= (most / unit_norms(p.grad).clamp(min=1e-6)).clamp(max=1.0)


def centralize(module: nn.Module) -> None:
    """As the paper's code: ``grad.add_(-grad.mean(dim=tuple(range(1, grad.dim())), keepdim=True))``
    for parameters of more than one axis.
    """
    for p in module.parameters():
        assert p.grad is not None
        if p.dim() > 1:
            p.grad.add_(-p.grad.mean(dim=tuple(range(1, p.dim())), keepdim=True))


def by_hand(variant: Variant, change: Any) -> tuple[list[float], nn.Module]:
    """The course of the training loss, and the module at the end, of a loop in plain PyTorch."""
    prepared = prepare(variant.data)
    module = build(
        variant.model,
        in_shape=prepared.in_shape,
        out_features=prepared.out_features,
        seed=variant.seed,
    ).double()
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    x, y = prepared.tensors("train", torch.float64)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.2)
    losses = []
    for epoch in range(variant.train.epochs):
        seed = derive_seed(variant.seed, "order", epoch)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        for rows in order.split(16)[: len(x) // 16]:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(x[rows]), y[rows])
            loss.backward()
            change(module)
            optimizer.step()
            losses.append(loss.item())
    return np.reshape(losses, (variant.train.epochs, -1)).mean(axis=1).tolist(), module


def members(rules: Sequence[Any], **train: Any) -> list[Variant]:
    """A fleet whose members differ in their rules."""
    settings = {"dropout": 0.0, "optimizer": SGD(lr=0.2, momentum=0.0), **train}
    own = fleet(members=len(rules), **settings)
    return [
        v.model_copy(update={"train": Train(**{**dict(v.train), "gradient_rules": r})})
        for v, r in zip(own, rules, strict=True)
    ]


HAND = {
    "by value": (
        ClipValue(max_value=0.02),
        lambda m: nn.utils.clip_grad_value_(m.parameters(), 0.02),
    ),
    "centralized": (Centralize(), centralize),
    "one from elsewhere": (Adaptive(factor=0.05), lambda m: clip_adaptively(m, 0.05)),
}


@pytest.mark.parametrize(("rule", "change"), HAND.values(), ids=HAND)
def test_a_rule_equals_a_hand_written_loop(rule: BaseGradientRule, change: Any) -> None:
    (variant,) = members([[rule]])
    (found,) = train_fleet([variant], prepare(DATA))
    expected, _ = by_hand(variant, change)
    plain, _ = by_hand(variant, lambda module: None)
    np.testing.assert_allclose(found.outcome.curves["train_loss"], expected, rtol=1e-10)
    assert not np.allclose(expected, plain, rtol=1e-4)


def test_rules_are_applied_in_the_order_of_the_list_after_clip_norm() -> None:
    def change(module: nn.Module) -> None:
        nn.utils.clip_grad_norm_(module.parameters(), 0.3)
        centralize(module)
        nn.utils.clip_grad_value_(module.parameters(), 0.02)

    rules = [Centralize(), ClipValue(max_value=0.02)]
    (variant,) = members([rules], clip_norm=0.3)
    (turned,) = members([rules[::-1]], clip_norm=0.3)
    found, other = (train_fleet([v], prepare(DATA))[0] for v in (variant, turned))
    expected, _ = by_hand(variant, change)
    np.testing.assert_allclose(found.outcome.curves["train_loss"], expected, rtol=1e-10)
    assert found.outcome.curves != other.outcome.curves
    assert methods_key(variant.train) != methods_key(turned.train)


def test_a_rule_in_the_list_is_the_one_of_its_setting() -> None:
    prepared = prepare(DATA)
    (listed,) = train_fleet(members([[ClipNorm(max_norm=0.1)]]), prepared)
    (named,) = train_fleet(members([[]], clip_norm=0.1), prepared)
    same(listed, named, tolerance=0.0)


FLEETS = {
    "by value": [[ClipValue(max_value=v)] for v in (0.01, 0.05, 1e9)],
    "two that see shapes": [[Adaptive(factor=f), Centralize()] for f in (0.01, 0.05, 0.3)],
    "flat and shaped": [[Adaptive(factor=f), ClipNorm(max_norm=f)] for f in (0.02, 0.1, 0.5)],
}


@pytest.mark.parametrize("rules", FLEETS.values(), ids=FLEETS)
def test_members_that_differ_equal_their_solo_runs(rules: Any) -> None:
    variants = members(rules, l2=0.01, dropout=0.2)
    assert len({methods_key(v.train) for v in variants}) == 1
    assert_equal_to_solo(variants)


@pytest.mark.slow
@pytest.mark.parametrize("rules", FLEETS.values(), ids=FLEETS)
def test_compiled_members_that_differ_equal_their_solo_runs(rules: Any) -> None:
    assert_equal_to_solo(members(rules, l2=0.01, dropout=0.2), compiled=True)


def test_a_shaped_rule_goes_with_an_optimizer_that_sees_shapes() -> None:
    assert_equal_to_solo(members([[Centralize()]] * 3, optimizer=Muon(lr=0.02)))


def test_rules_of_different_classes_share_no_fleet() -> None:
    kinds = [[], [Centralize()], [ClipValue()], [Adaptive()], [ClipValue(), Centralize()]]
    assert len({methods_key(Train(gradient_rules=rules)) for rules in kinds}) == len(kinds)


def test_the_checks_know_the_contract() -> None:
    check_gradient_rule(Adaptive(factor=0.02))
    check_gradient_rule(Signs())


def test_a_rule_is_tried_on_several_members_before_a_fleet() -> None:
    prepared = prepare(DATA)
    (adaptive,) = members([[Adaptive()]])
    assert probe(adaptive, prepared).reason is None
    # A gradient that is zero but for rounding must not make it look wrong.
    (signs,) = members([[Signs()]], batch_norm=True)
    assert probe(signs, prepared).reason is None
    (wrong,) = members([[ClipValue(), OverMembers()]])
    assert probe(wrong, prepared).reason == (
        "its gradient rule, stacked, gives other numbers than alone"
    )


@pytest.mark.parametrize("stacked", [True, False])
def test_a_stopped_training_goes_on_to_the_same_bits(stacked: bool, tmp_path: Path) -> None:
    rules = [[Adaptive(factor=f), ClipValue(max_value=f)] for f in (0.02, 0.1, 0.5)]
    variants = members(rules if stacked else rules[:1], dropout=0.2)
    prepared, place = prepare(DATA), tmp_path / "fleet.safetensors"
    how: dict[str, Any] = {"stacked": stacked, "checkpoint_seconds": 0.0}
    unbroken = train_fleet(variants, prepared, stacked=stacked)
    stop = stop_at_the_second_report()
    with pytest.raises(Stopped):
        train_fleet(variants, prepared, checkpoint=place, on_epoch=stop, **how)
    assert peek(place) == tuple(v.id for v in variants)
    found = train_fleet(variants, prepared, checkpoint=place, **how)
    for a, b in zip(found, unbroken, strict=True):
        same(a, b, tolerance=0.0)


@pytest.mark.slow
def test_compiled_fleets_that_differ_in_a_rule_share_no_program() -> None:
    kinds = ([], [Centralize()], [ClipValue(max_value=0.01)], [Adaptive(factor=0.01)])
    fleets = [fleet_of(Mixture, gradient_rules=rules) for rules in kinds]
    check_pair((fleets[1], fleets[0]))
    check_pair((fleets[2], fleets[3]))


# -- in a recipe -----------------------------------------------------------------------------------


def test_rules_stand_in_yaml_and_read_back_equal() -> None:
    recipe = Recipe(
        data=Data(source="sklearn:wine"),
        model=Model("mlp"),
        train=Train(
            gradient_rules=[ClipValue(max_value=Uniform(0.1, 1.0)), Adaptive(factor=0.05)],
        ),
    )
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert list(recipe.ranges()) == ["train.gradient_rules.clip_value.max_value"]
    path = f"{Adaptive.__module__}:Adaptive"
    assert recipe.train.gradient_rules[1] == GradientRule(path, factor=0.05)


def test_rules_are_parts_that_can_be_switched_off() -> None:
    train = Train(gradient_rules=[Centralize(), Adaptive()])
    recipe = Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), train=train)
    parts = recipe.parts()
    assert parts["gradient_rule.centralize"].what == "gradient rule centralize"
    assert parts["gradient_rule.Adaptive"].what == "gradient rule Adaptive"
    left = recipe.without("gradient_rule.centralize").train.gradient_rules
    assert [rule.use.partition(":")[2] for rule in left] == ["Adaptive"]


def test_what_cannot_be_used_is_said_with_its_setting() -> None:
    for rules, words in (
        (
            [ClipValue(), GradientRule(Net)],
            "expected a subclass of winnow.methods.gradients.BaseGradientRule",
        ),
        ([ClipValue(), GradientRule(Adaptive, factr=1.0)], "did you mean 'factor'?"),
    ):
        with pytest.raises(ModelError, match=r"^train.gradient_rules\[1\]") as caught:
            check_methods(Train(gradient_rules=rules), "classification")
        assert words in str(caught.value)


def test_rules_are_part_of_the_identity() -> None:
    model = Model("mlp")
    assert code_digest(model, Train(gradient_rules=[Adaptive()])) != code_digest(model, Train())
    plain, ruled = members([[], [Centralize()]])
    assert "gradient_rules" not in plain.canonical()  # ids of older ledgers still hold
    assert "gradient_rules" in ruled.canonical()
