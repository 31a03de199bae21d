"""The predicted peak of a fleet against what training it takes: by the allocator's own record,
and by the process's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile

from winnow.data import PreparedData, Rows, prepare
from winnow.methods import SGD, AdamW
from winnow.recipe import Data, Model, Train, Variant
from winnow.training import Footprint, footprint, train_fleet
from winnow.training._memory import _HighWater
from winnow.training._stack import stacking


class Pictures(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(24, 16, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * 16, 10),
        )


class Series(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(8, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x.view(-1, 8, 8))[0][:, -1])


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Linear(8, 32), nn.Linear(32, 10)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(x.view(-1, 8, 8))).mean(dim=1))


MODELS = {
    "mlp": Model("mlp", width=256, depth=2),
    "convnet": Model("tests.training.test_memory:Pictures"),
    "lstm": Model("tests.training.test_memory:Series"),
    "transformer": Model("tests.training.test_memory:Attentive"),
}
OPTIMIZERS = {"sgd": SGD(momentum=0.9), "adamw": AdamW()}


@pytest.fixture(scope="module")
def rows() -> PreparedData:
    return prepare(Data(source="sklearn:digits"))


def fleet(model: Model, members: int, **train: Any) -> list[Variant]:
    settings = Train(**{"epochs": 1, "batch_size": 256, "dropout": 0.1, **train})
    data = Data(source="sklearn:digits")
    return [
        Variant(data=data, model=model, train=settings, metric="accuracy", seed=i)
        for i in range(members)
    ]


def first_rows(rows: PreparedData, n: int) -> PreparedData:
    part = rows.train
    assert isinstance(part, Rows)
    return PreparedData(
        Rows(part.X[:n], part.y[:n], part.index[:n]),
        rows.validation,
        rows.test,
        rows.preparation,
        rows.source,
        rows.digest,
    )


def predict(variants: list[Variant], prepared: PreparedData) -> Footprint:
    with stacking():
        return footprint(variants[0], prepared, stacked=len(variants) > 1)


def allocated(variants: list[Variant], prepared: PreparedData, **how: Any) -> int:
    """Bytes that PyTorch's allocator had given out at the most, by its own record."""
    with profile(profile_memory=True) as record:
        train_fleet(variants, prepared, **how)
    now = peak = 0
    assert record.kineto_results is not None
    for event in sorted(record.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_the_peak_of_a_fleet_is_foretold(model: str, optimizer: str, rows: PreparedData) -> None:
    variants = fleet(MODELS[model], 8, optimizer=OPTIMIZERS[optimizer])
    rows.tensors("train"), rows.tensors("validation")  # made once, and no fleet's
    assert predict(variants, rows).peak_bytes(8) == pytest.approx(
        allocated(variants, rows), rel=0.05
    )


def test_the_module_that_lends_its_forward_pass_counts_once(rows: PreparedData) -> None:
    few = first_rows(rows, 64)
    variants = fleet(Model("mlp", width=512, depth=3), 3)
    few.tensors("train"), few.tensors("validation")
    found = predict(variants, few)
    assert found.peak_bytes(3) == pytest.approx(allocated(variants, few), rel=0.03)
    assert found.skeleton_bytes > 0.05 * found.peak_bytes(3)


@pytest.mark.parametrize("model", ["mlp", "convnet", "transformer"])
def test_the_peak_of_one_alone_is_foretold(model: str, rows: PreparedData) -> None:
    variants = fleet(MODELS[model], 1, optimizer=AdamW(), batch_size=1000)
    rows.tensors("train"), rows.tensors("validation")
    assert predict(variants, rows).peak_bytes(1) == pytest.approx(
        allocated(variants, rows), rel=0.2
    )


def test_a_validation_that_is_larger_than_a_step_counts(rows: PreparedData) -> None:
    variants = fleet(MODELS["transformer"], 8, batch_size=2)
    few = first_rows(rows, 8)
    few.tensors("train"), few.tensors("validation")
    found = predict(variants, few)
    assert found.peak_bytes(8) > 8 * (
        found.program_bytes + found.module_bytes + 2 * found.step_bytes
    )
    assert found.peak_bytes(8) == pytest.approx(allocated(variants, few), rel=0.05)


def test_leaving_and_checkpoints_take_a_copy(rows: PreparedData, tmp_path: Path) -> None:
    wide = Model("mlp", width=512, depth=3)
    some = fleet(wide, 12, optimizer=AdamW())
    rows = first_rows(rows, 64)
    variants = [
        v.model_copy(update={"train": v.train.model_copy(update={"epochs": 2 + (v.seed > 0)})})
        for v in some
    ]
    rows.tensors("train"), rows.tensors("validation")
    found = predict(variants, rows)
    assert found.peak_bytes(12, leaving=True) == pytest.approx(allocated(variants, rows), rel=0.1)
    place = tmp_path / "fleet.safetensors"
    written = allocated(variants, rows, checkpoint=place, checkpoint_seconds=0.0)
    assert found.peak_bytes(12, checkpoints=True) == pytest.approx(written, rel=0.1)
    assert (
        found.peak_bytes(12)
        < found.peak_bytes(12, leaving=True)
        < found.peak_bytes(12, checkpoints=True)
    )


def test_the_mark_stands_at_the_most_that_lived_at_once() -> None:
    with _HighWater() as held:
        first = torch.zeros(1000)
        second = first + 1
        view = second.view(10, 100)
        view.mul_(2)
        del first
        assert held.now == 4000
        third = torch.cat([view, view])
        del second, view
    assert held.peak == 12000
    assert held.now == third.numel() * 4


def test_sparse_tensors_are_passed_by() -> None:
    with _HighWater() as held:
        eye = torch.eye(100).to_sparse()
        product = torch.sparse.mm(eye, torch.ones(100, 10))
    assert held.peak >= 40000
    assert product.sum() == 1000


def test_a_footprint_changes_nothing(rows: PreparedData) -> None:
    state = torch.get_rng_state()
    x = np.copy(rows.tensors("train")[0].numpy())
    predict(fleet(MODELS["convnet"], 2), rows)
    predict(fleet(MODELS["convnet"], 1), rows)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(x, rows.tensors("train")[0].numpy())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_the_process_grows_as_foretold(model: str, optimizer: str, rows: PreparedData) -> None:
    """The resident memory of a process of its own, which is what a machine runs out of. With a
    threshold that is set, the C library gives what is freed back to the system; by itself it keeps
    up to as much again in its heap.
    """
    code = "from tests.training.test_memory import grow; grow()"
    done = subprocess.run(
        [sys.executable, "-c", code, model, optimizer],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={
            "OMP_NUM_THREADS": "1",
            "MALLOC_MMAP_THRESHOLD_": "131072",
            "PYTHONPATH": ":".join(p for p in sys.path if p),
        },
    )
    found = json.loads(done.stdout)
    assert found["foretold"] == pytest.approx(found["grown"], rel=0.2)


def grow() -> None:
    """In a process of its own: train a fleet of 32 and print by how much the process grew
    meanwhile, at the most.
    """
    model, optimizer = sys.argv[1:]
    prepared = prepare(Data(source="sklearn:digits"))
    variants = fleet(MODELS[model], 32, optimizer=OPTIMIZERS[optimizer], batch_size=256)
    train_fleet(variants[:2], prepared)  # code and data are loaded
    foretold = predict(variants, prepared).peak_bytes(32)
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    train_fleet(variants, prepared)
    print(json.dumps({"foretold": foretold, "grown": _resident("VmHWM") - before}))


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
