"""The recipe: the whole typed description of how a model is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from winnow.errors import Problem, RecipeError
from winnow.files import write_aside
from winnow.methods import LOSSES, BaseLoss, CrossEntropy
from winnow.metrics import Task
from winnow.recipe import _parts, _schema, _space, _yaml
from winnow.recipe._metrics import is_own_metric, metric_names, metric_of, resolve_metric
from winnow.recipe._sections import Sections
from winnow.recipe._settings import AuxiliaryLoss
from winnow.recipe._used import loss_name, usual_loss
from winnow.recipe._variant import Variant
from winnow.spec import Choice

__all__ = ["Recipe"]


class Recipe(Sections):
    """Data, model and training, and the questions asked about them. Most settings of ``model.args``
    and ``train`` may be ranges.

    Raises:
        RecipeError: with every mistake in the sections, each under its dotted path.
    """

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        names = self.ablate.parts if isinstance(self.ablate.parts, tuple) else ()
        problems = [
            Problem(f"ablate.parts[{i}]", message) for i, message in _parts.unknown(self, names)
        ]
        if self.data.task != "auto":
            problems += self._misfits(self.data.task)
        if problems:
            raise RecipeError(problems)
        return self

    # -- reading and writing -----------------------------------------------------------------------

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a recipe from a YAML file.

        Raises:
            RecipeError: with every mistake in the file, each with its line; or for a file that
                cannot be read.
        """
        return _yaml.load(cls, Path(path))

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read a recipe from YAML text.

        Raises:
            RecipeError: with every mistake in the text, each with its line.
        """
        return _yaml.loads(cls, text)

    def to_yaml(self, *, defaults: bool = False) -> str:
        """Return YAML that reads back equal; settings left at their defaults are written only with
        ``defaults=True``.
        """
        return _yaml.dumps(self, defaults=defaults)

    def save(self, path: str | Path, *, defaults: bool = False) -> None:
        """Write the recipe to a YAML file, whole or not at all."""
        write_aside(path, self.to_yaml(defaults=defaults))

    @classmethod
    def schema_json(cls) -> dict[str, Any]:  # type: ignore[override]  # pydantic keeps an old method of this name
        """Return the JSON schema of the YAML form, for editors."""
        return _schema.json_schema(cls)

    # -- ranges ------------------------------------------------------------------------------------

    def ranges(self) -> dict[str, _space.OpenSetting]:
        """Return the open settings by dotted path, in the order of the recipe, conditional ones
        after what they depend on.
        """
        return _space.find(self)

    @property
    def is_open(self) -> bool:
        """Whether any setting is a range."""
        return bool(self.ranges())

    def resolve(self, values: Mapping[str, Any], *, partial: bool = False) -> Self:
        """Return the recipe with open settings replaced by ``values``: dotted path to value; for a
        choice of records, to a ``kind``.

        Raises:
            RecipeError: for a path that is not open or does not apply, a value outside its range,
                and, unless ``partial``, for every setting that stays open.
        """
        return _space.resolve(self, values, partial=partial)

    def variant(self, seed: int, *, metric: str, context: str, fold: int | None = None) -> Variant:
        """Return the variant that trains this recipe with ``seed``. ``metric`` and ``context`` are
        as in ``Variant``.

        Raises:
            RecipeError: when a setting is still open.
        """
        return Variant(
            data=self.data,
            model=self.model,
            train=self.train,
            metric=metric,
            seed=seed,
            fold=fold,
            context=context,
        )

    # -- parts -------------------------------------------------------------------------------------

    def parts(self) -> dict[str, _parts.Part]:
        """Return what can be switched off, by name: only what is on."""
        return _parts.find(self)

    def without(self, *names: str) -> Self:
        """Return the recipe with the named parts switched off; ``model.<module>`` names any module
        of the model.

        Raises:
            RecipeError: for a name that is no part of this recipe, with the nearest that is.
        """
        return _parts.switch_off(self, names)

    # -- the task ----------------------------------------------------------------------------------

    def check_task(self, task: Task) -> None:
        """Hold the recipe against the task that ``data.task: auto`` turned out to be.

        Raises:
            RecipeError: for a metric, a loss or label smoothing that is not for this task.
        """
        problems = self._misfits(task)
        if is_own_metric(self.metric) and metric_of(self.metric).task != task:
            problems.append(Problem("metric", f"{self.metric!r} is not for {task}"))
        if problems:
            raise RecipeError(problems)

    def metric_for(self, task: Task) -> str:
        """Return the metric of this recipe, ``auto`` resolved for ``task``."""
        return resolve_metric(self.metric, task)

    def _misfits(self, task: Task) -> list[Problem]:
        problems = []
        names = metric_names(task)
        if self.metric not in ("auto", *names) and not is_own_metric(self.metric):
            known = ", ".join(names)
            problems.append(
                Problem("metric", f"{self.metric!r} is not for {task}, whose metrics are {known}")
            )
        losses = (
            self.train.loss.options if isinstance(self.train.loss, Choice) else (self.train.loss,)
        )
        problems += [problem for loss in losses for problem in self._misfits_of_loss(loss, task)]
        for auxiliary in self.train.auxiliary_losses:
            if auxiliary.target is None:  # a target of its own may be of another kind
                problems += _misfits_of_auxiliary(auxiliary, task)
        return problems

    def _misfits_of_loss(self, loss: Any, task: Task) -> list[Problem]:
        usual = usual_loss(task)
        kind, method = _kind_and_method(loss, task)
        if method is not None and method.task not in (None, task):
            message = f"{kind!r} is not for {task}, whose loss is {usual}"
            return [Problem("train.loss", message)]
        if self.train.label_smoothing == 0 or method is CrossEntropy:
            return []
        if task == "regression":
            message = "is for classification only, and the task is regression"
        else:
            message = f"is a setting of cross_entropy, and the loss is {kind}"
        return [Problem("train.label_smoothing", message)]


def _kind_and_method(loss: Any, task: Task) -> tuple[str, type[BaseLoss] | None]:
    """Return what a loss is called, and its class where it is one of winnow's own."""
    kind = loss if isinstance(loss, str) else loss_name(loss)
    kind = usual_loss(task) if kind == "auto" else kind
    return kind, next((m for m in LOSSES if m.model_fields["kind"].default == kind), None)


def _misfits_of_auxiliary(auxiliary: AuxiliaryLoss, task: Task) -> list[Problem]:
    """Return what is wrong with a loss that compares with the main target."""
    found = auxiliary.loss.options if isinstance(auxiliary.loss, Choice) else (auxiliary.loss,)
    problems = []
    for loss in found:
        kind, method = _kind_and_method(loss, task)
        if method is not None and method.task not in (None, task):
            message = f"{kind!r} is not for the main target, which is of a {task}"
            problems.append(Problem(f"train.auxiliary_losses.{auxiliary.name}.loss", message))
    return problems
