"""One member of a fleet copied over another: from there on it trains as its source would with the
target's seed.

The oracle is a solo run whose state is set to the source's, taken from the source's own solo run.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.training import architectures
from tests.training.made_up import use_counting
from tests.training.test_fleet import DATA, SETTINGS, same, variant

from winnow.data import PreparedData, prepare
from winnow.methods import SGD, AdamW, Cosine
from winnow.recipe import EarlyStopping, Variant
from winnow.training import MemberResult, _checkpoint, build_members
from winnow.training._checkpoint import Checkpoint
from winnow.training._driver import EpochReport, _Run
from winnow.training._stack import stacking

COPIED_AFTER = 3  # epochs


class Enough(Exception):
    """Ends a run between two epochs."""


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(DATA)


def fleet(kind: str, model: Any = architectures.Normed, **more: Any) -> list[Variant]:
    """Five members with different settings wherever settings may differ."""
    settings: list[dict[str, Any]]
    if kind == "adamw":
        settings = [
            {
                "optimizer": AdamW(lr=0.01, beta1=0.8, weight_decay=0.1),
                "dropout": 0.4,
                "schedule": Cosine(warmup=0.2),
            },
            {"optimizer": AdamW(lr=0.03, beta2=0.9), "dropout": 0.0, "l2": 0.01},
            {"optimizer": AdamW(lr=0.003), "clip_norm": 0.5, "label_smoothing": 0.1},
            {"optimizer": AdamW(lr=0.02, eps=1e-3), "l1": 1e-3},
        ]
    else:
        settings = [{n: v for n, v in own.items() if n != "early_stopping"} for own in SETTINGS]
    chosen = [settings[i % len(settings)] for i in range(5)]
    return [variant(model, seed=i, **{"epochs": 7, **one, **more}) for i, one in enumerate(chosen)]


def run(
    variants: list[Variant],
    prepared: PreparedData,
    until: int | None = None,
    copies: Any = None,
    **how: Any,
) -> Any:
    """Results of a fleet that copies after some epochs; with ``until``, its state after so many."""
    going = _Run(
        variants,
        prepared,
        build_members(variants, prepared),
        **{"stacked": len(variants) > 1, "compiled": False, **how},
    )

    def between(_: EpochReport) -> None:
        if copies is not None and going.epoch == COPIED_AFTER:
            going.copy(*copies)
        if going.epoch == until:
            raise Enough

    with closing(going.batches), stacking() if going.stacked else nullcontext():
        try:
            return going.train(between)
        except Enough:
            return going.state()


def go_on(one: Variant, state: Checkpoint, prepared: PreparedData) -> MemberResult:
    """A solo run from a state, whatever variant's it is."""
    going = _Run([one], prepared, build_members([one], prepared), stacked=False, compiled=False)
    with closing(going.batches):
        assert going.restore(state)
        return going.train()[0]


def expected_of(source: Variant, target: Variant, prepared: PreparedData) -> MemberResult:
    """What the target must come to: the source's settings and state, the target's seed; it
    answers by its own name.
    """
    state = run([source], prepared, until=COPIED_AFTER)
    finished = go_on(source.model_copy(update={"seed": target.seed}), state, prepared)
    return replace(
        finished, variant=target, outcome=replace(finished.outcome, variant_id=target.id)
    )


@pytest.mark.parametrize(
    "model",
    [architectures.Normed, architectures.Recurrent, architectures.Frozen],
    ids=lambda m: m.__name__,
)
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_copy_goes_on_as_its_source_would(kind: str, model: Any, prepared: PreparedData) -> None:
    variants = fleet(kind, model)
    assert {v.train.optimizer.kind for v in variants} == {kind}
    found = run(variants, prepared, copies=([3, 0], [1, 4]))
    untouched = run(variants, prepared)
    for i in (0, 2, 3):  # neighbors and sources: bit for bit
        same(found[i], untouched[i], 0.0)
    for source, target in ((3, 1), (0, 4)):
        same(found[target], expected_of(variants[source], variants[target], prepared))
        assert found[target].outcome.epochs == variants[source].train.epochs
        assert (
            found[target].outcome.curves["train_loss"]
            != untouched[target].outcome.curves["train_loss"]
        )


def test_with_the_same_seed_both_go_on_alike(prepared: PreparedData) -> None:
    variants = fleet("sgd")
    variants[4] = variants[4].model_copy(update={"seed": variants[0].seed})
    found = run(variants, prepared, copies=([0], [4]))
    same(replace(found[4], variant=variants[0]), found[0])


def test_two_members_may_change_places(prepared: PreparedData) -> None:
    variants = fleet("adamw")
    found = run(variants, prepared, copies=([0, 1], [1, 0]))
    for source, target in ((0, 1), (1, 0)):
        same(found[target], expected_of(variants[source], variants[target], prepared))


def test_patience_and_the_best_weights_come_along(prepared: PreparedData) -> None:
    """A source that has waited leaves after the epoch in which a run of its own would, with the
    best weights of before.
    """
    stopping = EarlyStopping(patience=4, min_delta=0.9)
    variants = fleet("sgd", epochs=12, early_stopping=stopping)
    variants[1] = variant(architectures.Normed, seed=1, epochs=12, optimizer=SGD(lr=0.01))
    found = run(variants, prepared, copies=([0], [1]))
    expected = expected_of(variants[0], variants[1], prepared)
    same(found[1], expected)
    assert found[1].outcome.epochs == 5


def test_a_copy_survives_a_kill(prepared: PreparedData, tmp_path: Path) -> None:
    variants = fleet("sgd")
    place = tmp_path / "fleet.safetensors"
    unbroken = run(variants, prepared, copies=([3, 0], [1, 4]))
    for until in (3, 5):  # the second, when one member's epochs are over
        _checkpoint.write(place, run(variants, prepared, until=until, copies=([3, 0], [1, 4])))
        again = _checkpoint.read(place, [v.id for v in variants])
        assert again is not None
        going = _Run(
            variants, prepared, build_members(variants, prepared), stacked=True, compiled=False
        )
        with closing(going.batches), stacking():
            assert going.restore(again)
            for one, other in zip(going.train(), unbroken, strict=True):
                same(one, other, 0.0)


def test_state_that_no_code_names_is_copied(
    prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_counting(monkeypatch)
    variants = fleet("sgd")
    found = run(variants, prepared, copies=([3], [1]))
    same(found[1], expected_of(variants[3], variants[1], prepared))


@pytest.mark.slow
def test_compiled_fleets_copy_too(prepared: PreparedData) -> None:
    """Ten members: a compiled block and two that do not fill one."""
    variants = [
        v.model_copy(update={"seed": 5 * i + v.seed}) for i in range(2) for v in fleet("adamw")
    ]
    found = run(variants, prepared, copies=([0, 8], [9, 1]), compiled=True)
    for source, target in ((0, 9), (8, 1)):
        same(found[target], expected_of(variants[source], variants[target], prepared))
