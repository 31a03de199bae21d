"""A sampler that is no part of winnow: by import path, as an object, and when a search goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.study.doubles import Pretender, recipe

from winnow.errors import RecipeError
from winnow.execution import Runner, Workspace
from winnow.methods import SAMPLERS, SGD, BaseSampler, Cosine, settings_at
from winnow.pipeline import check
from winnow.recipe import Log, Recipe, Sampler, Search, Train, Uniform, made
from winnow.study import search

PATH = f"{__name__}:Corners"


class Corners(BaseSampler):
    """Near the ends of the ranges."""

    inset: float = 0.05

    def propose(self, n: int, *, space: Any, tried: Any, seed: int, start: int) -> Any:
        rng = np.random.default_rng([seed, start])
        shares = np.where(rng.random((n, len(space))) < 0.5, 0, 1 - self.inset)
        noise = rng.random(shares.shape) * self.inset
        return [settings_at(space, row) for row in shares + noise]


class Astray(BaseSampler):
    """Proposes what the recipe does not hold."""

    def propose(self, n: int, **asked: Any) -> Any:
        return [{"train.optimizer.lr": 7.0, "train.dropuot": 0.1} for _ in range(n)]


def asking(sampler: Any = PATH, **more: Any) -> Recipe:
    train = Train(epochs=2, optimizer=SGD(lr=Log(1e-3, 1)), label_smoothing=Uniform(0, 0.5))
    asked = Search(sampler=sampler, trials=6, batch=3, leaders=1, seeds=2)
    return recipe(train=train, search=asked, **more)


def smoothing(sampler: Any) -> list[float]:
    found = search(asking(sampler), runner=Pretender(lambda v: 0.5))  # type: ignore[arg-type]
    return [trial.values["train.label_smoothing"] for trial in found.trials]


@pytest.mark.parametrize(
    "sampler",
    [PATH, {"use": PATH}, Corners, Corners(), Sampler(Corners)],
    ids=["path", "mapping", "class", "object", "record"],
)
def test_every_way_of_giving_a_sampler_is_the_same(sampler: Any) -> None:
    r = asking(sampler)
    assert made(r.search.sampler, SAMPLERS, BaseSampler, "search.sampler") == Corners()
    assert Recipe.from_yaml(r.to_yaml()) == r
    found = np.array(smoothing(sampler))
    assert ((found < 0.025) | (found > 0.475)).all()


def test_its_arguments_reach_it() -> None:
    assert smoothing(Corners(inset=0.2)) == smoothing({"use": PATH, "args": {"inset": 0.2}})
    assert max(smoothing(Corners(inset=0.2))) < max(smoothing(Corners(inset=0.01)))


def test_a_sampler_is_part_of_no_id() -> None:
    values = {"train.optimizer.lr": 0.1, "train.label_smoothing": 0.1}
    kinds = [str(m.model_fields["kind"].default) for m in SAMPLERS]
    ids = {
        asking(s).resolve(values).variant(0, metric="accuracy", context="").id
        for s in [*kinds, PATH, Corners(inset=0.1)]
    }
    assert len(ids) == 1


def test_the_document_names_it() -> None:
    trainer = Pretender(lambda v: 0.5)
    search(asking(), runner=trainer)  # type: ignore[arg-type]
    assert trainer.workspace.ledger.documents["search"]["sampler"] == PATH


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("no.such:Sampler", r"search\.sampler\.use: cannot import 'no'"),
        (Cosine, r"search\.sampler\.use: expected a subclass of winnow\.methods\.BaseSampler"),
        ({"use": PATH, "args": {"insett": 1}}, r"search\.sampler\.args\.insett: .*'inset'"),
    ],
)
def test_what_is_no_sampler_is_refused_before_anything_trains(sampler: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check(asking(sampler))
    with pytest.raises(RecipeError, match=message):
        smoothing(sampler)


def test_its_arguments_are_no_ranges() -> None:
    with pytest.raises(RecipeError, match=r"sampler\.args\.inset: .* cannot be a range"):
        asking({"use": PATH, "args": {"inset": Uniform(0, 1)}})


def test_proposals_that_the_recipe_refuses_are_told() -> None:
    expected = (
        r"search\.sampler: Astray proposed what the recipe refuses: train\.optimizer\.lr: "
        r"expected a number from 0\.001 to 1\.0, got 7\.0; train\.dropuot: no such open setting"
    )
    with pytest.raises(RecipeError, match=expected):
        smoothing(Astray)


def test_a_search_that_goes_on_asks_the_same_and_with_another_sampler_something_else(
    tmp_path: Path,
) -> None:
    def searched(sampler: Any) -> tuple[Any, int]:
        with Workspace.open(tmp_path) as workspace:
            before = workspace.ledger.to_table().height
            found = search(asking(sampler), runner=Runner(workspace))
            assert workspace.ledger.get_document("search")["sampler"] == found.to_dict()["sampler"]
            return found, workspace.ledger.to_table().height - before

    first, trained = searched(PATH)
    assert trained == 8
    again, trained = searched(PATH)
    assert trained == 0
    assert [t.values for t in again.trials] == [t.values for t in first.trials]
    other, trained = searched("sobol")
    assert trained == 8
    assert not {t.variant.id for t in other.trials} & {t.variant.id for t in first.trials}
