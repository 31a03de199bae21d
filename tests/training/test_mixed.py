"""Mixed precision: bfloat16 in the forward and backward pass, float32 in all else. Its unit of
rounding is 2 ** -8.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import architectures
from tests.training.test_checkpoint import Killed, kill_at
from tests.training.test_fleet import DATA, SETTINGS, variant
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from winnow.data import PreparedData, prepare
from winnow.errors import ModelError
from winnow.methods import SGD, AdamW, Batch, Cosine
from winnow.models import build
from winnow.recipe import Model, derive_seed
from winnow.training import probe, train_fleet
from winnow.training._build import build_members
from winnow.training._make_methods import make_methods
from winnow.training._mixed import mixed_precision
from winnow.training._probe import _one_step
from winnow.training._stack import stacking
from winnow.training._stacked import StackedProgram

EPS = 2**-8


def _has_recurrent() -> bool:
    """Whether this processor computes an LSTM in bfloat16: oneDNN has no such primitive for
    some.
    """
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        try:
            nn.LSTM(2, 2)(torch.zeros(1, 1, 2))
        except RuntimeError as error:
            if "primitive" not in str(error):
                raise
            return False
    return True


NO_RECURRENT = pytest.mark.skipif(
    not _has_recurrent(), reason="oneDNN has no LSTM in bfloat16 for this processor"
)
STACKABLE = [
    pytest.param(model, marks=NO_RECURRENT if "Recurrent" in model.__name__ else ())
    for model in architectures.STACKABLE
]


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(DATA)


@pytest.mark.parametrize("model", STACKABLE, ids=lambda m: m.__name__)
def test_a_member_equals_its_solo_run_to_the_precision(
    model: type[nn.Module], prepared: PreparedData
) -> None:
    """Six steps. Where a sum is rounded differs between the programs: an activation by one unit at
    most, and a loss, which is a mean over many of them, by less; two units are allowed to it for
    what six steps make of it.
    """
    variants = [
        variant(model, seed=i, **{**own, "precision": "bfloat16", "epochs": 2})
        for i, own in enumerate(SETTINGS)
    ]
    assert probe(variants[0], prepared).reason is None
    for together, one in zip(train_fleet(variants, prepared), variants, strict=True):
        assert together.outcome.fleet == "stacked x 4"
        alone = train_fleet([one], prepared)[0]
        for name in ("train_loss", "validation_loss"):
            np.testing.assert_allclose(
                together.outcome.curves[name],
                alone.outcome.curves[name],
                rtol=2 * EPS,
                err_msg=name,
            )
        for weights in (together.weights, alone.weights):
            assert {t.dtype for t in (weights or {}).values()} <= {torch.float32, torch.int64}


@pytest.mark.parametrize(
    "model", [architectures.Normed, architectures.Convolutional, architectures.Transposed]
)
def test_alone_equals_a_hand_written_autocast_loop(
    model: type[nn.Module], prepared: PreparedData
) -> None:
    one = variant(
        model,
        seed=3,
        precision="bfloat16",
        epochs=2,
        dropout=0.0,
        optimizer=AdamW(lr=0.01),
        schedule=Cosine(),
        clip_norm=0.5,
    )
    module = build(one.model, in_shape=(12,), out_features=3, seed=one.seed)
    for layer in module.modules():
        if isinstance(layer, nn.Dropout | nn.Dropout2d):
            layer.p = 0.0
    x, y = prepared.tensors("train", torch.float32)
    steps = len(x) // 16
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2 * steps)
    losses, validation = [], []
    for epoch in range(2):
        module.train()
        order = torch.randperm(
            len(x), generator=torch.Generator().manual_seed(derive_seed(3, "order", epoch))
        )
        for rows in order.split(16)[:steps]:
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                outputs = module(x[rows])
            loss = nn.functional.cross_entropy(outputs.float(), y[rows])
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        module.eval()
        xv, yv = prepared.tensors("validation", torch.float32)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = module(xv)
        validation.append(nn.functional.cross_entropy(outputs.float(), yv).item())
    found = train_fleet([one], prepared)[0].outcome
    # the same operations but for float32 rounding in the update, which now and then turns a
    # weight's bfloat16 value over
    np.testing.assert_allclose(
        found.curves["train_loss"], np.reshape(losses, (2, -1)).mean(axis=1), rtol=EPS / 4
    )
    np.testing.assert_allclose(found.curves["validation_loss"], validation, rtol=EPS / 4)
    full = one.model_copy(update={"train": one.train.model_copy(update={"precision": "float32"})})
    assert (
        train_fleet([full], prepared)[0].outcome.curves["train_loss"] != found.curves["train_loss"]
    )


class _Heavy(TorchDispatchMode):
    """Writes down the types of what goes into matrix products and convolutions, backward ones
    too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()
        self.count = 0

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in (
            "mm",
            "bmm",
            "addmm",
            "baddbmm",
            "convolution",
            "convolution_backward",
        ):
            self.types |= {a.dtype for a in args if isinstance(a, Tensor)}
            self.count += 1
        return func(*args, **(kwargs or {}))


HEAVY = [
    architectures.Plain,
    architectures.Convolutional,
    architectures.Transposed,
    architectures.Recurrent,
    architectures.Transformer,
    architectures.Attended,
]


@pytest.mark.parametrize("model", HEAVY, ids=lambda m: m.__name__)
def test_the_heavy_operations_of_a_stack_run_in_bfloat16(
    model: type[nn.Module], prepared: PreparedData
) -> None:
    pair = [variant(model, seed=i, precision="bfloat16") for i in range(2)]
    x, y = prepared.tensors("train", torch.float32)
    with stacking():
        program = StackedProgram(
            build_members(pair, prepared), make_methods(pair, prepared.task, torch.float32)
        )
        with _Heavy() as heavy:
            _one_step(program, Batch(x[:8], y[:8]), pair, prepared)
            program.predict(x[:8])
    assert heavy.count > 4
    assert heavy.types == {torch.bfloat16}
    assert {t.dtype for t in program.tensors().values()} <= {
        torch.float32,
        torch.int32,
        torch.int64,
    }


@pytest.mark.parametrize("model", STACKABLE, ids=lambda m: m.__name__)
def test_casting_above_is_autocast(model: type[nn.Module], prepared: PreparedData) -> None:
    """Without ``vmap`` the casts for stacks give autocast's own outputs, but for the last bit
    of what norms reckon.
    """
    torch.manual_seed(0)
    module = build(Model(model), in_shape=(12,), out_features=3, seed=0).eval()
    x = (
        prepared.tensors("train", torch.float32)[0].clone().requires_grad_()
    )  # no fused attention for inference, which fails under autocast
    with mixed_precision(x.device, casts_above=True):
        found = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = module(x)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(
        found, expected, rtol=0, atol=EPS * float(expected.detach().abs().max())
    )


class Strict(nn.Module):
    """Multiplies by a routine that takes float32 only."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        if h.dtype != torch.float32:
            raise TypeError("float32 expected")
        return self.b(h)


def test_a_model_that_fails_under_autocast_is_refused_with_the_way_out(
    prepared: PreparedData,
) -> None:
    message = (
        r"fails with train.precision 'bfloat16', under torch.autocast: TypeError: float32 "
        r"expected; set .* to 'float32'"
    )
    with pytest.raises(ModelError, match=message):
        probe(variant(Strict, precision="bfloat16"), prepared)


@pytest.mark.parametrize("members", [1, 3])
def test_a_killed_fleet_goes_on_to_the_same_bits(
    members: int, prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = [
        variant(architectures.Normed, seed=i, precision="bfloat16", optimizer=SGD(lr=0.1))
        for i in range(members)
    ]
    unbroken = train_fleet(variants, prepared)
    place = tmp_path / "fleet.safetensors"
    with monkeypatch.context() as patch:
        kill_at(patch, 8)
        with pytest.raises(Killed):
            train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0)
    for a, b in zip(train_fleet(variants, prepared, checkpoint=place), unbroken, strict=True):
        assert all(torch.equal(t, (b.weights or {})[n]) for n, t in (a.weights or {}).items())
