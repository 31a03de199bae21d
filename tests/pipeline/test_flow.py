"""A whole run: what it leaves, that it can be stopped and continued, and that the second time
costs nothing.
"""

from __future__ import annotations

import html
import importlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_iris

import winnow
from winnow.compression import ShippedFile, measure_shipped
from winnow.errors import RecipeError, WorkspaceError
from winnow.execution import Event
from winnow.pipeline import Flow, Run, _run_facts, read_documents, rewrite_report, run
from winnow.pipeline._shipping import bundle_key
from winnow.pipeline._source import open_source
from winnow.pipeline._summary import summary
from winnow.recipe import Ablate, Choice, Data, Final, Model, Recipe, Search, Train, change

from .conftest import Told, small

DOCUMENTS = {
    "run",
    "data",
    "plan",
    "ways",
    "search",
    "ablation",
    "final",
    "looks",
    "evaluation",
    "baselines",
    "compression",
    "shipped",
    "bundle",
}


def without_times(document: Any) -> Any:
    """A document without what a clock wrote into it."""
    if isinstance(document, dict):
        return {k: without_times(v) for k, v in document.items() if k not in ("seconds", "fleet")}
    return [without_times(v) for v in document] if isinstance(document, list) else document


def test_a_run_leaves_every_document_the_bundle_and_the_report(finished: tuple[Run, Told]) -> None:
    done, told = finished

    assert set(done.documents) == DOCUMENTS
    assert done.bundle == done.path / "small.winnow"
    assert done.report == done.path / "report.html"
    assert done.report.stat().st_size > 100_000
    assert Recipe.load(done.path / "recipe.yaml") == done.recipe
    assert told.stages() == ["search", "ablate", "train", "evaluate", "compress", "report"]


def test_the_bundle_predicts_what_the_trained_module_does(finished: tuple[Run, Told]) -> None:
    done, _ = finished
    X, _ = load_iris(return_X_y=True)
    rows = done.trained.prepared.test.index

    probabilities = winnow.load(done.bundle).predict_proba(X[rows])

    tolerance = 1e-5 if done.documents["compression"]["chosen"] == "onnx" else 0.05
    np.testing.assert_allclose(probabilities, done.evaluation.predictions, atol=tolerance)


def test_the_run_document_says_how_and_where(finished: tuple[Run, Told]) -> None:
    facts = finished[0].documents["run"]

    assert facts["metric"] == "accuracy"
    assert facts["task"] == "classification"
    assert facts["higher_is_better"] is True
    assert Recipe.from_yaml(facts["recipe_yaml"]) == finished[0].recipe
    assert facts["versions"]["winnow"] == winnow.__version__
    assert facts["seconds"] > 0


def test_the_summary_names_score_verdicts_and_bundle(finished: tuple[Run, Told]) -> None:
    text = finished[0].summary()

    for word in ("accuracy", "fresh seeds", "undecided", "test", "ships", "small.winnow"):
        assert word in text


def test_progress_counts_the_whole_stage(finished: tuple[Run, Told]) -> None:
    events = [e for e in finished[1].events if e.stage == "search"]

    assert {e.total for e in events} == {8}  # 4 trials, 2 leaders on 2 fresh seeds
    counts = [e.done for e in events]
    assert counts == sorted(counts)
    assert counts[-1] == 8
    bests = [e.best for e in events if e.best is not None]
    assert bests == sorted(bests)


def test_a_second_run_trains_and_measures_nothing(finished: tuple[Run, Told], told: Told) -> None:
    done, _ = finished

    again = run(done.recipe, out=done.path, progress=told)

    assert all(e.member_steps_per_second is None for e in told.events)
    assert "compress" not in told.stages()
    assert again.documents["compression"] == done.documents["compression"]  # latencies and all
    assert without_times(again.documents["search"]) == without_times(done.documents["search"])
    assert again.documents["plan"] == done.documents["plan"]


def test_opening_a_finished_run_leaves_its_versions(
    finished: tuple[Run, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those of when it was done; a sitting that trains with others is told beside them."""
    out = tmp_path / "run"
    shutil.copytree(finished[0].path, out)
    before = read_documents(out)["run"]
    other = {**before["versions"], "torch": "99.0"}
    assert [s["versions"] for s in before["sittings"]] == [before["versions"]]
    monkeypatch.setattr(_run_facts, "versions", lambda: other)

    run(finished[0].recipe, out=out)
    after = read_documents(out)["run"]
    assert (after["versions"], after["machine"], after["sittings"]) == (
        before["versions"],
        before["machine"],
        before["sittings"],
    )

    for _ in range(2):  # the second trains nothing
        with Flow(small(final=Final(seeds=3)), out) as flow:
            flow.train()
    after = read_documents(out)["run"]
    assert after["versions"] == before["versions"]
    assert [s["versions"] for s in after["sittings"]] == [before["versions"], other]


@pytest.mark.parametrize("left", ["", "nothing", "half", "zeros"])
def test_a_torn_copy_of_the_recipe_is_written_again(
    left: str, finished: tuple[Run, Told], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(finished[0].path / "ledger.db", out)
    text = (finished[0].path / "recipe.yaml").read_bytes()
    if left:
        (out / "recipe.yaml").write_bytes(
            {"nothing": b"", "half": text[: len(text) // 2], "zeros": text[:99] + bytes(50)}[left]
        )
    assert open_source(out).recipe == finished[0].recipe
    assert (out / "recipe.yaml").read_bytes() == text


def test_a_recipe_that_the_user_has_changed_is_the_users(
    finished: tuple[Run, Told], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(finished[0].path / "ledger.db", out)
    (out / "recipe.yaml").write_text("name: small\nmodle:\n")
    with pytest.raises(RecipeError, match="modle"):
        open_source(out)
    assert (out / "recipe.yaml").read_text() == "name: small\nmodle:\n"


@pytest.mark.parametrize("change", ["none", "other rows", "no rows"])
def test_a_run_that_was_moved_with_its_rows_goes_on(change: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "data").mkdir(parents=True)
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"a": rng.normal(size=60), "y": ["u", "v"] * 30})
    frame.write_csv(old / "data" / "rows.csv")
    recipe = Recipe(
        name="moved",
        data=Data(source=str(old / "data" / "rows.csv"), target="y"),
        model=Model("mlp", width=4),
        train=Train(epochs=1),
    )
    with Flow(recipe, old / "runs" / "moved", ablate=False) as flow:
        before = flow.train().score
    shutil.move(old, new)
    if change == "other rows":
        frame.with_columns(pl.col("a") + 1).write_csv(new / "data" / "rows.csv")
    elif change == "no rows":
        (new / "data" / "rows.csv").unlink()

    asked = open_source(new / "runs" / "moved")
    if change != "none":
        assert asked.recipe == recipe  # whose file is not there
        assert not asked.notes
        return
    assert asked.recipe.data.source == str(new / "data" / "rows.csv")
    assert asked.notes == (
        f"{recipe.data.source} is not there: the same rows are read from "
        f"{asked.recipe.data.source}",
    )
    told = Told()
    with Flow(asked.recipe, asked.out, ablate=False, file=asked.file, progress=told) as flow:
        assert flow.train().score == before
    assert all(e.member_steps_per_second is None for e in told.events)  # nothing was trained
    # The recipe in the directory has the new place
    assert open_source(new / "runs" / "moved").notes == ()


def test_a_damaged_bundle_is_made_again(finished: tuple[Run, Told], tmp_path: Path) -> None:
    done, _ = finished
    place = tmp_path / "copy"
    shutil.copytree(done.path, place)
    model = next(p for p in (place / "small.winnow").iterdir() if p.suffix == ".onnx")
    model.write_bytes(b"changed")

    again = run(done.recipe, out=place)

    assert winnow.load(again.bundle).classes == ("setosa", "versicolor", "virginica")


def test_the_verdict_is_about_the_file_that_ships(
    finished: tuple[Run, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, _ = finished
    compared, shipped = done.documents["baselines"], done.documents["shipped"]
    assert compared["file"] == shipped["sha256"]
    assert compared["shipped"] == {
        name: interval["mean"] for name, interval in shipped["metrics"].items()
    }
    assert winnow.load(done.bundle).manifest.verdict.text == compared["verdict"]
    place = tmp_path / "copy"
    shutil.copytree(done.path, place)
    with Flow(done.recipe, place) as flow:
        flow.evaluate()  # of the PyTorch models: what is known of the file stays
        assert flow.documents()["baselines"] == compared
    shutil.rmtree(place / "small.winnow")

    def spoilt(*args: Any) -> ShippedFile:
        """As if the file had come out worse than the model: it always gives the same answer."""
        found = measure_shipped(*args)
        return replace(found, predictions=np.tile([0.5, 0.3, 0.2], (found.rows, 1)))

    monkeypatch.setattr("winnow.pipeline._shipping.measure_shipped", spoilt)
    again = run(done.recipe, out=place)

    said = again.documents["baselines"]["verdict"]
    assert said.startswith(
        "no better than a constant: the model answers 'setosa' for every test row"
    )
    assert winnow.load(again.bundle).manifest.verdict.text == said
    assert said in again.summary()
    assert said[1:] in html.unescape(again.report.read_text())


def test_before_there_is_a_file_the_pytorch_model_is_compared(
    finished: tuple[Run, Told], tmp_path: Path
) -> None:
    done, _ = finished
    place = tmp_path / "copy"
    shutil.copytree(done.path, place)
    shutil.rmtree(place / "small.winnow")
    with Flow(done.recipe, place) as flow:
        shown = flow.evaluate().shipped
        compared = flow.documents()["baselines"]
    assert (compared["file"], compared["shipped"]) == (None, shown)


def test_a_run_that_was_stopped_goes_on_to_the_same_result(
    finished: tuple[Run, Told], tmp_path: Path
) -> None:
    done, _ = finished

    def stop(event: Event) -> None:
        if event.stage == "ablate":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(done.recipe, out=tmp_path / "stopped", progress=stop)
    assert "search" in read_documents(tmp_path / "stopped")
    with Flow(done.recipe, tmp_path / "stopped") as flow:
        flow.evaluate()
        again = flow.documents()

    for name in ("search", "ablation", "final", "evaluation"):
        assert without_times(again[name]) == without_times(done.documents[name]), name


def test_stages_are_pulled_on_demand(tmp_path: Path, told: Told) -> None:
    with Flow(small(), tmp_path / "flow", progress=told) as flow:
        assert flow.search() is not None
        assert told.stages() == ["search"]
        report = flow.write_report()

    assert report.exists()
    assert "ablation" not in read_documents(tmp_path / "flow")


def test_a_recipe_with_nothing_open_and_no_parts_is_trained_as_it_is(
    tmp_path: Path, told: Told
) -> None:
    recipe = small(
        model=Model("mlp", width=4, depth=1),
        train=Train(epochs=2, batch_size=16, optimizer=winnow.SGD(momentum=0.0)),
        ablate=Ablate(parts=()),
    )

    with Flow(recipe, tmp_path / "flow", progress=told) as flow:
        assert flow.search() is None
        assert flow.ablate() is None
        assert flow.simplified() == recipe
        notes = flow.documents()["run"]["notes"]
        about_data = flow.documents()["data"]["notes"]

    assert notes == [
        "nothing in the recipe is open: there was nothing to search",
        "nothing in the recipe can be left out: there was nothing to ablate",
    ]
    assert [e.message for e in told.events if e.message] == [*about_data, *notes]


def test_a_module_that_the_chosen_model_lacks_is_left_out_with_a_note(tmp_path: Path) -> None:
    recipe = small(
        model=Model("mlp", width=4, depth=Choice(1, 2)),
        search=Search(trials=2, batch=2, leaders=1, seeds=2),
        ablate=Ablate(parts=("momentum",), modules=("block2",), seeds=2),
    )
    with Flow(recipe, tmp_path / "flow") as flow:
        flow.__dict__["found"] = _Found(
            recipe.resolve({"model.args.depth": 1, "train.dropout": 0.1})
        )
        assert flow.ablate() is not None
        assert list(flow.ablate().verdicts()) == ["momentum"]
        notes = flow.documents()["run"]["notes"]

    assert notes == [
        "module block2 is not in the ablation: the model that the search chose has none of that "
        "name"
    ]


class _Found:
    """A search that chose ``best``."""

    def __init__(self, best: Recipe) -> None:
        self.best = best


def test_without_ablation_the_winner_is_trained(tmp_path: Path) -> None:
    with Flow(small(), tmp_path / "flow", ablate=False) as flow:
        assert flow.ablate() is None
        assert flow.train().recipe == flow.best()


def test_another_recipe_in_the_same_directory_is_refused(run_dir: Path) -> None:
    other = small(train=Train(epochs=4, batch_size=16))

    with pytest.raises(
        WorkspaceError, match=r"(?s)run of another recipe.*train.epochs: 3 there, 4 now.*--out DIR"
    ):
        run(other, out=run_dir)


def test_the_file_of_another_training_is_not_shown_beside_the_scores_of_this_one(
    finished: tuple[Run, Told], tmp_path: Path
) -> None:
    done, _ = finished
    place = tmp_path / "copy"
    shutil.copytree(done.path, place)
    with Flow(small(), place) as same:
        assert same.evaluate().rows
        assert {"bundle", "compression", "shipped"} <= same.documents().keys()

    with Flow(small(final=Final(seeds=4)), place) as other:
        assert other.evaluate().rows
        assert not {"bundle", "compression", "shipped"} & other.documents().keys()
        assert "the file" not in dict(summary(other.documents()))


def test_more_trials_of_the_same_recipe_go_on(
    finished: tuple[Run, Told], tmp_path: Path, told: Told
) -> None:
    done, _ = finished
    place = tmp_path / "copy"
    shutil.copytree(done.path, place)
    more = small(search=Search(trials=6, batch=2, leaders=2, seeds=2))

    with Flow(more, place, progress=told) as flow:
        assert flow.search() is not None
        trials = flow.search().to_dict()["trials"]

    assert len(trials) == 6
    assert without_times(trials[:4]) == without_times(done.documents["search"]["trials"])
    assert Recipe.load(place / "recipe.yaml") == more


def test_rows_that_changed_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    lines = [f"{i % 7},{(i * 5) % 11},{'ab'[i % 2]}" for i in range(60)]
    table.write_text("\n".join(["u,v,y", *lines]))
    recipe = small(data=Data(source=str(table), target="y"))
    with Flow(recipe, tmp_path / "flow"):
        pass
    table.write_text("\n".join(["u,v,y", *lines, "1,1,a"]))

    with pytest.raises(WorkspaceError, match=r"are not those that .* was begun with"):
        Flow(recipe, tmp_path / "flow")


def test_a_recipe_that_cannot_run_leaves_no_directory(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no module 'blok1' - did you mean 'block1'"):
        Flow(small(ablate=Ablate(modules=("blok1",))), tmp_path / "flow")

    assert not (tmp_path / "flow").exists()


def test_a_report_can_be_written_again(run_dir: Path, tmp_path: Path) -> None:
    assert "small: report" in rewrite_report(run_dir, tmp_path / "again.html").read_text()


def test_a_report_of_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"is no run directory: it has no ledger.db"):
        rewrite_report(tmp_path)


def test_the_figures_of_the_file_that_ships_are_its_own(finished: tuple[Run, Told]) -> None:
    """Not the mean of the trainings: that stands beside, under its own name."""
    done, _ = finished
    bundle, shipped = winnow.load(done.bundle), done.documents["shipped"]
    data = load_iris()
    rows = done.trained.prepared.test.index
    # Raw rows, through the bundle
    right = bundle.predict(data.data[rows]) == data.target_names[data.target[rows]]

    assert shipped["rows"] == bundle.manifest.test_rows == 30
    assert (
        bundle.manifest.metrics["accuracy"]["mean"]
        == shipped["metrics"]["accuracy"]["mean"]
        == right.mean()
    )
    assert bundle.manifest.metrics["accuracy"]["n"] == 30
    assert (
        bundle.manifest.recipe_metrics["accuracy"]["mean"]
        == done.evaluation.metrics["accuracy"].mean
    )
    assert bundle.manifest.parity == shipped["parity"]
    assert shipped["sha256"] == bundle.manifest.files["model.onnx"].sha256
    assert "only 30 test rows" in done.summary()
    report = done.report.read_text()
    assert "The file that ships" in report
    assert "mean over seeds" in report


def test_a_quick_run_that_goes_on_without_quick_says_so(tmp_path: Path) -> None:
    def sitting(recipe: Recipe, *, quick: bool = False) -> dict[str, Any]:
        with Flow(recipe, tmp_path / "run", quick=quick) as flow:
            documents = flow.documents()
        assert dict(summary(documents)).get("quick") == documents["run"]["quick"]
        return documents["run"]

    recipe = small()
    asks = (
        f"{recipe.search.trials} trials, {recipe.search.leaders} leaders on "
        f"{recipe.search.seeds} fresh seeds, "
    )
    first = sitting(recipe, quick=True)
    assert first["quick"].startswith(f"a small version of the recipe (--quick): {asks}")
    assert first["notes"] == []
    for _ in range(2):
        again = sitting(recipe)
        assert again["quick"] == first["quick"]
        assert again["notes"][0].startswith(
            f"this run was begun with --quick, and the recipe it goes on with asks for no more: "
            f"{asks}"
        )
    more = sitting(change(recipe, {"search.trials": 30}))
    assert (more["quick"], more["notes"]) == (None, [])


def test_an_edited_compressor_makes_another_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    source = (
        "from winnow.methods import BaseCompressor, NotCompressed\n\n\n"
        "class Mine(BaseCompressor):\n    def compress(self, model):\n"
        "        return NotCompressed('unsupported', 'first words')\n"
    )
    trained: Any = SimpleNamespace(variants=[SimpleNamespace(id="v")], best=0)
    recipe = Recipe.from_yaml(
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp}\n"
        "compress: {methods: [my_compressor:Mine]}\n"
    )

    keys = []
    for words in ("first", "second", "first"):
        (tmp_path / "my_compressor.py").write_text(source.replace("first", words))
        importlib.reload(importlib.import_module("my_compressor"))
        keys.append(bundle_key(trained, recipe))

    assert keys[0] == keys[2] != keys[1]
    monkeypatch.delitem(sys.modules, "my_compressor")
