"""Models that were trained for a moment, and what compression found about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from winnow.bundle import export_onnx
from winnow.compression import CompressionResult, LatencyTiming, _compress, compress_module
from winnow.data import PreparedData, prepare
from winnow.methods import ExportedModel
from winnow.recipe import Data

QUICK = LatencyTiming(seconds=0.2, min_samples=20, min_rounds=6, warm_up=2)


@dataclass(frozen=True)
class Model:
    """A trained module and its rows."""

    module: nn.Module
    prepared: PreparedData

    def compressed(self, metric: str, *, budget: float, **more: Any) -> CompressionResult:
        """What compression finds about it in a short time."""
        settings = {"metric": metric, "budget": budget, "timing": QUICK, **more}
        return compress_module(self.module, self.prepared, **settings)

    def exported(self, onnx: bytes, *, rows: Any = None) -> ExportedModel:
        """What a compressor gets."""
        rows = self.prepared.train.X if rows is None else rows
        return ExportedModel(onnx, rows, self.module)


class LastStep(nn.Module):
    """An LSTM over the columns as steps."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, 24, batch_first=True)
        self.head = nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x.unsqueeze(-1))[0][:, -1])


def fit(module: nn.Module, prepared: PreparedData, *, epochs: int, lr: float = 0.01) -> Model:
    X, y = prepared.tensors("train")
    optimizer = torch.optim.AdamW(module.parameters(), lr)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(64):
            output = module.train()(X[rows])
            squared = (
                (output[:, 0] - y[rows]).square().mean() if prepared.task == "regression" else None
            )
            loss = nn.functional.cross_entropy(output, y[rows]) if squared is None else squared
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Model(module.eval(), prepared)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def exports() -> Iterator[None]:
    """The same model is exported once: most tests are about what comes after."""
    known: dict[str, bytes] = {}

    def export(module: nn.Module, in_shape: tuple[int, ...], *, example: np.ndarray) -> bytes:
        key = hashlib.sha256(
            repr(module).encode()
            + b"".join(t.numpy().tobytes() for t in module.state_dict().values())
        ).hexdigest()
        if key not in known:
            known[key] = export_onnx(module, in_shape, example=example)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compress, "export_onnx", export)
        yield


@pytest.fixture(scope="session")
def mlp(one_thread: None) -> Model:
    """Regression of diabetes by a perceptron."""
    torch.manual_seed(0)
    prepared = prepare(Data(source="sklearn:diabetes"))
    return fit(
        nn.Sequential(
            nn.Linear(10, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, 1),
        ),
        prepared,
        epochs=4,
    )


@pytest.fixture(scope="session")
def convnet(one_thread: None) -> Model:
    """Classification of digits by a convolutional net."""
    torch.manual_seed(0)
    prepared = prepare(Data(source="sklearn:digits", shape=(1, 8, 8)))
    module = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )
    return fit(module, prepared, epochs=3)


@pytest.fixture(scope="session")
def lstm(one_thread: None) -> Model:
    """Classification of iris by a recurrent net."""
    torch.manual_seed(0)
    return fit(LastStep(3), prepare(Data(source="sklearn:iris")), epochs=20)


@pytest.fixture(scope="session")
def onnx_of_convnet(exports: None, convnet: Model) -> bytes:
    return _compress.export_onnx(
        convnet.module, convnet.prepared.in_shape, example=convnet.prepared.validation.X
    )


@pytest.fixture(scope="session")
def onnx_of_mlp(exports: None, mlp: Model) -> bytes:
    return _compress.export_onnx(
        mlp.module, mlp.prepared.in_shape, example=mlp.prepared.validation.X
    )


@pytest.fixture(scope="session")
def onnx_of_lstm(exports: None, lstm: Model) -> bytes:
    return _compress.export_onnx(
        lstm.module, lstm.prepared.in_shape, example=lstm.prepared.validation.X
    )


@pytest.fixture(scope="session")
def compressed(exports: None, convnet: Model) -> CompressionResult:
    return convnet.compressed("accuracy", budget=0.05, log_loss_budget=0.1, prefer="size")
