"""The stages of a run, each on demand: asking for one runs what it needs before."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from numpy.typing import NDArray

from winnow import bundle, data
from winnow.bundle import BundleRecord
from winnow.compression import (
    CompressionRecord,
    CompressionResult,
    LatencyTiming,
    ShippedFile,
    ShippedRecord,
    compress,
    measure_shipped,
)
from winnow.data import DataRecord
from winnow.errors import BundleError, ModelError, OutOfTime, RecipeError, WorkspaceError
from winnow.evaluation import (
    Baselines,
    BaselinesRecord,
    Evaluation,
    FittedBaseline,
    compare_baselines,
    evaluate,
    fit_baselines,
)
from winnow.execution import Event, PlanRecord, RunRecord, Workspace
from winnow.models import module_names
from winnow.pipeline._budget import Budget, StageOver, TimedRunner
from winnow.pipeline._check import CheckedRecipe, check_export, check_recipe
from winnow.pipeline._plan import expected_trainings, training_seconds
from winnow.pipeline._progress import StageProgress
from winnow.pipeline._run_facts import bundle_facts, files_of, quick_words, run_facts, sittings_of
from winnow.pipeline._source import RECIPE_FILE, check_same, file_name, settings_of
from winnow.recipe import QUICK, Recipe
from winnow.records import keep, recall
from winnow.report import write_report
from winnow.study import Ablation, FinalRecord, SearchResult, TrainingResult, ablate, search, train

__all__ = ["Flow", "few_notes"]

OF_THE_BUNDLE = (BundleRecord, CompressionRecord, ShippedRecord)  # about the file that ships

# What can be asked for at last, and the stages that train for it.
GOALS = {
    "found": ("search",),
    "ablation": ("search", "ablate"),
    "trained": ("search", "ablate", "train"),
    "evaluation": ("search", "ablate", "train"),
    "bundle": ("search", "ablate", "train"),
}
Made = TypeVar("Made")
MOST_NOTES = 40  # lines about the data that somebody reads in a terminal


class Flow:
    """One way through, from a recipe to a bundle and a report, in a run directory.

    Every stage is a method. What a stage needs is run first, and a second call gives what the first
    gave; what is finished in the directory is read back from its ledger, so that asking again costs
    little and stopping anywhere loses little. Use it in a ``with`` block: one process at a time
    works in a directory.

    Args:
        recipe: what to run.
        out: the run directory; made when there is none.
        ablate: whether parts that do nothing are looked for and dropped; if not, the winner of the
            search is trained as it is.
        file: the YAML file that the recipe was read from, for the lines of mistakes.
        progress: told what is going on.
        command: how to repeat the run, for the report; None: the call in Python.
        goal: what is asked for at last, which ``reach_goal`` makes: ``found``, ``ablation``,
            ``trained``, ``evaluation`` or ``bundle``; the recipe's ``minutes`` are divided among
            the stages up to it.
        began: reading of ``time.perf_counter`` when the process began, from which the ``minutes``
            count; None: now.
        quick: the recipe was made small by ``--quick``, which the summary says.

    Attributes:
        budget: what the recipe's ``minutes`` allow; None without them.

    Raises:
        RecipeError: with every mistake in the recipe, before anything trains.
        DataError: the data cannot be used.
        WorkspaceError: the directory belongs to another recipe, or cannot be used.
        OutOfTime: the recipe's ``minutes`` do not hold the least that is asked for.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: str | Path,
        *,
        ablate: bool = True,
        file: Path | None = None,
        progress: Callable[[Event], None] | None = None,
        command: str | None = None,
        goal: str = "bundle",
        began: float | None = None,
        quick: bool = False,
    ) -> None:
        self.recipe = recipe
        self.path = Path(out)
        self._ablate = ablate
        self._file = file
        self._progress = progress
        self._command = command or f"winnow.run(recipe, out={str(out)!r})"
        self._stage = "check"
        self._goal = goal
        self._done: dict[str, Any] = {}  # what the stages gave, by what it is
        self._notes: list[str] = []
        self._clock = time.perf_counter()
        if recipe.minutes is not None and began is not None:
            self._clock = began
        self.budget: Budget | None = None
        is_new = not self.path.exists()
        self.workspace = Workspace.open(self.path)
        bundle.clean_up(self.path)
        try:
            self._runner = TimedRunner(self.workspace, progress=self._trained)
            self._before = recall(self.workspace.ledger, RunRecord) or RunRecord()
            self._fleets = (recall(self.workspace.ledger, PlanRecord) or PlanRecord()).fleets
            self._sittings = sittings_of(self._before, trained=bool(self._fleets))
            check_same(recipe, self._before.recipe_yaml, self.path)
            self._checked = self._look(file)
            self.budget = self._runner.budget = self._budget(goal)
        except BaseException:
            self.workspace.close()
            if is_new:
                # Nothing was trained: leave no empty directory behind a mistyped recipe
                shutil.rmtree(self.path)
            raise
        self._metric, _ = self._runner.context(recipe)
        self._of_stage = StageProgress(
            self._tell, metric=self._metric, expected=expected_trainings(recipe)
        )
        for warning in self._checked.warnings:
            self._note(warning)
        self._quick = quick or self._is_as_quick_as_before()
        if self._quick and not quick:
            self._note(
                quick_words(
                    recipe,
                    "this run was begun with --quick, and the recipe it goes on with asks for no "
                    "more",
                )
            )
        self._keep_recipe()
        self._put_facts()
        for note in few_notes(self._checked.prepared.notes):
            self._tell(Event(self._stage, 0, 0, message=note))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what was done so far into the ledger and let the directory go."""
        self._put_facts()
        if self.budget is not None and self.budget.goal in self._done:
            self.budget.finish()
        self.workspace.close()

    # -- stages ------------------------------------------------------------------------------------

    def search(self) -> SearchResult | None:
        """The search; None when nothing in the recipe is open."""
        return self._once("found", self._search)

    def _search(self) -> SearchResult | None:
        if not self.recipe.is_open:
            self._note_down("nothing in the recipe is open: there was nothing to search")
            return None
        with self._at("search"):
            return search(self.recipe, runner=self._runner, allowance=self.budget)

    def best(self) -> Recipe:
        """The recipe with nothing open: the winner of the search, or as it was asked."""
        found = self.search()
        return self.recipe if found is None else found.best

    def ablate(self) -> Ablation | None:
        """The ablation of the best recipe; None when it was not wanted, or the recipe has no
        part to leave out.
        """
        return self._once("ablation", self._ablation)

    def _ablation(self) -> Ablation | None:
        if not self._ablate:
            return None
        best, modules = self.best(), self._modules_left()
        if not modules and not _can_lose_a_part(best):
            self._note_down("nothing in the recipe can be left out: there was nothing to ablate")
            return None
        with self._at("ablate"):
            return self._ablated(best, modules)

    def simplified(self) -> Recipe:
        """The recipe that is trained at last: without the parts that the ablation showed to do
        nothing.
        """
        ablation = self.ablate()
        return self.best() if ablation is None else ablation.simplified

    def train(self) -> TrainingResult:
        """The final training, on seeds that chose nothing."""
        return self._once("trained", self._train)

    def _train(self) -> TrainingResult:
        recipe = self.simplified()
        with self._at("train"):
            trained = train(recipe, runner=self._runner, allowance=self.budget)
        self._forget_another(_key(trained, self.recipe))
        return trained

    def evaluate(self) -> Evaluation:
        """The test rows, and the baselines beside the model: beside the PyTorch model until
        there is a file that ships.
        """
        return self._once("evaluation", self._evaluate)

    def _evaluate(self) -> Evaluation:
        trained = self.train()
        with self._at("evaluate", message=True):
            evaluation = evaluate(trained)
            if not self._is_there(self._bundle_path, _key(trained, self.recipe)):
                self._compare(evaluation.truth, evaluation.predictions)
        return evaluation

    def compress(self) -> Path:
        """The folder of the bundle. One that is there and belongs to this training is kept:
        latencies are not measured again.

        A model that cannot be exported is refused before anything trains.
        """
        return self._once("bundle", self._compress)

    def _compress(self) -> Path:
        if recall(self.workspace.ledger, FinalRecord) is None:
            check_export(self._checked, file=self._file)
        trained, evaluation = self.train(), self.evaluate()
        path, key = self._bundle_path, _key(trained, self.recipe)
        if not self._is_there(path, key):
            with self._at("compress", message=True):
                timing = (
                    None
                    if self.budget is None
                    else LatencyTiming(seconds=self.budget.latency_seconds())
                )
                compressed = compress(trained, budget=self.recipe.compress.budget, timing=timing)
                shipped = _measured(compressed, trained)
                compared = self._compare(shipped.truth, shipped.predictions, file=shipped.sha256)
                compressed.save(
                    path,
                    metrics=shipped.metrics,
                    recipe_metrics=evaluation.metrics,
                    parity=shipped.difference.to_dict(),
                    test_rows=shipped.rows,
                    verdict=compared.for_manifest(),
                    recipe_yaml=trained.recipe.to_yaml(),
                )
                keep(self.workspace.ledger, shipped.record)
                keep(self.workspace.ledger, bundle_facts(bundle.load(path), made_from=key))
        return path

    def reach_goal(self) -> None:
        """Run the stages up to the goal."""
        stages: dict[str, Callable[[], Any]] = {
            "found": self.search,
            "ablation": self.ablate,
            "trained": self.train,
            "evaluation": self.evaluate,
            "bundle": self.compress,
        }
        stages[self._goal]()

    def write_report(self, path: str | Path | None = None) -> Path:
        """Write the report of what is there so far; None: to ``report.html`` in the run
        directory.
        """
        with self._at("report", message=True):
            return write_report(
                self.documents(), self.path / "report.html" if path is None else path
            )

    def documents(self) -> dict[str, dict[str, Any]]:
        """The facts that the stages left so far, by name."""
        ledger = self.workspace.ledger
        return {
            name: document
            for name in ledger.documents()
            if (document := ledger.get_document(name)) is not None
        }

    # -- inside ------------------------------------------------------------------------------------

    def _once(self, what: str, make: Callable[[], Made]) -> Made:
        if what not in self._done:
            self._done[what] = make()
        made: Made = self._done[what]
        return made

    def _look(self, file: Path | None) -> CheckedRecipe:
        checked = check_recipe(self.recipe, self._runner.prepared, file=file)
        digest = checked.prepared.digest
        known = recall(self.workspace.ledger, DataRecord)
        if known is not None and known.digest not in (None, digest):
            raise WorkspaceError(
                f"the rows of {checked.prepared.source} are not those that {self.path} was begun "
                f"with: give another directory "
                f"(--out DIR, or `out=`), or remove {self.path}"
            )
        return checked

    def _budget(self, goal: str) -> Budget | None:
        """What the minutes of the recipe allow. A run that has come to its end is only read,
        whatever it took.
        """
        if self.recipe.minutes is None:
            return None
        ledger = self.workspace.ledger
        wanted = [
            stage
            for stage in GOALS[goal]
            if (stage != "search" or self.recipe.is_open) and (stage != "ablate" or self._ablate)
        ]
        budget = Budget(
            self.recipe.minutes,
            ledger=ledger,
            known=ledger.outcomes,
            stages=wanted,
            goal=goal,
            question=hashlib.sha256(f"{self.recipe.to_yaml()}{self._ablate}".encode()).hexdigest()[
                :20
            ],
            spent=self._before.seconds or 0.0,
            began=self._clock,
        )
        if budget.has_begun:
            budget.require(0.0)
        else:
            least = {"search": min(2, self.recipe.search.trials) + 2, "train": 2}
            known = training_seconds(self._checked)
            trainings = sum(least.get(stage, 0) for stage in wanted)
            budget.require(*((0.0,) if known is None else (trainings * known[0], known[1])))
        return budget

    def _ablated(self, recipe: Recipe, modules: list[str]) -> Ablation | None:
        """The ablation; None where the minutes do not hold it. What does not end in time is
        done over without it.
        """
        while True:
            try:
                return ablate(recipe, modules=modules, runner=self._runner, allowance=self.budget)
            except OutOfTime:
                return None
            except StageOver:
                assert self.budget is not None
                self.budget.overrule()

    def _is_as_quick_as_before(self) -> bool:
        """Whether an earlier sitting was quick and this one asks for as little."""
        if not self._before.quick or self._before.recipe_yaml is None:
            return False
        before = settings_of(Recipe.from_yaml(self._before.recipe_yaml))
        return all(
            before[path] == value
            for path, value in settings_of(self.recipe).items()
            if path in QUICK
        )

    def _keep_recipe(self) -> None:
        """The recipe beside what came of it, so that the directory can be given in its place."""
        place = self.path / RECIPE_FILE
        try:
            there = place.is_file() and Recipe.load(place) == self.recipe
        except RecipeError:  # torn, or changed by hand into none
            there = False
        if not there:
            self.recipe.save(place)

    def _modules_left(self) -> list[str]:
        """The modules that the recipe names and the model of the best recipe has."""
        asked = list(self.recipe.ablate.modules)
        if not asked:
            return []
        names = module_names(check_recipe(self.best(), self._runner.prepared, names=False).model)
        for name in asked:
            if name not in names:
                self._note_down(
                    f"module {name} is not in the ablation: the model that the search chose has "
                    f"none of that name"
                )
        return [name for name in asked if name in names]

    @property
    def _bundle_path(self) -> Path:
        return self.path / f"{file_name(self.recipe.name)}.winnow"

    def _fitted(self) -> tuple[FittedBaseline, ...]:
        trained = self.train()
        return self._once("baselines", lambda: fit_baselines(trained.prepared, trained.metric))

    def _compare(
        self, truth: NDArray[Any], predictions: NDArray[Any], *, file: str | None = None
    ) -> Baselines:
        """Hold these predictions for the test rows against the baselines, and write it down."""
        trained = self.train()
        compared = compare_baselines(
            self._fitted(), trained.prepared, trained.metric, truth, predictions, file=file
        )
        keep(self.workspace.ledger, compared.record)
        return compared

    def _forget_another(self, key: str) -> None:
        """Drop the facts about a bundle of another training, which would stand beside the
        scores of this one.
        """
        facts = recall(self.workspace.ledger, BundleRecord)
        if facts is not None and facts.made_from != key:
            for kind in OF_THE_BUNDLE:
                self.workspace.ledger.remove_document(kind.NAME)

    def _is_there(self, path: Path, key: str) -> bool:
        """Whether the bundle at ``path`` is whole and the one that belongs to ``key``."""
        ledger = self.workspace.ledger
        facts, shipped = recall(ledger, BundleRecord), recall(ledger, ShippedRecord)
        compared = recall(ledger, BaselinesRecord)
        if facts is None or shipped is None or compared is None:
            return False
        if facts.made_from != key or recall(ledger, CompressionRecord) is None:
            return False
        if not facts.files[bundle.MODEL].sha256 == shipped.sha256 == compared.file:
            return False
        try:
            return files_of(bundle.load(path)) == facts.files
        except BundleError:
            return False

    @contextmanager
    def _at(self, stage: str, *, message: bool = False) -> Iterator[None]:
        self._stage = stage
        if message:  # stages that train nothing
            self._tell(Event(stage, 0, 1))
        elif self.budget is not None:
            self.budget.begin(stage)
        try:
            yield
        except ModelError as error:
            if self.budget is None or not self.budget.has_stopped:
                raise
            raise OutOfTime(
                f"{self.recipe.minutes:g} minutes were over in the stage {stage!r}: {error} - "
                f"what was finished is kept: the "
                "same command with more minutes goes on from there"
            ) from error
        finally:
            if self.budget is not None:
                for sentence in self.budget.sentences():
                    self._note(sentence)
            self._put_facts()
        if message:
            self._tell(Event(stage, 1, 1))

    def _trained(self, event: Event) -> None:
        self._of_stage(replace(event, stage=self._stage))

    def _tell(self, event: Event) -> None:
        if self._progress is not None:
            self._progress(event)

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)
            self._tell(Event(self._stage, 0, 0, message=text))

    def _note_down(self, text: str) -> None:
        """A note that belongs to no stage which would write it down at its end."""
        self._note(text)
        self._put_facts()

    def _put_facts(self) -> None:
        before, ledger = self._before, self.workspace.ledger
        facts = run_facts(
            self.recipe,
            metric=self._metric,
            task=self._checked.prepared.task,
            command=self._command,
            started=before.started or dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            seconds=(before.seconds or 0.0) + time.perf_counter() - self._clock,
            notes=tuple(self._notes),
            before=self._sittings,
            trained=bool(self._runner.fleets),
            quick=self._quick,
            ablate=self._ablate,
        )
        self._before = replace(before, started=facts.started)
        keep(ledger, facts)
        keep(ledger, PlanRecord((*self._fleets, *self._runner.fleets)))
        keep(ledger, data.describe(self._checked.prepared))


def few_notes(notes: Sequence[str]) -> list[str]:
    """Notes for a terminal: all, or the first forty and how many more there are. The report has
    all.
    """
    more = len(notes) - MOST_NOTES
    return [
        *notes[:MOST_NOTES],
        *([f"{more} more notes about the data are in the report"] if more > 0 else []),
    ]


def _can_lose_a_part(recipe: Recipe) -> bool:
    """Whether anything that the recipe wants to ablate, modules aside, is on."""
    if recipe.ablate.parts == "all":
        return bool(recipe.parts())
    return any(_can_lose(recipe, name) for name in recipe.ablate.parts)


def _can_lose(recipe: Recipe, name: str) -> bool:
    try:
        recipe.without(name)
    except RecipeError:
        return False
    return True


def _measured(compressed: CompressionResult, trained: TrainingResult) -> ShippedFile:
    """The file that ships, written, read back and run over the test rows. What ships was chosen
    before.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        path = compressed.save(Path(folder) / "shipped.winnow")
        return measure_shipped(
            bundle.load(path), trained.prepared, trained.module(), trained.metric
        )


def _key(trained: TrainingResult, recipe: Recipe) -> str:
    """Names what a bundle depends on: the trained variant that ships, and how it was to be
    compressed.
    """
    facts: Mapping[str, Any] = {
        "variant": trained.variants[trained.best].id,
        "compress": recipe.compress.model_dump(mode="json"),
        "trained": [v.id for v in trained.variants],  # their test metrics stand in the bundle
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
