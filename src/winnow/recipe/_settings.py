"""The sections of a recipe, each a frozen record. What a field means, its unit and its range
stand beside it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from winnow.errors import Problem, RecipeError, nearest
from winnow.methods import (
    AUGMENTS,
    AVERAGINGS,
    COMPRESSORS,
    GRADIENT_RULES,
    LOSSES,
    OPTIMIZERS,
    PENALTIES,
    SAMPLERS,
    SCALERS,
    SCHEDULES,
    SGD,
    STEPS,
    STOPPINGS,
    BaseAugment,
    BaseAveraging,
    BaseCompressor,
    BaseGradientRule,
    BaseLoss,
    BaseMethod,
    BaseOptimizer,
    BasePenalty,
    BaseSampler,
    BaseScaler,
    BaseSchedule,
    BaseStep,
    BaseStopping,
    Constant,
    Patience,
)
from winnow.recipe import _names, _objects
from winnow.recipe._ready import READY
from winnow.recipe._used import (
    Augment,
    Averaging,
    Compressor,
    DataStep,
    GradientRule,
    Loss,
    Optimizer,
    Penalty,
    Sampler,
    Scaler,
    Schedule,
    Stopping,
    Used,
    one_of,
    without_ranges,
)
from winnow.spec import (
    BelowOne,
    Character,
    Classes,
    Count,
    Encoding,
    Flag,
    Index,
    Inside,
    Name,
    Names,
    NonNegative,
    Open,
    Parts,
    Positive,
    Seed,
    Seeds,
    Settings,
    Several,
    Shape,
    Trainings,
)

__all__ = [
    "Ablate",
    "AuxiliaryLoss",
    "Compress",
    "Data",
    "EarlyStopping",
    "Final",
    "Model",
    "Prepare",
    "Search",
    "Split",
    "Start",
    "Train",
]

# -- methods ---------------------------------------------------------------------------------------


def _kinds(methods: Sequence[type[BaseMethod]]) -> list[str]:
    return [str(method.model_fields["kind"].default) for method in methods]


if TYPE_CHECKING:
    AnyOptimizer = BaseOptimizer | Optimizer
    AnySchedule = BaseSchedule | Schedule
    AnyLoss = str | BaseLoss | Loss
    AnySampler = str | BaseSampler | Sampler
    AnyAugment = BaseAugment | Augment
    AnyAveraging = BaseAveraging | Averaging
    AnyPenalty = BasePenalty | Penalty
    AnyGradientRule = BaseGradientRule | GradientRule
    AnyScaler = str | BaseScaler | Scaler
    AnyStep = BaseStep | DataStep
    AnyStopping = BaseStopping | Stopping
    AnyCompressor = str | BaseCompressor | Compressor
else:
    AnyOptimizer = one_of(OPTIMIZERS, Optimizer)
    AnySchedule = one_of(SCHEDULES, Schedule)
    AnyLoss = one_of(LOSSES, Loss, names=("auto", "cross_entropy", "mse"))
    AnyAugment = one_of(AUGMENTS, Augment)
    AnyAveraging = one_of(AVERAGINGS, Averaging)
    AnyPenalty = one_of(PENALTIES, Penalty)
    AnyGradientRule = one_of(GRADIENT_RULES, GradientRule)
    AnySampler = one_of(SAMPLERS, Sampler, names=_kinds(SAMPLERS))
    AnyScaler = one_of(SCALERS, Scaler, names=_kinds(SCALERS))
    AnyStep = one_of(STEPS, DataStep)
    AnyStopping = one_of(STOPPINGS, Stopping, usual=Patience)
    AnyCompressor = one_of(COMPRESSORS, Compressor, names=_kinds(COMPRESSORS))


# -- data ------------------------------------------------------------------------------------------


class Split(Settings):
    """How the rows are divided. ``test`` and ``validation`` are fractions of all rows; what is
    left trains.
    """

    test: Inside = 0.2
    validation: Inside = 0.2
    stratify: Flag = True
    """Classification only: every part keeps the share of each class."""
    order_by: str | None = None
    """A column: the oldest rows train, newer ones choose, the newest test; None: at random."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _something_trains(self) -> Self:
        if self.test + self.validation >= 1:
            raise ValueError(
                f"test + validation must be below 1, got {self.test:g} + {self.validation:g}"
            )
        return self


class Prepare(Settings):
    """The fitted steps between raw columns and features. Each learns from the training rows
    only.
    """

    standardize: Flag = True
    """Numbers: subtract the mean, divide by the deviation."""
    scale: AnyScaler | None = None
    """Numbers, in place of ``standardize``; None: as that says."""
    impute: Literal["median", "mean", "most_frequent"] = "median"
    """Gaps in numbers; gaps in text are their own category."""
    missing_indicator: Flag = False
    """One more 0/1 feature for each number column that had gaps in the training rows."""
    max_categories: Several = 30
    """Text: the most frequent get a feature each, the rest share one."""
    steps: tuple[AnyStep, ...] = ()
    """From the features that all this gives to others, in order."""

    @model_validator(mode="after")
    def _one_scaler(self) -> Self:
        """Let ``scale`` count, so that one preparation has one form, and one identity."""
        if self.scale is not None:
            is_usual = self.scale == "standardize"
            object.__setattr__(self, "standardize", is_usual)
            object.__setattr__(self, "scale", None if is_usual else self.scale)
        return self


class Data(Settings):
    """What is learned from.

    ``source`` is ``sklearn:<name>``, a path to a ``.csv``, ``.tsv`` or ``.parquet`` file,
    ``package.module:function`` (called without arguments, returns ``(X, y)``, a frame or datasets),
    or the name of an object given from Python (see ``Data.arrays``).
    """

    source: str
    target: str | None = None
    """The column to predict; needed for frames and files."""
    drop: Names = ()
    """Columns that are not used."""
    weights: str | None = None
    """A column of numbers >= 0: how much a row counts in training; None: all rows alike."""
    task: Literal["auto", "classification", "regression"] = "auto"
    encoding: Encoding | None = None
    """Files of text: of their bytes, e.g. cp1250; None: found, UTF-8 first."""
    separator: Character | None = None
    """Files of text: between fields; None: found in the first line."""
    decimal: Literal[".", ","] | None = None
    """Files of text: the mark before decimals; None: found."""
    dates: Literal["day_first", "month_first"] | None = None
    """Files of text: what dates begin with; None: found."""
    rare_classes: Literal["error", "merge", "drop"] = "error"
    """Classes of fewer rows than rare_below: into one class, or left out."""
    rare_below: Several | None = None
    """Rows of a class; None: as many as the split needs, 5 by default."""
    shape: Shape | None = None
    """One row's features as the model sees them, e.g. [1, 8, 8]; None: as they are."""
    split: Split = Split()
    prepare: Prepare = Prepare()
    classes: Classes | None = None
    """Datasets only: how many, or their names in the order of the labels; None: labels are read."""
    version: str | None = None
    """Datasets only: any text; another one says that the content is another."""
    workers: Index = 0
    """Datasets only: processes that read ahead; changes no number."""

    @model_validator(mode="after")
    def _rare_below_is_used(self) -> Self:
        if self.rare_below is not None and self.rare_classes == "error":
            raise ValueError(
                "rare_below is for rare_classes: merge or drop; got it with error, which refuses "
                "rare classes anyway"
            )
        return self

    @classmethod
    def arrays(cls, X: Any, y: Any, **settings: Any) -> Self:
        """Return data from NumPy arrays or tensors: ``X`` (rows, ...), or a tuple or mapping of
        several inputs, each (rows, ...); and ``y`` (rows,).
        """
        return cls(source=_objects.register((X, y), "arrays"), **settings)

    @classmethod
    def frame(cls, frame: Any, target: str, **settings: Any) -> Self:
        """Return data from a pandas or polars frame with the column ``target``."""
        return cls(source=_objects.register(frame, "frame"), target=target, **settings)

    @classmethod
    def dataset(
        cls,
        dataset: Any = None,
        /,
        *,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        **settings: Any,
    ) -> Self:
        """Return data from map-style datasets (``torch.utils.data.Dataset``), which need not fit
        into memory.

        Item ``i`` is ``(x, y)``, the same at every reading: ``x`` a tensor or array of one shape,
        or a tuple or mapping of several inputs, which goes into the model as it is; ``y`` a class
        index from 0, or a number, or a mapping of targets in which ``target`` names that one.

        Args:
            dataset: one, to be divided by ``split``; or a function or class that gives one, or
                three by part, when it is called.
            train, validation, test: in its place, three that are divided already; ``split.seed``
                still sets the order of batches.
            settings: of ``Data``. ``workers``, ``classes`` and ``version`` are for datasets only.

        Raises:
            RecipeError: neither one dataset nor all three.
        """
        parts = {"train": train, "validation": validation, "test": test}
        missing = [name for name, part in parts.items() if part is None]
        if len(missing) != (0 if dataset is None else 3):
            found = ", ".join(n for n in parts if n not in missing) or "none"
            one = "" if dataset is None else "one dataset and "
            raise RecipeError(
                Problem(
                    "data",
                    f"expected one dataset, or all of train, validation and test, got "
                    f"{one}{found} of these three",
                )
            )
        given = parts if dataset is None else dataset
        settings.setdefault("prepare", Prepare(standardize=False))
        makes_one = inspect.isclass(given) or inspect.isroutine(given)  # goes by its code
        digest = None if makes_one else _objects.dataset_digest(given, settings.get("version"))
        return cls(source=_objects.register(given, "dataset", digest=digest), **settings)

    @field_validator("source", mode="before")
    @classmethod
    def _is_a_source(cls, value: Any) -> str:
        return _names.source(value)

    @model_validator(mode="after")
    def _target_is_there(self) -> Self:
        if _names.is_file(self.source) and self.target is None:
            raise RecipeError(Problem("target", "missing: name the column of the file to predict"))
        if isinstance(self.classes, tuple) and len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise RecipeError(
                Problem("classes", f"the names of classes must differ, got {twice!r} twice")
            )
        if self.weights is not None and self.weights == self.target:
            message = f"{self.weights!r} is the target, so it cannot weigh rows"
            raise RecipeError(Problem("weights", message))
        if self.target in self.drop:
            raise RecipeError(
                Problem("drop", f"{self.target!r} is the target, so it cannot be dropped")
            )
        return self


# -- model -----------------------------------------------------------------------------------------


class Start(Settings):
    """What a model begins from, in the place of fresh weights that all train.

    ``weights`` and ``masks`` are paths of ``.safetensors`` files, or of files that ``torch.save``
    wrote of a ``state_dict``; from Python also tensors by name.
    """

    weights: str | None = None
    """Weights by the model's own names; None: fresh ones, by the seed."""
    fresh: Names = ()
    """Modules that keep fresh weights, by their dotted name: a head for other classes, say."""
    frozen: Names = ()
    """Modules or parameters that do not train. Such modules run in evaluation mode all along."""
    masks: str | None = None
    """For some parameters a tensor of 0 and 1: where it is 0, the weight stays 0."""

    @field_validator("weights", "masks", mode="before")
    @classmethod
    def _is_a_file(cls, value: Any, info: ValidationInfo) -> Any:
        return value if value is None else _names.tensors(value, str(info.field_name))

    @field_validator("fresh", "frozen", mode="after")
    @classmethod
    def _in_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(names)))

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.fresh and self.weights is None:
            raise RecipeError(Problem("fresh", "expected weights too: without them all are fresh"))
        return self


class Model(Used):
    """What is trained: a ready model (``mlp``, ``convnet``), or a class or builder of the user's,
    with its arguments.

    In Python: ``Model(MyNet, width=Choice(64, 128))``; in YAML: ``{use: my.nets:MyNet, args:
    {width: {choice: [64, 128]}}}``.
    """

    without: Names = ()
    """Modules switched off, by their dotted name in the model."""
    start: Start | None = None
    """Given weights, frozen parts and masks; None: fresh weights by the seed, which all train."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)

    @classmethod
    def _belongs(cls, key: str) -> str:
        is_argument = any(key in args.model_fields for args in READY.values())
        close = None if is_argument else nearest(key, cls.model_fields)
        return (
            f" - did you mean {close!r}?"
            if close
            else " - the model's arguments stand under `args`"
        )

    @field_validator("use", mode="before")
    @classmethod
    def _is_a_class(cls, value: Any) -> str:
        return _names.use(value)

    @field_validator("start", mode="after")
    @classmethod
    def _begins_somewhere(cls, start: Start | None) -> Start | None:
        """Let a start that says nothing be none, so that one training has one identity."""
        return None if start == Start() else start

    @field_validator("without", mode="after")
    @classmethod
    def _in_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        # The order of switching off does not matter, so it must not change a variant's id
        return tuple(sorted(set(names)))


# -- training --------------------------------------------------------------------------------------


class AuxiliaryLoss(Settings):
    """A further loss that is added to the training loss.

    In Python: ``AuxiliaryLoss("depth", MSE(), weight=Log(0.01, 1), output="depth")``; in YAML:
    ``{name: depth, loss: mse, weight: {log: [0.01, 1]}, output: depth}``.
    """

    name: Name
    """What the curve and the part are called."""
    loss: Open[AnyLoss] = "auto"
    weight: Open[NonNegative] = 1.0
    """What it is multiplied by."""
    output: str | None = None
    """The output of the model that it is of, by its path (``depth``, ``1``); None: the main one."""
    target: str | None = None
    """The target that it compares with, by its path; None: the main one."""

    def __init__(self, /, name: Any = None, loss: Any = None, **more: Any) -> None:
        given = {"name": name, "loss": loss}
        super().__init__(**{k: v for k, v in given.items() if v is not None}, **more)


EarlyStopping = Patience  # by the name of its setting


class Train(Settings):
    """How it is trained."""

    epochs: Trainings = 30
    batch_size: Open[Count] = 64
    drop_last: Flag = True
    """Leave the rows that do not fill a batch out of the epoch (which ones differs each epoch)."""
    optimizer: Open[AnyOptimizer] = SGD()
    schedule: Open[AnySchedule] = Constant()
    loss: Open[AnyLoss] = "auto"
    """``auto``: by the task."""
    auxiliary_losses: tuple[AuxiliaryLoss, ...] = ()
    """Further losses, of other outputs or targets or of a teacher; each is added by its weight."""
    teacher: Model | None = None
    """A trained model whose outputs losses may read, as ``distillation`` does."""
    dropout: Open[BelowOne] | None = None
    """The rate of every Dropout layer of the model; None: as the model says."""
    label_smoothing: Open[BelowOne] = 0.0
    l1: Open[NonNegative] = 0.0
    """Adds l1 * sum(|w|) to the loss, over weights (not biases and norms)."""
    l2: Open[NonNegative] = 0.0
    """Adds l2 / 2 * sum(w ** 2) to the loss, over weights (not biases and norms)."""
    augment: tuple[AnyAugment, ...] = ()
    """What changes the batches of training, in this order."""
    penalties: tuple[AnyPenalty, ...] = ()
    """Further penalties on weights, in this order, after l1 and l2."""
    clip_norm: Open[Positive] | None = None
    """Largest norm of one member's whole gradient; None: not clipped."""
    gradient_rules: tuple[AnyGradientRule, ...] = ()
    """What else changes the gradient before the optimizer, in this order, after clip_norm."""
    averaging: Open[AnyAveraging] | None = None
    """The average of weights that is validated and kept; None: the weights themselves."""
    early_stopping: AnyStopping | None = None
    """When a member leaves before its last epoch; without a kind: patience."""
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    """``bfloat16``: forward and backward pass; weights stay float32."""

    @model_validator(mode="after")
    def _losses_have_names_of_their_own(self) -> Self:
        names = [auxiliary.name for auxiliary in self.auxiliary_losses]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            message = f"expected names that differ, got {twice!r} twice"
            raise RecipeError(Problem("auxiliary_losses", message))
        return self

    @field_validator("teacher", mode="after")
    @classmethod
    def _is_trained_already(cls, teacher: Model | None) -> Model | None:
        if teacher is not None:
            try:
                without_ranges(teacher.args)
            except RecipeError as error:
                problems = [Problem(f"args.{p.setting}", p.message) for p in error.problems]
                raise RecipeError(problems) from None
        return teacher

    @property
    def weights_precision(self) -> Literal["float32", "float64"]:
        """The number type of weights and data."""
        return "float32" if self.precision == "bfloat16" else self.precision


# -- studies ---------------------------------------------------------------------------------------


class Search(Settings):
    """Which settings are best?"""

    sampler: AnySampler = "tpe"
    """Which settings are tried; it changes no outcome of any."""
    trials: Trainings = 64
    batch: Trainings = 16
    """Trials proposed together; they train as one fleet where shapes allow."""
    leaders: Trainings = 3
    """The best so many are trained again on fresh seeds before a winner is named."""
    seeds: Seeds = 5
    """Fresh seeds for each leader."""


class Ablate(Settings):
    """Which parts matter?"""

    parts: Parts = "all"
    """Names as ``winnow check`` prints them."""
    modules: Names = ()
    """Modules of the model, by their dotted name."""
    seeds: Seeds = 10
    smallest_effect: NonNegative = 0.005
    """Differences of the score below this do not matter to the user."""
    confidence: Annotated[float, Field(gt=0.5, lt=1, strict=True)] = 0.95
    accept: Literal["shown", "mean"] = "shown"
    """Parts go where fresh seeds show no loss above smallest_effect.

    ``mean``: where the mean of fresh seeds shows none, which claims less.
    """


class Final(Settings):
    """The last training, on seeds that chose nothing."""

    seeds: Seeds = 5


class Compress(Settings):
    """How small may it get?"""

    methods: tuple[AnyCompressor, ...] = ("int8",)
    """What is tried, in this order; the best that keeps the budgets ships, else float32."""
    budget: NonNegative = 0.01
    """Largest loss of the score on validation rows that is accepted; of rmse and mae as a share."""
    log_loss_budget: NonNegative = 0.02
    """Classifiers: largest rise of the log loss, in nats; for the metric log_loss: budget."""
    prefer: Literal["speed", "size"] = "speed"
    """``speed``: it must be faster than float32; ``size``: smaller is enough."""

    @model_validator(mode="before")
    @classmethod
    def _int8_is_a_method(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "int8" in value:
            now = "[int8]" if value["int8"] else "[]"
            message = f"unknown setting - int8 is one of the methods now: methods: {now}"
            raise RecipeError(Problem("int8", message))
        return value

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for i, method in enumerate(self.methods):
            if method in self.methods[:i]:
                name = method if isinstance(method, str) else repr(method)
                raise RecipeError(Problem(f"methods[{i}]", f"{name} is tried already"))
        return self
