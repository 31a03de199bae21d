"""The sampler: bounds, distribution, no repeats, conditions, learning. Oracles: enumeration,
SciPy, a known optimum.
"""

from __future__ import annotations

import itertools
import logging
import math
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
from scipy import stats
from tests.study.doubles import recipe

from winnow.errors import RecipeError
from winnow.methods import (
    SAMPLERS,
    SGD,
    TPE,
    AdamW,
    BaseSampler,
    Random,
    Sobol,
    TriedSettings,
    settings_at,
)
from winnow.recipe import Choice, Integer, Log, Model, OpenSetting, Train, Uniform
from winnow.study._sampling import Proposer, finite_space

# Under a choice, discrete, continuous on two scales: what every sampler must cope with
CONDITIONAL = recipe(
    train=Train(
        optimizer=Choice(SGD(lr=Log(0.01, 1), momentum=Uniform(0, 0.9)), AdamW(lr=Log(1e-4, 1e-2))),
        label_smoothing=Choice(0, 0.0001, 0.1),
    ),
    model=Model("mlp", args={"width": Integer(8, 64), "depth": 1}),
)


def space(**ranges: Any) -> dict[str, OpenSetting]:
    return {path: OpenSetting(path, range, None) for path, range in ranges.items()}


def proposer(
    ranges: dict[str, OpenSetting],
    sampler: type[BaseSampler] = TPE,
    seed: int = 0,
    higher: bool = True,
) -> Proposer:
    return Proposer(ranges, sampler=sampler(), seed=seed, higher_is_better=higher)


def run(
    p: Proposer, score: Any, *, trials: int, batch: int = 8
) -> list[tuple[dict[str, Any], float]]:
    done: list[tuple[dict[str, Any], float]] = []
    while len(done) < trials:
        proposals = p.propose(batch)
        scores = {x.number: score(x.values) for x in proposals}
        p.learn(scores)
        done += [(x.values, scores[x.number]) for x in proposals]
    return done


def test_random_draws_have_the_distribution_of_the_range() -> None:
    drawn = [
        x.values
        for x in proposer(space(u=Uniform(-1, 3), g=Log(1e-4, 1), i=Integer(2, 5)), Random).propose(
            400
        )
    ]
    assert stats.kstest([v["u"] for v in drawn], stats.uniform(-1, 4).cdf).pvalue > 0.01
    assert stats.kstest([v["g"] for v in drawn], stats.loguniform(1e-4, 1).cdf).pvalue > 0.01
    assert stats.chisquare(np.unique([v["i"] for v in drawn], return_counts=True)[1]).pvalue > 0.01
    assert {v["i"] for v in drawn} == {2, 3, 4, 5}
    assert all(type(v["i"]) is int for v in drawn)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_and_scores_give_the_same_proposals(sampler: type[BaseSampler]) -> None:
    ranges = space(u=Uniform(0, 1), c=Choice("a", "b"))

    def once(seed: int) -> list[Any]:
        return run(proposer(ranges, sampler, seed), lambda v: -((v["u"] - 0.3) ** 2), trials=32)

    assert once(5) == once(5)
    assert once(5) != once(6)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_is_a_function_of_its_arguments(sampler: type[BaseSampler]) -> None:
    """Oracle: another record of the sampler, which has answered nothing before."""
    one, ranges = sampler(), CONDITIONAL.ranges()
    tried: list[TriedSettings] = []
    for start in range(0, 48, 12):
        asked = {"space": ranges, "tried": tuple(tried), "seed": 3, "start": start}
        drawn = one.propose(12, **asked)
        assert sampler().propose(12, **asked) == drawn
        assert len(drawn) == 12
        tried += [TriedSettings(values, math.sin(len(tried) + i)) for i, values in enumerate(drawn)]
    assert sampler().propose(12, **{**asked, "seed": 4}) != drawn
    assert sampler().propose(12, **{**asked, "start": 60}) != drawn  # where repeats were dropped


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_all_that_a_sampler_proposes_the_recipe_accepts(sampler: type[BaseSampler]) -> None:
    p = proposer(CONDITIONAL.ranges(), sampler)
    done = run(p, lambda v: math.nan if v["model.args.width"] > 50 else 0.5, trials=40, batch=7)
    kinds = {CONDITIONAL.resolve(values).train.optimizer.kind for values, _ in done}
    assert kinds == {"sgd", "adamw"}


@pytest.mark.parametrize("sampler", [Random, Sobol])
def test_what_learns_nothing_does_not_depend_on_the_batches(sampler: type[BaseSampler]) -> None:
    ranges = CONDITIONAL.ranges()
    whole = [p.values for p in proposer(ranges, sampler).propose(20)]
    p = proposer(ranges, sampler)
    assert [x.values for n in (1, 7, 12) for x in p.propose(n)] == whole


def test_sobol_points_are_those_of_scipy() -> None:
    ranges = space(u=Uniform(-1, 3), g=Log(1e-4, 1), i=Integer(2, 5), c=Choice("a", "b", "c"))
    points = stats.qmc.Sobol(d=4, scramble=True, rng=7).random(64)
    p = proposer(ranges, Sobol, seed=7)
    found = [x.values for n in (5, 11, 48) for x in p.propose(n)]
    exact = stats.qmc.scale(points[:, :2], [-1, math.log(1e-4)], [3, 0])
    np.testing.assert_allclose([v["u"] for v in found], exact[:, 0], rtol=1e-14)
    np.testing.assert_allclose([v["g"] for v in found], np.exp(exact[:, 1]), rtol=1e-12)
    assert [v["i"] for v in found] == (2 + np.floor(points[:, 2] * 4)).tolist()
    assert [v["c"] for v in found] == ["abc"[int(k)] for k in points[:, 3] * 3]


def test_sobol_points_fill_each_option_evenly() -> None:
    found = [p.values for p in proposer(CONDITIONAL.ranges(), Sobol).propose(256)]
    kinds = [v["train.optimizer"] for v in found]
    assert kinds.count("sgd") == 128
    points = np.array(
        [
            [math.log10(v["train.optimizer.sgd.lr"] / 0.01) / 2, v["train.optimizer.sgd.momentum"]]
            for v in found
            if v["train.optimizer"] == "sgd"
        ]
    )
    points[:, 1] /= 0.9
    random = np.random.default_rng(0)
    scattered = [stats.qmc.discrepancy(random.random(points.shape)) for _ in range(50)]
    assert stats.qmc.discrepancy(points) < min(scattered)


class Listed(BaseSampler):
    """Proposes what stands in it, one after the other."""

    rows: ClassVar[list[Any]] = []

    def propose(self, n: int, **asked: Any) -> list[dict[str, Any]]:
        return self.rows[asked["start"] : asked["start"] + n]


def test_a_sampler_that_has_no_more_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listed, "rows", [{"u": 0.1}, {"u": 0.2}, {"u": 0.1}, {"u": 0.3}])
    p = proposer(space(u=Uniform(0, 1)), Listed)
    assert [x.values["u"] for x in p.propose(2)] == [0.1, 0.2]
    assert [x.values["u"] for x in p.propose(2)] == [0.3]
    assert p.propose(2) == []
    assert not p.is_used_up


def test_what_a_sampler_raises_is_told_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listed, "rows", [3])
    with pytest.raises(RecipeError, match=r"search\.sampler: Listed failed: TypeError: "):
        proposer(space(u=Uniform(0, 1)), Listed).propose(1)


def test_settings_have_an_axis_each() -> None:
    ranges = CONDITIONAL.ranges()
    low, middle = settings_at(ranges, [0.0] * len(ranges)), settings_at(ranges, [0.5] * len(ranges))
    assert low["train.optimizer.sgd.lr"] == pytest.approx(0.01)
    assert middle["train.optimizer.adamw.lr"] == pytest.approx(1e-3)
    assert (low["model.args.width"], middle["model.args.width"]) == (8, 36)
    assert set(low) & set(middle) == {
        "model.args.width",
        "train.optimizer",
        "train.label_smoothing",
    }


def test_the_order_in_which_scores_are_learned_does_not_matter() -> None:
    def once(order: int) -> list[Any]:
        p = proposer(space(u=Uniform(0, 1)))
        for _ in range(4):
            batch = p.propose(6)
            p.learn({x.number: round(x.values["u"]) for x in batch[::order]})  # many equal scores
        return p.propose(6)

    assert once(1) == once(-1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_finite_space_is_used_up_without_repeats(sampler: type[BaseSampler]) -> None:
    p = proposer(space(c=Choice(1, True, 1.5, (2, 3)), i=Integer(1, 3)), sampler)
    done = run(p, lambda v: float(v["i"]), trials=12, batch=5)
    expected = {repr(pair) for pair in itertools.product([1, True, 1.5, (2, 3)], [1, 2, 3])}
    assert [repr((v["c"], v["i"])) for v, _ in done] == list(
        dict.fromkeys(repr((v["c"], v["i"])) for v, _ in done)
    )
    assert {repr((v["c"], v["i"])) for v, _ in done} == expected
    assert p.propose(5) == []


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_larger_finite_space_is_used_up_too(sampler: type[BaseSampler]) -> None:
    done = run(
        proposer(space(i=Integer(1, 60)), sampler), lambda v: -float(v["i"]), trials=60, batch=15
    )
    assert sorted(v["i"] for v, _ in done) == list(range(1, 61))


def test_settings_under_a_choice_are_drawn_jointly(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[optuna.Trial] = []
    ask = optuna.Study.ask
    monkeypatch.setattr(optuna.Study, "ask", lambda study: asked.append(ask(study)) or asked[-1])
    train = Train(optimizer=Choice(SGD(lr=Log(0.01, 1), momentum=Uniform(0, 0.9)), AdamW()))
    p = proposer(recipe(train=train).ranges())
    run(p, lambda v: float(v["train.optimizer"] == "sgd"), trials=32)
    p.propose(1)
    joint = {"train.optimizer.sgd.lr", "train.optimizer.sgd.momentum"}
    assert joint <= asked[-1].relative_params.keys()


def test_settings_under_a_choice_come_only_with_their_option() -> None:
    open_recipe = recipe(
        train=Train(
            optimizer=Choice(
                SGD(lr=Log(0.01, 1), momentum=Uniform(0, 0.9)), AdamW(lr=Log(1e-4, 1e-2))
            )
        ),
        model=Model("mlp", args={"width": Choice(8, 16), "depth": 1}),
    )
    done = run(
        proposer(open_recipe.ranges()),
        lambda v: -abs(math.log(v.get("train.optimizer.sgd.lr", 1e-3) / 0.1)),
        trials=40,
    )
    seen = {frozenset(v) for v, _ in done}
    common = {"model.args.width", "train.optimizer"}
    assert seen == {
        frozenset({*common, "train.optimizer.sgd.lr", "train.optimizer.sgd.momentum"}),
        frozenset({*common, "train.optimizer.adamw.lr"}),
    }
    for values, _ in done:
        kind = "sgd" if "train.optimizer.sgd.lr" in values else "adamw"
        assert values["train.optimizer"] == kind
        closed = open_recipe.resolve(values)
        assert closed.train.optimizer.kind == kind
        assert closed.ranges() == {}
        assert closed.train.optimizer.lr == values[f"train.optimizer.{kind}.lr"]


def test_tpe_finds_a_known_optimum_better_than_random() -> None:
    def loss(v: dict[str, Any]) -> float:
        return (math.log10(v["lr"]) + 2) ** 2 + 4 * (v["p"] - 0.25) ** 2 + (v["c"] != "good")

    def regret(sampler: type[BaseSampler]) -> float:
        ranges = space(lr=Log(1e-5, 1), p=Uniform(0, 1), c=Choice("bad", "good", "worse"))
        return float(
            np.mean(
                [
                    min(s for _, s in run(proposer(ranges, sampler, seed, False), loss, trials=64))
                    for seed in range(5)
                ]
            )
        )

    assert regret(TPE) < 0.5 * regret(Random)


def test_tpe_keeps_away_from_where_training_fails() -> None:
    def score(v: dict[str, Any]) -> float:
        return math.nan if v["lr"] > 0.5 else 0.5  # nothing to learn but the failures

    late = [
        v["lr"]
        for seed in range(4)
        for v, _ in run(proposer(space(lr=Uniform(0, 1)), seed=seed), score, trials=64)[32:]
    ]
    assert np.mean(np.array(late) > 0.5) < 0.2


def test_a_finite_space_knows_its_conditions() -> None:
    ranges = recipe(
        train=Train(optimizer=Choice(SGD(nesterov=Choice(False, True)), AdamW(), SGD(lr=0.5))),
        model=Model("mlp", args={"depth": Integer(1, 2)}),
    ).ranges()
    assert len(finite_space(ranges) or ()) == 2 * (2 + 1 + 1)
    assert finite_space(space(u=Uniform(0, 1))) is None
    assert finite_space(space(i=Integer(1, 20_000))) is None


def test_optuna_says_nothing_and_its_verbosity_stays(capfd: pytest.CaptureFixture[str]) -> None:
    optuna.logging.set_verbosity(logging.DEBUG)
    try:
        proposer(space(u=Uniform(0, 1)))
        assert optuna.logging.get_verbosity() == logging.DEBUG
    finally:
        optuna.logging.set_verbosity(logging.INFO)
    run(proposer(space(u=Uniform(0, 1))), lambda v: v["u"], trials=16)
    assert capfd.readouterr() == ("", "")
