"""Several losses added up, outputs and targets by name, row weights and teachers, against loops
written by hand.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

from winnow import AuxiliaryLoss, Data, Log, Model, Recipe
from winnow.data import PreparedData, prepare
from winnow.errors import DataError, ModelError, RecipeError
from winnow.methods import LAMB, MSE, SGD, AdamW, BaseLoss, Batch, Distillation, Mixup
from winnow.models import build
from winnow.pipeline import check
from winnow.recipe import Loss, Start, Train, Variant, derive_seed
from winnow.testing import check_loss
from winnow.training import MemberResult, check_methods, methods_key, probe, train_fleet, try_losses

ROWS, FEATURES, CLASSES, BATCH = 90, 4, 3, 16


class TwoHeads(nn.Module):
    """Classes, and beside them a quantity of the features."""

    def __init__(self, in_features: int, num_classes: int, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Linear(in_features, width)
        self.norm = nn.BatchNorm1d(width)
        self.head, self.sum = nn.Linear(width, num_classes), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.norm(self.body(x)))
        return {"sum": self.sum(hidden), "logits": self.head(hidden)}


class SumOfFeatures(BaseLoss):
    """A second task whose truth is read off the inputs."""

    @classmethod
    def of_batch(cls, outputs: Any, batch: Batch) -> Tensor:
        return (outputs["sum"].squeeze(-1) - batch.inputs.sum(dim=-1)).square()


class Total(BaseLoss):
    """No loss of each row."""

    @staticmethod
    def per_row(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum(dim=(1, 2))


class FiveClasses(nn.Module):
    size = 5

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, self.size)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class OneClass(FiveClasses):
    size = 1


class Plain(nn.Module):
    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, 8), nn.Tanh(), nn.Linear(8, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, FEATURES))
Y = np.digitize(X @ RNG.normal(size=FEATURES), [-0.5, 0.5])
DATA = Data.arrays(X, Y, task="classification")


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(DATA)


def variant(model: type[nn.Module] = TwoHeads, seed: int = 0, **train: Any) -> Variant:
    settings = {
        "epochs": 4,
        "batch_size": BATCH,
        "precision": "float64",
        "optimizer": SGD(lr=0.1),
        **train,
    }
    return Variant(
        data=DATA, model=Model(model), train=Train(**settings), metric="accuracy", seed=seed
    )


def loop(of: Variant, rows: PreparedData, loss: Any, weights: Tensor | None = None) -> nn.Module:
    """The same training with plain PyTorch. ``loss``: of outputs, inputs and targets, by row."""
    module = build(of.model, in_shape=(FEATURES,), out_features=CLASSES, seed=of.seed).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    x, y = rows.tensors("train", torch.float64)
    for epoch in range(of.train.epochs):
        order = torch.randperm(
            len(x), generator=torch.Generator().manual_seed(derive_seed(of.seed, "order", epoch))
        )
        for batch in order.split(BATCH)[: len(x) // BATCH]:
            optimizer.zero_grad()
            each = loss(module(x[batch]), x[batch], y[batch])
            (each if weights is None else each * weights[batch]).mean().backward()
            optimizer.step()
    return module


def same_weights(found: MemberResult, expected: nn.Module, tolerance: float = 1e-9) -> None:
    assert found.weights is not None
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.weights[name], tensor, rtol=tolerance, atol=tolerance)


AUXILIARY = AuxiliaryLoss("sum", SumOfFeatures(), weight=0.3)


def test_losses_add_up_as_in_a_hand_written_loop(prepared: PreparedData) -> None:
    one = variant(auxiliary_losses=[AUXILIARY])
    found = train_fleet([one], prepared)[0]

    def loss(outputs: Any, x: Tensor, y: Tensor) -> Tensor:
        total = F.cross_entropy(outputs["logits"], y, reduction="none")
        return total + 0.3 * (outputs["sum"].squeeze(-1) - x.sum(dim=-1)).square()

    epochs = found.outcome.best_epoch + 1
    shorter = one.model_copy(update={"train": one.train.model_copy(update={"epochs": epochs})})
    same_weights(found, loop(shorter, prepared, loss))
    curves = found.outcome.curves
    parts = np.array(curves["train_loss.sum"])
    assert (parts > 0).all()
    assert (parts < np.array(curves["train_loss"])).all()


def test_members_of_other_weights_equal_their_solo_runs(prepared: PreparedData) -> None:
    fleet = [
        variant(seed=i, auxiliary_losses=[AUXILIARY.model_copy(update={"weight": weight})])
        for i, weight in enumerate((0.1, 0.3, 2.0))
    ]
    assert probe(fleet[1], prepared).reason is None
    for compiled in (False, True):
        together = train_fleet(fleet, prepared, compiled=compiled)
        for found, one in zip(together, fleet, strict=True):
            alone = train_fleet([one], prepared)[0]
            assert found.outcome.best_epoch == alone.outcome.best_epoch
            for name, tensor in (alone.weights or {}).items():
                torch.testing.assert_close(
                    (found.weights or {})[name], tensor, rtol=1e-9, atol=1e-9
                )


def test_a_loss_without_weight_changes_nothing(prepared: PreparedData) -> None:
    with_none = train_fleet([variant()], prepared)[0]
    off = variant(auxiliary_losses=[AUXILIARY.model_copy(update={"weight": 0.0})])
    found = train_fleet([off], prepared)[0]
    assert found.outcome.predictions_digest == with_none.outcome.predictions_digest


class NotANumber(BaseLoss):
    @classmethod
    def of_batch(cls, outputs: Any, batch: Batch) -> Tensor:
        return (outputs["sum"].squeeze(-1) * 0).log() * 0  # of the logarithm of 0


def test_a_member_without_weight_is_in_no_fleet_with_others() -> None:
    """Nothing times 0 makes a loss that is not finite 0; and a solo run has no such curve."""
    off, on, more = (
        Train(auxiliary_losses=[AuxiliaryLoss("bad", NotANumber(), weight=weight)])
        for weight in (0.0, 0.5, 1.0)
    )
    assert methods_key(off) != methods_key(on)
    assert methods_key(on) == methods_key(more)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            {"auxiliary_losses": [AuxiliaryLoss("depth", MSE(), output="deep", target="deep")]},
            r"auxiliary_losses.depth.output.*'deep'",
        ),
        (
            {"auxiliary_losses": [AuxiliaryLoss("depth", output="logits", target="deep")]},
            r"auxiliary_losses.depth.target.*'deep'",
        ),
        (
            {"auxiliary_losses": [AuxiliaryLoss("few", output="sum")]},
            r"auxiliary_losses.few: CrossEntropy fails on outputs of shape sum",
        ),
        (
            {"auxiliary_losses": [AuxiliaryLoss("sum", MSE(), output="sum")]},
            r"auxiliary_losses.sum.loss: 'mse' is not for the main target",
        ),
        ({"loss": Total()}, r"train.loss: Total gives \(1,\) .* a number for each row"),
        (
            {
                "loss": Distillation(),
                "teacher": Model("mlp", width=4, start=Start(weights="no.pt")),
            },
            r"train.teacher: model.start.weights: 'no.pt' cannot be read",
        ),
        (
            {"loss": Distillation(), "teacher": Model(FiveClasses)},
            r"train.teacher: gives \(5,\) for a row, and the model gives \(3,\)",
        ),
        (
            {"loss": Distillation(), "teacher": Model(OneClass)},  # would be broadcast
            r"train.teacher: gives \(1,\) for a row, and the model gives \(3,\)",
        ),
    ],
)
def test_losses_that_do_not_fit_are_told_before_training(train: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check(Recipe(data=DATA, model=Model(TwoHeads), train=train))


def test_a_loss_of_classes_is_not_for_the_target_of_a_regression() -> None:
    train = {"auxiliary_losses": [AuxiliaryLoss("more", "cross_entropy")]}
    with pytest.raises(RecipeError, match=r"auxiliary_losses.more.loss: 'cross_entropy' is not"):
        Recipe(data=Data.arrays(X, X[:, 0], task="regression"), model=Model("mlp"), train=train)


def test_outputs_go_by_their_path(prepared: PreparedData) -> None:
    twice = AuxiliaryLoss("again", "cross_entropy", output="logits", weight=1.0)
    found = train_fleet([variant(auxiliary_losses=[twice])], prepared)[0]
    curves = found.outcome.curves
    np.testing.assert_allclose(
        2 * np.array(curves["train_loss.again"]), curves["train_loss"], rtol=1e-12
    )
    wrong = variant(auxiliary_losses=[AuxiliaryLoss("depth", MSE(), output="deep")])
    with pytest.raises(ModelError, match=r"auxiliary_losses.depth.output.*'deep'.*sum, logits"):
        train_fleet([wrong], prepared)


# -- teachers --------------------------------------------------------------------------------------


def test_distillation_is_the_divergence_of_softened_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 5, 3, generator=generator, dtype=torch.float64)
    t = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    batch = Batch(None, torch.zeros(2, 5, dtype=torch.int64), teacher=teacher)
    found = Distillation.of_batch(student, batch, temperature=t)
    for i in range(2):
        expected = F.kl_div(
            F.log_softmax(student[i] / t[i], -1),
            F.log_softmax(teacher[i] / t[i], -1),
            log_target=True,
            reduction="none",
        ).sum(-1)
        torch.testing.assert_close(found[i], t[i] ** 2 * expected)


def test_a_student_learns_what_a_loop_teaches_it(prepared: PreparedData) -> None:
    said = AuxiliaryLoss("teacher", Distillation(temperature=2.0), weight=0.7)
    one = variant(Plain, seed=3, auxiliary_losses=[said], teacher=Model(TwoHeads, width=5))
    found = train_fleet([one], prepared)[0]
    master = build(Model(TwoHeads, width=5), in_shape=(FEATURES,), out_features=CLASSES, seed=0)
    master.double().eval()

    def loss(outputs: Tensor, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            log_p = F.log_softmax(master(x)["logits"] / 2, -1)
        log_q = F.log_softmax(outputs / 2, -1)
        said = 4 * F.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)
        return F.cross_entropy(outputs, y, reduction="none") + 0.7 * said

    epochs = found.outcome.best_epoch + 1
    shorter = one.model_copy(update={"train": one.train.model_copy(update={"epochs": epochs})})
    same_weights(found, loop(shorter, prepared, loss))


def test_members_hear_a_teacher_as_alone_also_on_mixed_rows(prepared: PreparedData) -> None:
    said = AuxiliaryLoss("teacher", Distillation(), weight=0.7)
    more: dict[str, Any] = {
        "auxiliary_losses": [said],
        "teacher": Model(Plain),
        "augment": [Mixup(alpha=0.4)],
    }
    fleet = [variant(Plain, seed=i, **more) for i in range(3)]
    for found, one in zip(train_fleet(fleet, prepared), fleet, strict=True):
        alone = train_fleet([one], prepared)[0]
        for name, tensor in (alone.weights or {}).items():
            torch.testing.assert_close((found.weights or {})[name], tensor, rtol=1e-9, atol=1e-9)


def test_a_teacher_is_asked_for_where_one_is_heard() -> None:
    with pytest.raises(ModelError, match=r"train.loss: Distillation needs a teacher"):
        check_methods(Train(loss=Distillation()), "classification")
    with pytest.raises(RecipeError, match=r"teacher.*args.width.*cannot be a range"):
        Train(teacher=Model(TwoHeads, width=Log(2, 8)))


class Watcher(Plain):
    """Remembers how PyTorch's generator was seeded when it was asked."""

    seen: ClassVar[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(torch.initial_seed())
        return super().forward(x)


class Unsteady(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand_like(x[:, :1])


def test_a_teacher_leaves_the_global_generator_alone(prepared: PreparedData) -> None:
    """Another thread may be building its members from it at that moment."""
    said = AuxiliaryLoss("teacher", Distillation(), weight=0.7)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4711)
        train_fleet([variant(Plain, auxiliary_losses=[said], teacher=Model(Watcher))], prepared)
    assert len(Watcher.seen) > 4
    assert set(Watcher.seen) == {4711}


def test_a_teacher_that_draws_is_refused(prepared: PreparedData) -> None:
    said = AuxiliaryLoss("teacher", Distillation(), weight=0.7)
    with pytest.raises(ModelError, match=r"train.teacher: .*draws random numbers"):
        train_fleet([variant(Plain, auxiliary_losses=[said], teacher=Model(Unsteady))], prepared)


def test_another_teacher_is_another_training() -> None:
    said = AuxiliaryLoss("teacher", Distillation(), weight=0.7)
    plain, wide = (
        variant(Plain, auxiliary_losses=[said], teacher=Model(TwoHeads, width=width))
        for width in (5, 6)
    )
    assert plain.id != wide.id


def test_losses_keep_the_contract() -> None:
    check_loss(Distillation())


# -- weights of rows -------------------------------------------------------------------------------


def test_rows_count_by_their_weights_as_in_a_hand_written_loop() -> None:
    weights = np.random.default_rng(1).uniform(0, 3, size=ROWS)
    of = Data.arrays(np.column_stack([X, weights]), Y, weights="x4", task="classification")
    rows = prepare(of)
    assert rows.in_shape == (FEATURES,)
    train = weights[rows.train.index]  # type: ignore[union-attr]
    own = rows.train.weights  # type: ignore[union-attr]
    np.testing.assert_allclose(own, train / train.mean(), rtol=1e-6)
    one = variant(Plain, seed=1).model_copy(update={"data": of})
    found = train_fleet([one], rows)[0]

    def loss(outputs: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs, y, reduction="none")

    epochs = found.outcome.best_epoch + 1
    shorter = one.model_copy(update={"train": one.train.model_copy(update={"epochs": epochs})})
    same_weights(found, loop(shorter, rows, loss, torch.tensor(own).double()))
    fleet = [one.model_copy(update={"seed": seed}) for seed in range(3)]
    for together in train_fleet(fleet, rows):
        alone = train_fleet([together.variant], rows)[0]
        for name, tensor in (alone.weights or {}).items():
            torch.testing.assert_close((together.weights or {})[name], tensor, rtol=1e-9, atol=1e-9)


def test_equal_weights_change_nothing(prepared: PreparedData) -> None:
    of = Data.arrays(
        np.column_stack([X, np.full(ROWS, 2.0)]), Y, weights="x4", task="classification"
    )
    found = train_fleet([variant(Plain).model_copy(update={"data": of})], prepare(of))[0]
    plain = train_fleet([variant(Plain)], prepared)[0]
    assert found.outcome.predictions_digest == plain.outcome.predictions_digest


def test_mixed_rows_count_by_both_weights() -> None:
    """Cross-entropy is linear in its targets, so the loss of a mixed row is the weighted sum."""
    generator = torch.Generator().manual_seed(0)
    x, out = torch.randn(2, 1, 6, 3, generator=generator, dtype=torch.float64)
    w = torch.rand(1, 6, generator=generator, dtype=torch.float64)
    y = F.one_hot(torch.randint(0, 3, (1, 6), generator=generator), 3).double()
    alpha = torch.tensor([[0.5]], dtype=torch.float64)
    mixed = Mixup.of_batch(
        Batch(x, y, w), lambda *_: torch.full((1,), 0.3, dtype=torch.float64), alpha=alpha
    )
    share = scipy.stats.beta(0.5, 0.5).ppf(0.3)
    each = -(mixed.targets * out.log_softmax(-1)).sum(-1) * mixed.weights
    own = -(y * out.log_softmax(-1)).sum(-1)
    other = -(y.flip(1) * out.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(each, share * w * own + (1 - share) * w.flip(1) * other)
    torch.testing.assert_close(mixed.inputs, share * x + (1 - share) * x.flip(1))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.linspace(-1, 1, ROWS), r"a number >= 0 in every row of 'x4'.*got -1 in row 0"),
        (np.zeros(ROWS), "and one above 0"),
    ],
)
def test_weights_that_are_none_are_refused(column: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(Data.arrays(np.column_stack([X, column]), Y, weights="x4"))


def test_dates_are_no_weights() -> None:
    frame = pl.DataFrame({"x": X[:, 0], "y": Y}).with_columns(
        pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 3, 30), eager=True).alias("day")
    )
    with pytest.raises(DataError, match=r"data.weights: expected a number.*'day'.*, got dates"):
        prepare(Data.frame(frame, "y", weights="day"))


def test_a_column_of_weights_that_is_not_there_is_told() -> None:
    with pytest.raises(DataError, match=r"data.weights: no column 'x5' - known: x0"):
        prepare(Data.arrays(X, Y, weights="x5"))


# -- given weights, frozen parts -------------------------------------------------------------------


def test_training_goes_on_from_given_weights_with_a_frozen_body(prepared: PreparedData) -> None:
    before = train_fleet([variant(TwoHeads, seed=9)], prepared)[0].weights
    assert before is not None
    start = Start(weights=before, fresh=("head",), frozen=("body", "norm", "sum"))

    def begun(seed: int) -> Variant:
        return variant(seed=seed).model_copy(update={"model": Model(TwoHeads, start=start)})

    fleet = [begun(seed) for seed in range(3)]
    assert probe(fleet[0], prepared).reason is None
    for found in train_fleet(fleet, prepared):
        assert found.weights is not None
        for name, tensor in before.items():
            if not name.startswith("head"):  # the running means too
                begun_with = tensor.float().to(tensor)  # a module is built in single precision
                assert torch.equal(found.weights[name], begun_with), name
        epochs = found.outcome.best_epoch + 1
        module = build(
            found.variant.model,
            in_shape=(FEATURES,),
            out_features=CLASSES,
            seed=found.variant.seed,
        ).double()
        module.eval()  # its only mode matters for the frozen norm
        head = [p for p in module.parameters() if p.requires_grad]
        assert len(head) == 2
        optimizer = torch.optim.SGD(head, lr=0.1, momentum=0.9)
        x, y = prepared.tensors("train", torch.float64)
        for epoch in range(epochs):
            key = derive_seed(found.variant.seed, "order", epoch)
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(key))
            for batch in order.split(BATCH)[: len(x) // BATCH]:
                optimizer.zero_grad()
                F.cross_entropy(module(x[batch])["logits"], y[batch]).backward()
                optimizer.step()
        same_weights(found, module)


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1), AdamW(lr=0.01), LAMB(lr=0.01)])
def test_masked_weights_stay_zero_as_pruned_ones_do(optimizer: Any, prepared: PreparedData) -> None:
    mask = (torch.rand(8, FEATURES, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    start = Start(masks={"body.weight": mask})
    fleet = [
        variant(seed=seed, optimizer=optimizer, clip_norm=0.5).model_copy(
            update={"model": Model(TwoHeads, start=start)}
        )
        for seed in range(3)
    ]
    assert probe(fleet[0], prepared).reason is None
    plain = train_fleet([variant(optimizer=optimizer, clip_norm=0.5)], prepared)[0]
    for compiled in (False, True) if optimizer.kind == "sgd" else (False,):
        for found in train_fleet(fleet, prepared, compiled=compiled):
            alone = train_fleet([found.variant], prepared)[0]
            for name, tensor in (alone.weights or {}).items():
                torch.testing.assert_close(
                    (found.weights or {})[name], tensor, rtol=1e-9, atol=1e-9
                )
            weight = (found.weights or {})["body.weight"]
            assert bool((weight[mask == 0] == 0).all())
            assert bool((weight[mask == 1] != 0).all())
            assert not torch.equal(weight, (plain.weights or {})["body.weight"])
    if optimizer.kind != "sgd":
        return
    found = train_fleet(fleet[:1], prepared)[0]
    module = build(Model(TwoHeads), in_shape=(FEATURES,), out_features=CLASSES, seed=0).double()
    prune.custom_from_mask(module.body, "weight", mask)  # type: ignore[no-untyped-call]
    torch_optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    x, y = prepared.tensors("train", torch.float64)
    for epoch in range(found.outcome.best_epoch + 1):
        key = derive_seed(0, "order", epoch)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(key))
        for batch in order.split(BATCH)[: len(x) // BATCH]:
            torch_optimizer.zero_grad()
            F.cross_entropy(module(x[batch])["logits"], y[batch]).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            torch_optimizer.step()
    prune.remove(module.body, "weight")  # type: ignore[no-untyped-call]
    same_weights(found, module)


# -- in a recipe -----------------------------------------------------------------------------------


def test_the_weight_is_searched_and_the_loss_is_a_part() -> None:
    recipe = Recipe(
        data=DATA,
        model=Model(TwoHeads),
        train={"auxiliary_losses": [AuxiliaryLoss("sum", SumOfFeatures(), weight=Log(0.1, 1.0))]},
    )
    assert "train.auxiliary_losses.sum.weight" in recipe.ranges()
    assert recipe.parts()["loss.sum"].what == "auxiliary loss sum"
    assert recipe.without("loss.sum").train.auxiliary_losses == ()


def test_names_differ() -> None:
    with pytest.raises(RecipeError, match="'sum' twice"):
        Train(auxiliary_losses=[AUXILIARY, AUXILIARY])


def test_the_start_is_a_part() -> None:
    start = Start(frozen=("body",))
    recipe = Recipe(data=DATA, model=Model(TwoHeads, start=start))
    assert recipe.parts()["start"].what == "the weights that the model begins from"
    assert recipe.without("start").model.start is None


def test_a_loss_of_a_whole_batch_takes_no_weights_of_rows(prepared: PreparedData) -> None:
    of = Data.arrays(np.column_stack([X, np.linspace(1, 2, ROWS)]), Y, weights="x4")
    weighted, rows = variant(Plain, loss=Loss(nn.CrossEntropyLoss)), prepare(of)
    module = build(weighted.model, in_shape=(FEATURES,), out_features=CLASSES, seed=0)
    try_losses(weighted, module, prepared)
    with pytest.raises(ModelError, match=r"one number for a whole batch.*reduction: none"):
        try_losses(weighted, module, rows)
    by_row = variant(Plain, loss=Loss(nn.CrossEntropyLoss, reduction="none"))
    try_losses(by_row, module, rows)
