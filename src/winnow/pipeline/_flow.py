"""The stages of a run, each on demand: asking for one runs what it needs before."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from numpy.typing import NDArray

from winnow import bundle
from winnow.compression import LatencyTiming, compress
from winnow.data import DataRecord
from winnow.errors import ModelError, OutOfTime, WorkspaceError
from winnow.evaluation import (
    Baselines,
    Evaluation,
    FittedBaseline,
    compare_baselines,
    evaluate,
    fit_baselines,
)
from winnow.execution import Event, Workspace
from winnow.models import module_names
from winnow.pipeline._budget import Budget
from winnow.pipeline._check import CheckedRecipe, check_export, check_recipe
from winnow.pipeline._directory import REPORT_FILE, documents_of, file_name, keep_recipe
from winnow.pipeline._journal import Journal, quick_note
from winnow.pipeline._leaving_out import ablate_in_time, can_lose_a_part
from winnow.pipeline._minutes import budget_for
from winnow.pipeline._plan import expected_trainings
from winnow.pipeline._progress import StageProgress
from winnow.pipeline._shipping import (
    bundle_facts,
    bundle_key,
    forget_other_bundle,
    is_current,
    measure_before_saving,
)
from winnow.pipeline._source import check_same
from winnow.pipeline._timed_runner import TimedRunner
from winnow.recipe import Recipe
from winnow.records import keep, recall
from winnow.report import write_report
from winnow.study import Ablation, FinalRecord, SearchResult, TrainingResult, search, train

__all__ = ["Flow", "few_notes"]

Result = TypeVar("Result")
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
        recipe: as it was asked.
        path: the run directory.
        workspace: the directory as trainings use it.
        budget: what the recipe's ``minutes`` allow; None without them.

    Raises:
        RecipeError: with every mistake in the recipe, before anything trains.
        DataError: the data cannot be used.
        WorkspaceError: the directory belongs to another recipe, or cannot be used.
        OutOfTime: the recipe's ``minutes`` do not hold the least that is asked for.

    Example:
        >>> import tempfile, winnow
        >>> recipe = winnow.Recipe(
        ...     name="iris",
        ...     data=winnow.Data(source="sklearn:iris"),
        ...     model=winnow.Model(use="mlp"),
        ...     train=winnow.Train(epochs=2),
        ...     final=winnow.Final(seeds=2),
        ... )
        >>> with winnow.Flow(recipe, tempfile.mkdtemp(), ablate=False) as flow:
        ...     len(flow.train().outcomes)
        2
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
        self._wants_ablation = ablate
        self._file = file
        self._progress = progress
        self._goal = goal
        self._stage = "check"
        self._results: dict[str, object] = {}  # of the stages, by the name of the goal
        self.budget: Budget | None = None
        now = time.perf_counter()
        is_limited = recipe.minutes is not None
        is_new = not self.path.exists()
        self.workspace = Workspace.open(self.path)
        bundle.clean_up(self.path)
        try:
            self._runner = TimedRunner(self.workspace, progress=self._report_training)
            self._journal = Journal(
                self.workspace.ledger,
                recipe,
                command=command or f"winnow.run(recipe, out={str(out)!r})",
                ablate=ablate,
                quick=quick,
                # Minutes count from the start of the process, the seconds of others from here.
                began=began if is_limited and began is not None else now,
            )
            check_same(recipe, self._journal.before.recipe_yaml, self.path)
            self._checked = self._check()
            self.budget = budget_for(
                self._checked,
                goal=goal,
                ablate=ablate,
                ledger=self.workspace.ledger,
                spent=self._journal.spent,
                began=self._journal.began,
            )
            self._runner.budget = self.budget
        except BaseException:
            self.workspace.close()
            if is_new:
                # Nothing was trained: leave no empty directory behind a mistyped recipe.
                shutil.rmtree(self.path)
            raise
        self._metric, _ = self._runner.context(recipe)
        self._stage_progress = StageProgress(
            self._tell, metric=self._metric, expected=expected_trainings(recipe)
        )
        self._write_beginning(was_asked_quick=quick)

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
        self._write_facts()
        if self.budget is not None and self.budget.goal in self._results:
            self.budget.finish()
        self.workspace.close()

    # -- stages ------------------------------------------------------------------------------------

    def search(self) -> SearchResult | None:
        """Search for the best settings of the recipe's ranges.

        Returns:
            What the search found; None when nothing in the recipe is open.
        """
        return self._once("found", self._search)

    def _search(self) -> SearchResult | None:
        if not self.recipe.is_open:
            self._note_down("nothing in the recipe is open: there was nothing to search")
            return None
        with self._training("search"):
            return search(self.recipe, runner=self._runner, allowance=self.budget)

    def best(self) -> Recipe:
        """Return the recipe with nothing open: the winner of the search, or as it was asked."""
        found = self.search()
        return self.recipe if found is None else found.best

    def ablate(self) -> Ablation | None:
        """Leave each part of the best recipe out in turn.

        Returns:
            The ablation; None when it was not wanted, when the recipe has no part to leave out, or
            when there was no time for one.
        """
        return self._once("ablation", self._ablate)

    def _ablate(self) -> Ablation | None:
        if not self._wants_ablation:
            return None
        best = self.best()
        modules = self._modules_to_ablate(best)
        if not modules and not can_lose_a_part(best):
            self._note_down("nothing in the recipe can be left out: there was nothing to ablate")
            return None
        with self._training("ablate"):
            return ablate_in_time(best, modules, self._runner)

    def simplified(self) -> Recipe:
        """Return the recipe that is trained at last: without the parts that the ablation showed to
        do nothing.
        """
        ablation = self.ablate()
        return self.best() if ablation is None else ablation.simplified

    def train(self) -> TrainingResult:
        """Train the final models, on seeds that chose nothing."""
        return self._once("trained", self._train)

    def _train(self) -> TrainingResult:
        recipe = self.simplified()
        with self._training("train"):
            trained = train(recipe, runner=self._runner, allowance=self.budget)
        forget_other_bundle(self.workspace.ledger, bundle_key(trained, self.recipe))
        return trained

    def evaluate(self) -> Evaluation:
        """Measure the final models on the test rows, beside baselines.

        The baselines are held against the PyTorch model until there is a file that ships.
        """
        return self._once("evaluation", self._evaluate)

    def _evaluate(self) -> Evaluation:
        trained = self.train()
        with self._without_training("evaluate"):
            evaluation = evaluate(trained)
            if not self._has_bundle(bundle_key(trained, self.recipe)):
                self._compare(evaluation.truth, evaluation.predictions)
        return evaluation

    def compress(self) -> Path:
        """Make the model smaller and faster, and write the bundle.

        One that is there and belongs to this training is kept: latencies are not measured again. A
        model that cannot be exported is refused before anything trains.

        Returns:
            The folder of the bundle.
        """
        return self._once("bundle", self._compress)

    def _compress(self) -> Path:
        if recall(self.workspace.ledger, FinalRecord) is None:
            check_export(self._checked, file=self._file)
        trained, evaluation = self.train(), self.evaluate()
        if not self._has_bundle(bundle_key(trained, self.recipe)):
            with self._without_training("compress"):
                self._write_bundle(trained, evaluation)
        return self._bundle_path

    def reach_goal(self) -> None:
        """Run the stages up to the goal."""
        stages: dict[str, Callable[[], object]] = {
            "found": self.search,
            "ablation": self.ablate,
            "trained": self.train,
            "evaluation": self.evaluate,
            "bundle": self.compress,
        }
        stages[self._goal]()

    def write_report(self, path: str | Path | None = None) -> Path:
        """Write the report of what is there so far.

        Args:
            path: the HTML file; None: ``report.html`` in the run directory.

        Returns:
            The file that was written.
        """
        place = self.path / REPORT_FILE if path is None else path
        with self._without_training("report"):
            return write_report(self.documents(), place)

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the facts that the stages left so far, by name."""
        return documents_of(self.workspace.ledger)

    # -- inside: the beginning ---------------------------------------------------------------------

    def _check(self) -> CheckedRecipe:
        """Check the recipe, and that its rows are those that the directory was begun with."""
        checked = check_recipe(self.recipe, self._runner.prepared, file=self._file)
        known = recall(self.workspace.ledger, DataRecord)
        digest = None if known is None else known.digest
        if digest not in (None, checked.prepared.digest):
            raise WorkspaceError(
                f"the rows of {checked.prepared.source} are not those that {self.path} was begun "
                f"with: give another directory "
                f"(--out DIR, or `out=`), or remove {self.path}"
            )
        return checked

    def _write_beginning(self, *, was_asked_quick: bool) -> None:
        """Write down what is known before the first stage, and tell it."""
        for warning in self._checked.warnings:
            self._note(warning)
        if self._journal.quick and not was_asked_quick:
            self._note(quick_note(self.recipe))
        keep_recipe(self.recipe, self.path)
        self._write_facts()
        for note in few_notes(self._checked.prepared.notes):
            self._tell(Event(self._stage, 0, 0, message=note))

    # -- inside: stages ----------------------------------------------------------------------------

    def _once(self, name: str, make: Callable[[], Result]) -> Result:
        """Return the result of this name, made the first time that it is asked for."""
        if name not in self._results:
            self._results[name] = make()
        return cast(Result, self._results[name])

    def _modules_to_ablate(self, best: Recipe) -> list[str]:
        """Return the modules that the recipe names and the model of the best recipe has."""
        asked = list(self.recipe.ablate.modules)
        if not asked:
            return []
        checked = check_recipe(best, self._runner.prepared, names=False)
        known = module_names(checked.model)
        for name in asked:
            if name not in known:
                self._note_down(
                    f"module {name} is not in the ablation: the model that the search chose has "
                    f"none of that name"
                )
        return [name for name in asked if name in known]

    def _fitted_baselines(self) -> tuple[FittedBaseline, ...]:
        trained = self.train()
        return self._once("baselines", lambda: fit_baselines(trained.prepared, trained.metric))

    def _compare(
        self, truth: NDArray[Any], predictions: NDArray[Any], *, file: str | None = None
    ) -> Baselines:
        """Hold predictions for the test rows against the baselines, and write it down.

        Args:
            truth: class indices, or values in the units of the target, (rows,).
            predictions: probabilities (rows, classes), or values (rows,).
            file: digest of the model file that they are of; None: of the PyTorch model.
        """
        trained = self.train()
        compared = compare_baselines(
            self._fitted_baselines(),
            trained.prepared,
            trained.metric,
            truth,
            predictions,
            file=file,
        )
        keep(self.workspace.ledger, compared.record)
        return compared

    @property
    def _bundle_path(self) -> Path:
        return self.path / f"{file_name(self.recipe.name)}.winnow"

    def _has_bundle(self, key: str) -> bool:
        return is_current(self._bundle_path, key, self.workspace.ledger)

    def _write_bundle(self, trained: TrainingResult, evaluation: Evaluation) -> None:
        """Compress the model, measure the file that ships and write the bundle."""
        timing = None
        if self.budget is not None:
            timing = LatencyTiming(seconds=self.budget.latency_seconds())
        compressed = compress(trained, budget=self.recipe.compress.budget, timing=timing)
        shipped = measure_before_saving(compressed, trained)
        compared = self._compare(shipped.truth, shipped.predictions, file=shipped.sha256)
        compressed.save(
            self._bundle_path,
            metrics=shipped.metrics,
            recipe_metrics=evaluation.metrics,
            parity=shipped.difference.to_dict(),
            test_rows=shipped.rows,
            verdict=compared.for_manifest(),
            recipe_yaml=trained.recipe.to_yaml(),
        )
        ledger = self.workspace.ledger
        keep(ledger, shipped.record)
        # Last, since it says that all of them are there
        loaded = bundle.load(self._bundle_path)
        keep(ledger, bundle_facts(loaded, made_from=bundle_key(trained, self.recipe)))

    @contextmanager
    def _training(self, stage: str) -> Iterator[None]:
        """Inside, a stage that trains is at work; its events come from the runner."""
        self._stage = stage
        if self.budget is not None:
            self.budget.begin(stage)
        with self._facts_at_its_end():
            yield

    @contextmanager
    def _without_training(self, stage: str) -> Iterator[None]:
        """Inside, a stage that trains nothing is at work; it tells of its beginning and end."""
        self._stage = stage
        self._tell(Event(stage, 0, 1))
        with self._facts_at_its_end():
            yield
        self._tell(Event(stage, 1, 1))

    @contextmanager
    def _facts_at_its_end(self) -> Iterator[None]:
        """Write the facts at the end of a stage, however it ends, and say when time was over."""
        try:
            yield
        except ModelError as error:
            if self.budget is None or not self.budget.has_stopped:
                raise
            raise OutOfTime(
                f"{self.recipe.minutes:g} minutes were over in the stage {self._stage!r}: {error} "
                f"- what was finished is kept: the "
                "same command with more minutes goes on from there"
            ) from error
        finally:
            if self.budget is not None:
                for sentence in self.budget.sentences():
                    self._note(sentence)
            self._write_facts()

    # -- inside: telling and writing ---------------------------------------------------------------

    def _report_training(self, event: Event) -> None:
        """Pass an event of the runner on, under the name of the stage."""
        self._stage_progress(replace(event, stage=self._stage))

    def _tell(self, event: Event) -> None:
        if self._progress is not None:
            self._progress(event)

    def _note(self, text: str) -> None:
        if self._journal.add(text):
            self._tell(Event(self._stage, 0, 0, message=text))

    def _note_down(self, text: str) -> None:
        """Note what belongs to no stage, which would write it down at its end."""
        self._note(text)
        self._write_facts()

    def _write_facts(self) -> None:
        self._journal.write(self._checked.prepared, self._metric, self._runner.fleets)


def few_notes(notes: Sequence[str]) -> list[str]:
    """Return notes for a terminal: all, or the first forty and how many more there are.

    The report has all.
    """
    shown = list(notes[:MOST_NOTES])
    more = len(notes) - MOST_NOTES
    if more > 0:
        shown.append(f"{more} more notes about the data are in the report")
    return shown
