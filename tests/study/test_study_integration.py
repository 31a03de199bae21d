"""The three studies with the real runner, on iris."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from winnow.execution import Event, Runner, Workspace
from winnow.methods import SGD
from winnow.recipe import Ablate, Choice, Data, Final, Log, Model, Prepare, Recipe, Search, Train
from winnow.study import ablate, search, train

RECIPE = Recipe(
    data=Data(source="sklearn:iris", prepare=Prepare(standardize=False)),
    model=Model("mlp", args={"width": Choice(4, 8), "depth": 1}),
    train=Train(epochs=4, batch_size=16, optimizer=SGD(lr=Log(0.01, 0.3), momentum=0.9)),
    search=Search(trials=6, batch=3, leaders=2, seeds=2),
    ablate=Ablate(seeds=2, modules=("block1",)),
    final=Final(seeds=2),
)


def test_search_ablate_and_train_go_on_where_they_were(tmp_path: Path) -> None:
    events: list[Event] = []
    with Workspace.open(tmp_path) as workspace:
        found = search(RECIPE, workspace=workspace, progress=events.append)
        ablation = ablate(found.best, workspace=workspace)
        trained = train(ablation.simplified, workspace=workspace)
        assert workspace.ledger.documents() == ["ablation", "final", "looks", "search", "ways"]
        assert workspace.ledger.get_document("search") == found.to_dict()
    assert {e.stage for e in events} == {"search"}
    assert {e.metric for e in events if e.best is not None} == {"accuracy"}
    assert set(ablation.verdicts()) == {"momentum", "model.block1"}
    assert all(o.finished for o in trained.outcomes)
    x, y = trained.prepared.tensors("validation")
    with torch.no_grad():
        right = (trained.module()(x).argmax(1) == y).double().mean().item()
    assert right == trained.outcomes[trained.best].score  # the weights are those that scored

    with Workspace.open(tmp_path) as workspace:
        runner = Runner(workspace)
        again = search(RECIPE, runner=runner)
        assert ablate(again.best, runner=runner).to_dict() == ablation.to_dict()
        assert train(ablation.simplified, runner=runner).to_dict() == trained.to_dict()
        assert again.to_dict() == found.to_dict()
        assert runner.fleets == []  # nothing was trained again


def test_without_a_workspace_everything_is_kept_for_as_long_as_needed() -> None:
    closed = RECIPE.resolve({"model.args.width": 4, "train.optimizer.lr": 0.1})
    trained = train(closed, seeds=2)
    assert trained.module(0)(torch.zeros(1, 4)).shape == (1, 3)


def test_clipping_that_never_bites_changes_no_prediction_and_goes() -> None:
    train = Train(epochs=3, batch_size=16, clip_norm=1e6, label_smoothing=0.1)
    recipe = Recipe(
        data=Data(source="sklearn:iris"),
        model=Model("mlp", args={"width": 4, "depth": 1}),
        train=train,
        ablate=Ablate(parts=("clip_norm", "label_smoothing"), seeds=5),
    )
    ablation = ablate(recipe)
    comparisons = {c.name: c for c in ablation.comparisons}
    assert (comparisons["clip_norm"].verdict, comparisons["clip_norm"].identical) == (
        "no difference",
        True,
    )
    assert not comparisons["label_smoothing"].identical
    assert ablation.dropped == ("clip_norm",)
    assert ablation.simplification.checks == ()


def test_a_study_by_itself_says_that_it_does_not_keep_minutes(tmp_path: Path) -> None:
    short = RECIPE.model_copy(update={"minutes": 0.0001})
    with Workspace.open(tmp_path) as workspace:
        with pytest.warns(
            UserWarning, match=r"`minutes` = 0.0001 is kept by winnow.run and winnow.Flow"
        ):
            found = search(short, workspace=workspace)
        with pytest.warns(UserWarning, match="is kept by winnow.run"):
            ablate(found.best, workspace=workspace)
        with pytest.warns(UserWarning, match="is kept by winnow.run"):
            trained = train(found.best, workspace=workspace)
    assert all(o.finished for o in trained.outcomes)
