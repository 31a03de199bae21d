"""Every method of winnow keeps the contract of its family, and the checks see who does not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import winnow.methods
from winnow.methods import (
    AUGMENTS,
    AVERAGINGS,
    COMPRESSORS,
    EMA,
    GRADIENT_RULES,
    L1,
    L2,
    LOSSES,
    OPTIMIZERS,
    PENALTIES,
    SAMPLERS,
    SCALERS,
    SCHEDULES,
    SGD,
    STEPS,
    STOPPINGS,
    SWA,
    AdamW,
    BaseAugment,
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
    Batch,
    ClipNorm,
    Compressed,
    Curves,
    ExportedModel,
    Float16,
    Function,
    Keep,
    Linear,
    Lion,
    NotCompressed,
    settings_at,
)
from winnow.metrics import Accuracy, BaseMetric, ClassRows, Targets
from winnow.testing import (
    check_augment,
    check_averaging,
    check_compressor,
    check_gradient_rule,
    check_loss,
    check_metric,
    check_optimizer,
    check_penalty,
    check_sampler,
    check_scaler,
    check_schedule,
    check_step,
    check_stopping,
)

CHECKS: list[tuple[tuple[type[Any], ...], Callable[[Any], None]]] = [
    (OPTIMIZERS, check_optimizer),
    (LOSSES, check_loss),
    (SCHEDULES, check_schedule),
    (PENALTIES, check_penalty),
    (GRADIENT_RULES, check_gradient_rule),
    (AUGMENTS, check_augment),
    (AVERAGINGS, check_averaging),
    (SAMPLERS, check_sampler),
    (SCALERS, check_scaler),
    (COMPRESSORS, check_compressor),
    (STEPS, check_step),
    (STOPPINGS, check_stopping),
]
# settings at which a method does something, where its defaults are those of "off"
ON: dict[type[BaseMethod], BaseMethod] = {
    L1: L1(strength=0.1),
    L2: L2(strength=0.1),
    ClipNorm: ClipNorm(max_norm=0.1),
    EMA: EMA(decay=0.9),
    SWA: SWA(start=0.3),
}


@pytest.mark.parametrize(
    ("method", "check"),
    [(method, check) for family, check in CHECKS for method in family],
    ids=lambda value: value.__name__,
)
def test_a_method_keeps_its_contract(
    method: type[BaseMethod], check: Callable[[Any], None]
) -> None:
    check(ON.get(method) or method())


def test_every_family_has_a_check() -> None:
    offered = [getattr(winnow.methods, name) for name in winnow.methods.__all__]
    families = [value for value in offered if isinstance(value, tuple)]

    assert sorted(map(str, families)) == sorted(str(family) for family, _ in CHECKS)


# -- methods that break it -------------------------------------------------------------------------


class Broken(BaseOptimizer):
    """Descent; each subclass breaks one thing."""

    elementwise = True

    lr: float = 0.05

    @staticmethod
    def update_(
        param: Tensor, grad: Tensor, state: dict[str, Tensor], *, lr: Tensor, number: Tensor
    ) -> None:
        param.sub_(lr * grad)


class StillDescent(Broken):
    @staticmethod
    def update_(
        param: Tensor, grad: Tensor, state: dict[str, Tensor], *, lr: Tensor, number: Tensor
    ) -> None:
        param = param - lr * grad


class FlatState(Broken):
    @classmethod
    def init(cls, params: Any) -> dict[str, dict[str, Tensor]]:
        return {name: {"count": torch.zeros(1)} for name in params}


class NewState(Broken):
    slots = ("momentum",)

    @staticmethod
    def update_(
        param: Tensor, grad: Tensor, state: dict[str, Tensor], *, lr: Tensor, number: Tensor
    ) -> None:
        state["momentum"] = 0.9 * state["momentum"] + grad
        param.sub_(lr * state["momentum"])


class SharedNorm(Broken):
    elementwise = False

    @staticmethod
    def update_(
        param: Tensor, grad: Tensor, state: dict[str, Tensor], *, lr: Tensor, number: Tensor
    ) -> None:
        param.sub_(lr * grad / grad.norm())


class LayerNorm(Broken):
    @staticmethod
    def update_(
        param: Tensor, grad: Tensor, state: dict[str, Tensor], *, lr: Tensor, number: Tensor
    ) -> None:
        param.sub_(lr * grad / grad.flatten(1).norm(dim=1).view(-1, *[1] * (grad.dim() - 1)))


class HiddenMemory(Broken):
    """It remembers outside of its state, which no fleet can drop or copy."""

    @staticmethod
    def update_(
        param: Tensor, grad: Tensor, state: dict[str, Tensor], *, lr: Tensor, number: Tensor
    ) -> None:
        shape = param.shape[1:]
        before = HIDDEN.get((shape, int(number) - 1), grad)
        HIDDEN[(shape, int(number))] = grad.clone()
        rows = min(len(before), len(grad))
        param.sub_(lr * grad)
        param[:rows] -= lr[:rows] * before[:rows]


HIDDEN: dict[Any, Tensor] = {}  # by shape and step


class Looks(Broken):
    @staticmethod
    def update_(
        param: Tensor, grad: Tensor, state: dict[str, Tensor], *, lr: Tensor, number: Tensor
    ) -> None:
        if float(number) > 0:
            param.sub_(lr * grad)


class Idle(Broken):
    decay: float = 0.1

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: dict[str, Tensor],
        *,
        lr: Tensor,
        decay: Tensor,
        number: Tensor,
    ) -> None:
        param.sub_(lr * grad)


class NotNeutral(Idle):
    neutral = {"decay": 0.0}  # noqa: RUF012

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: dict[str, Tensor],
        *,
        lr: Tensor,
        decay: Tensor | None = None,
        number: Tensor,
    ) -> None:
        param.mul_(0.9 if decay is None else 1 - decay).sub_(lr * grad)


class Raises(Broken):
    beta: float = 0.9


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (StillDescent(), "does not change parameters in place, and has no effect"),
        (FlatState(), r"its state 'count' is of shape \(1,\) for 3 members"),
        (NewState(), r"gives its state \['momentum'\] as another tensor"),
        (SharedNorm(), "steps of member 0 of 3 give other parameters than its steps alone"),
        (LayerNorm(), "says that it is elementwise, and gives other parameters"),
        (HiddenMemory(), "its state does not hold all that it remembers"),
        (Looks(), "it says that it compiles, and its step looks at values"),
        (Idle(), "its setting 'decay' has no effect on a training"),
        (NotNeutral(), "decay 0, which is said to be neutral, gives other steps"),
        (Raises(), "raises TypeError: .*unexpected keyword argument 'beta'"),
        (SGD, "expected a BaseOptimizer with its settings, got the class SGD"),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_an_optimizer_that_breaks_its_contract_is_told(optimizer: Any, words: str) -> None:
    HIDDEN.clear()
    with pytest.raises(AssertionError, match=words) as caught:
        check_optimizer(optimizer)
    assert len(str(caught.value).splitlines()) == 1


def test_settings_that_are_given_are_kept() -> None:
    check_optimizer(AdamW(lr=0.02, beta1=0.5, weight_decay=0.3))
    check_optimizer(Lion(lr=0.01, weight_decay=0.1))
    check_optimizer(SGD(lr=0.05, nesterov=True, weight_decay=0.1))


class OneNumber(BaseLoss):
    task = "classification"

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets_VB: Tensor) -> Tensor:
        return outputs_VBC.square().mean(dim=(1, 2))


class ZeroOne(BaseLoss):
    task = "classification"

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets_VB: Tensor) -> Tensor:
        return (outputs_VBC.argmax(dim=-1) != targets_VB).double()


class Overflow(BaseLoss):
    task = "regression"

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets_VB: Tensor) -> Tensor:
        return ((outputs_VBC.squeeze(-1) - targets_VB).square() * 10).exp()


class Mixed(BaseLoss):
    task = "regression"

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets_VB: Tensor) -> Tensor:
        errors_VB = (outputs_VBC.squeeze(-1) - targets_VB).square()
        return errors_VB * errors_VB.mean()


class IdleLoss(BaseLoss):
    task = "regression"
    delta: float = 1.0

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets_VB: Tensor, *, delta: Tensor) -> Tensor:
        return (outputs_VBC.squeeze(-1) - targets_VB).square()


class NearOnly(BaseLoss):
    """One that reads the inputs: rows that lie far out count less."""

    task = "regression"
    reach: float = 1.0

    @classmethod
    def of_batch(cls, outputs: Tensor, batch: Batch, *, reach: Tensor) -> Tensor:
        distance_VB = batch.inputs.square().mean(dim=2)
        return (outputs.squeeze(-1) - batch.targets).square() * torch.exp(-distance_VB / reach)


class ByName(BaseLoss):
    """One for outputs with names, which a check has not."""

    task = "regression"

    @classmethod
    def of_batch(cls, outputs: Any, batch: Batch) -> Tensor:
        return (outputs["size"].squeeze(-1) - batch.targets).square()


def test_a_loss_that_reads_the_inputs_keeps_its_contract() -> None:
    check_loss(NearOnly(reach=2.0))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (ByName(), "ByName: of_batch raises IndexError"),
        (OneNumber(), r"per_row gives shape \(3,\) for 3 members and 6 rows"),
        (ZeroOne(), "cannot be differentiated"),
        (Overflow(), "not finite for outputs of size 30"),
        (Mixed(), "per_row of member 0 of 3 is another than alone"),
        (IdleLoss(), "its setting 'delta' has no effect on the loss"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_loss_that_breaks_its_contract_is_told(loss: BaseLoss, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_loss(loss)


CALLS = itertools.count(1)


class Course(BaseSchedule):
    course: str = "short"

    def factors(self, num_steps: int) -> np.ndarray:
        steps = np.arange(num_steps, dtype=float)
        return {
            "short": steps[1:],
            "below": 1 - steps,
            "infinite": np.append(steps[1:], np.inf),
            "zero": 0 * steps,
            "another": steps + next(CALLS),
        }[self.course]


@pytest.mark.parametrize(
    ("course", "words"),
    [
        ("short", r"factors\(1\) is of shape \(0,\), and must be of shape \(1,\)"),
        ("infinite", r"factors\(1\) is not finite everywhere"),
        ("below", r"factors\(3\) is below 0"),
        ("zero", r"factors\(3\) is 0 at every step"),
        ("another", r"factors\(1\) is another at the second call"),
    ],
)
def test_a_schedule_that_breaks_its_contract_is_told(course: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_schedule(Course(course=course))


class Everywhere(BasePenalty):
    strength: float = 0.1

    @staticmethod
    def add_gradient_(grad: Tensor, param: Tensor, where: Any, *, strength: Tensor) -> None:
        grad.add_(strength * param)


class Overwrites(BasePenalty):
    strength: float = 0.1

    @staticmethod
    def add_gradient_(grad: Tensor, param: Tensor, where: Any, *, strength: Tensor) -> None:
        grad.copy_(strength * param * where)


class NoPenalty(BasePenalty):
    strength: float = 0.1

    @staticmethod
    def add_gradient_(grad: Tensor, param: Tensor, where: Any, *, strength: Tensor) -> None:
        grad = grad + strength * param * where


class RowsLaidFlat(BasePenalty):
    elementwise = True
    strength: float = 0.1

    @staticmethod
    def add_gradient_(grad: Tensor, param: Tensor, where: Any, *, strength: Tensor) -> None:
        grad.add_(strength * where * param / param.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize(
    ("penalty", "words"),
    [
        (Everywhere(), "adds a gradient where it does not apply"),
        (Overwrites(), "depends on the gradient that is there already"),
        (NoPenalty(), "adds nothing to the gradient in place"),
        (RowsLaidFlat(), "says that it is elementwise, and adds another gradient"),
        (L1(), "adds nothing to the gradient in place"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_penalty_that_breaks_its_contract_is_told(penalty: BasePenalty, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_penalty(penalty)


class ByPiece(BaseGradientRule):
    max_norm: float = 0.1

    @staticmethod
    def apply_(grads: Any, *, max_norm: Tensor) -> None:
        for grad in grads:
            grad.mul_(max_norm / grad.norm(dim=1, keepdim=True))


class OverMembers(BaseGradientRule):
    max_norm: float = 0.1

    @staticmethod
    def apply_(grads: Any, *, max_norm: Tensor) -> None:
        norm = torch.cat(list(grads), dim=1).norm()
        for grad in grads:
            grad.mul_(max_norm / norm)


class Returns(BaseGradientRule):
    max_norm: float = 0.1

    @staticmethod
    def apply_(grads: Any, *, max_norm: Tensor) -> Any:
        return [grad * max_norm for grad in grads]


class Shrinks(BaseGradientRule):
    neutral = {"by": 0.0}  # noqa: RUF012
    by: float = 0.1

    @staticmethod
    def apply_(grads: Any, *, by: Tensor) -> None:
        for grad in grads:
            grad.mul_(0.5 - by)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (ByPiece(), "in one piece comes out differently than in several"),
        (OverMembers(), "the gradient of member 0 of 3 comes out differently than alone"),
        (Returns(), "does not change the gradient in place"),
        (Shrinks(), "changes the gradient at its neutral settings"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_gradient_rule_that_breaks_its_contract_is_told(
    rule: BaseGradientRule, words: str
) -> None:
    with pytest.raises(AssertionError, match=words):
        check_gradient_rule(rule)


class OwnDraws(BaseAugment):
    @staticmethod
    def apply(x_VBF: Tensor, targets: Tensor, uniform: Any) -> tuple[Tensor, Tensor]:
        return x_VBF + torch.rand_like(x_VBF), targets


class InPlace(BaseAugment):
    @staticmethod
    def apply(x_VBF: Tensor, targets: Tensor, uniform: Any) -> tuple[Tensor, Tensor]:
        return x_VBF.mul_(2), targets


class SharedDraws(BaseAugment):
    @staticmethod
    def apply(x_VBF: Tensor, targets: Tensor, uniform: Any) -> tuple[Tensor, Tensor]:
        return x_VBF + uniform(*x_VBF.shape[1:]).mean(dim=0), targets


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        (OwnDraws(), "random numbers come from `uniform` alone"),
        (InPlace(), "in place"),
        (SharedDraws(), "gets another batch than alone"),
    ],
)
def test_an_augmentation_that_breaks_its_contract_is_told(augment: BaseAugment, words: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_augment(augment)
    assert words in str(caught.value)


class Proposes(BaseSampler):
    """Random points, but for one fault."""

    fault: str = ""

    def propose(self, n: int, *, space: Any, tried: Any, seed: int, start: int) -> Any:
        first = {"ignores start": 0, "calls": next(CALLS)}.get(self.fault, start)
        points = np.random.default_rng([seed, first]).random((n, len(space)))
        found = [settings_at(space, point) for point in points]
        if self.fault == "outside":
            found[0]["train.dropout"] = 0.9
        elif self.fault == "unknown":
            found[0]["train.epochs"] = 3
        elif self.fault == "conditions":
            found = [{**values, "train.optimizer.sgd.lr": 0.1} for values in found]
        elif self.fault == "many":
            found *= 2
        elif self.fault == "clears":
            tried.clear()
        return found


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("ignores start", "the same settings again in round 2"),
        ("calls", "other settings for the same arguments"),
        ("outside", "gives train.dropout 0.9, which is not in"),
        ("unknown", r"gives \['train.epochs'\], which are no open settings"),
        ("conditions", "gives train.optimizer.sgd.lr, which does not apply"),
        ("many", "gives 16 settings where 8 were asked for"),
        ("clears", "changes what was tried"),
    ],
)
def test_a_sampler_that_breaks_its_contract_is_told(fault: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_sampler(Proposes(fault=fault))


def test_a_sampler_of_a_users_own_keeps_its_contract() -> None:
    check_sampler(Proposes())


class NoClass(BaseLoss):
    """Of soft targets it sees only the last class."""

    task = "classification"
    soft_targets = True

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets_VB: Tensor) -> Tensor:
        is_soft = targets_VB.is_floating_point()
        right = targets_VB[..., -1].long() if is_soft else targets_VB
        return -outputs_VBC.log_softmax(-1).gather(-1, right.unsqueeze(-1)).squeeze(-1)


def test_soft_targets_mean_what_classes_mean() -> None:
    with pytest.raises(AssertionError, match="1 for a class is another than of the class"):
        check_loss(NoClass())


class Scales(BaseScaler):
    """By the deviation, but for one fault."""

    fault: str = ""
    unit: float = 1.0

    def fit(self, chunks: Any) -> Any:
        parts = list(chunks)
        X = parts[0] if self.fault == "first part" else np.concatenate(parts)
        spread = X.std(axis=0)
        if self.fault != "constant":
            spread[spread == 0] = 1.0
        unit = 1.0 if self.fault == "idle" else self.unit
        drift = next(CALLS) if self.fault == "calls" else 0.0
        found: list[Any] = [
            Linear(m + drift, s * unit) for m, s in zip(X.mean(0), spread, strict=True)
        ]
        if self.fault == "one less":
            return found[1:]
        if self.fault == "identity":
            return [Linear() for _ in found]
        return [s.scale for s in found] if self.fault == "numbers" else found


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("first part", "something else of the same rows in three parts"),
        ("constant", "fit raises ValueError: .*a finite scale other than 0"),
        ("idle", "its setting 'unit' has no effect"),
        ("calls", "something else of the same rows the second time"),
        ("one less", "learns 3 scalings from 4 columns"),
        ("identity", "leaves every column as it is"),
        ("numbers", "learns a float, and must learn a Linear or a Curve"),
    ],
)
def test_a_scaler_that_breaks_its_contract_is_told(fault: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_scaler(Scales(fault=fault))


def test_a_scaler_of_a_users_own_keeps_its_contract() -> None:
    check_scaler(Scales(unit=2.0))


class Picks(BaseStep):
    """The first features, but for one fault."""

    fault: str = ""
    count: int = 5

    def learn(self, features_NF: Any, names: Any, targets_N: Any) -> Any:
        if self.fault == "writes":
            features_NF[0] = 0
        if self.fault == "writes beneath":
            features_NF.base[0] = 0
        if self.fault == "one task" and targets_N.dtype.kind == "f":
            raise TypeError("classes only")
        if self.fault == "function":
            return lambda rows: rows
        if self.fault == "identity":
            return Function("cos") if self.count > 5 else Curves([Linear()] * len(names))
        count = 5 if self.fault == "idle" else self.count
        start = next(CALLS) % 7 if self.fault == "calls" else 0
        found = Keep(range(start, start + count))
        return [found, Keep([0, 0])] if self.fault == "twice" else found


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("writes", "learn for a classification raises ValueError: .*read-only"),
        ("writes beneath", "learn writes into what it learns from"),
        ("one task", "learn for a regression raises TypeError: classes only"),
        ("function", r"raises ValueError: expected operations \(Keep, .*got a function"),
        ("identity", "leaves every row as it is"),
        ("idle", "its setting 'count' has no effect"),
        ("calls", "something else of the same rows the second time"),
        ("twice", "two of its features are called 'feature 0'"),
    ],
)
def test_a_step_that_breaks_its_contract_is_told(fault: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_step(Picks(fault=fault))


def test_a_step_of_a_users_own_keeps_its_contract() -> None:
    check_step(Picks(count=3))


class Halves(BaseCompressor):
    """16-bit weights, but for one fault."""

    fault: str = ""
    unused: float = 1.0

    def compress(self, model: ExportedModel) -> Any:
        if self.fault == "module":
            next(model.original.parameters()).data.mul_(2)
        if self.fault == "nothing":
            return NotCompressed("nothing_to_change", "it is small already")
        if self.fault == "silent":
            return NotCompressed("failed", "")
        made = Float16().compress(model)
        assert isinstance(made, Compressed)
        if self.fault == "bytes":
            return made.onnx
        if self.fault == "share":
            return Compressed(made.onnx, share=0.0)
        if self.fault == "torn":
            return Compressed(made.onnx[:-50])
        if self.fault == "another":
            return made if next(CALLS) % 2 else Compressed(model.onnx)
        return made


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("module", r"changes the trained module; model.module\(\) gives a copy"),
        ("nothing", r"makes nothing of this model \(it is small already\): give one"),
        ("silent", "does not say why it made nothing"),
        ("bytes", "gives a bytes, and must give a Compressed or a NotCompressed"),
        ("share", r"share is 0, and must be in \(0, 1\]"),
        ("torn", "ONNX Runtime, with 1 rows as input 'x', raises InvalidProtobuf"),
        ("another", "makes another model of the same one the second time"),
        ("", "its setting 'unused' has no effect"),
    ],
)
def test_a_compressor_that_breaks_its_contract_is_told(fault: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_compressor(Halves(fault=fault))


class Share(Accuracy):
    """Accuracy; each subclass breaks one thing."""


class Writes(Share):
    @staticmethod
    def value(y: Any, probabilities: Any) -> float:
        y.sort()
        return Accuracy.value(y, probabilities)


class NumPys(Share):
    @staticmethod
    def value(y: Any, probabilities: Any) -> Any:
        return np.mean(probabilities.argmax(axis=1) == y, dtype=np.float32)


class Percent(Share):
    @staticmethod
    def value(y: Any, probabilities: Any) -> float:
        return 100 * Accuracy.value(y, probabilities)


class FirstRows(Share):
    @staticmethod
    def value(y: Any, probabilities: Any) -> float:
        return Accuracy.value(y[:30], probabilities[:30])


class Upside(Share):
    higher_is_better = False


class OtherRows(Share):
    @staticmethod
    def per_row(y: Any, probabilities: Any) -> Any:
        return np.ones(len(y))


class HalfRows(Share):
    @staticmethod
    def per_row(y: Any, probabilities: Any) -> Any:
        return Accuracy.per_row(y, probabilities)[::2]


class OffCenter(Share):
    @classmethod
    def row_parts(cls, y: Any, probabilities: Any) -> Any:
        return Accuracy.per_row(y, probabilities)


class Pairs(Share):
    @staticmethod
    def pairs(y: Any, probabilities: Any) -> Any:
        return np.ones(len(y))


class NoRows(Share):
    @classmethod
    def effective_rows(cls, y: Any, probabilities: Any) -> float:
        return 0.0


class Constant(Share):
    @staticmethod
    def of_a_constant(y: Any) -> float:
        return 0.5


class Worthless(Share):
    @classmethod
    def row_worth(cls, rows: int, counts_HC: Any) -> float:
        return 1 / (2 * rows)


class MeanOfPieces(Share):
    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        return Accuracy.sums(rows) / len(rows.targets)


class OnePart(Share):
    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        return rows.right.sum(dim=1, keepdim=True).unsqueeze(-1)


class AllOfThem(Share):
    @staticmethod
    def from_sums(sums_VGK: Any, targets: Targets) -> Any:
        return sums_VGK[..., 0] / targets.rows.max()


class Whole(Share):
    added_up = False

    @classmethod
    def of_all_rows(cls, kept_VNK: Tensor, targets_N: Tensor) -> Tensor:
        return (kept_VNK.argmax(dim=-1) == 0).double().mean(dim=1)


class Undirected(BaseMetric):
    task = "regression"

    @staticmethod
    def value(y: Any, prediction: Any) -> float:
        return float(abs(y - prediction).max())


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (Writes, "Writes: value writes into what it is given"),
        (NumPys, "value gives a float32, no float"),
        (Percent, "lies beyond its bounds, 0 and 1"),
        (FirstRows, "another order of the rows gives another value"),
        (Upside, "lower is better, and what is perfect has 1, other predictions 0"),
        (OtherRows, "per_row does not make its value"),
        (HalfRows, r"per_row gives the shape \(45,\) for 90 rows"),
        (OffCenter, r"the mean of row_parts is 0\.\d+, and must be 0"),
        (Pairs, "pairs add up to 90, and twice its value is wanted"),
        (NoRows, "effective_rows is 0, and must be above 0"),
        (Constant, r"a constant has 0\.\d+, and of_a_constant says 0.5"),
        (Worthless, r"one row moves it by 0.0111\d*, and row_worth says 0.0055"),
        (MeanOfPieces, "a fleet that gets 2 classes 7 rows at a time finds"),
        (OnePart, r"sums gives \(3, 1, 1\) torch.float64 for 3 members and 2 parts"),
        (AllOfThem, "a fleet that gets 2 classes 1 rows at a time finds"),
        (Whole, "a fleet that gets 2 classes 90 rows at a time finds"),
        (Undirected, "it does not say its higher_is_better"),
        (Accuracy(), "expected a subclass of BaseMetric, got <"),
    ],
)
def test_a_metric_that_breaks_its_contract_is_told(metric: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_metric(metric)


def test_a_metric_that_another_computes_otherwise_is_told() -> None:
    with pytest.raises(AssertionError, match=r"on 2 classes, and the reference says 0\.5"):
        check_metric(Accuracy, lambda y, probabilities: 0.5)


def test_a_metric_of_a_users_own_keeps_its_contract() -> None:
    class Largest(Undirected):
        higher_is_better = False
        bounds = (0.0, float("inf"))

    check_metric(Largest)
