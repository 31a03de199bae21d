"""Small trained-looking models over iris and diabetes, and bundles of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from winnow import bundle
from winnow.data import PreparedData, prepare
from winnow.recipe import Data


@dataclass(frozen=True)
class Example:
    """A model, its data and its export."""

    module: nn.Module
    prepared: PreparedData
    onnx: bytes

    def save(self, path: Path, **more: Any) -> Path:
        facts: dict[str, Any] = {
            "onnx": self.onnx,
            "kind": "fp32",
            "preparation": self.prepared.preparation,
            "weights": self.module.state_dict(),
            "metric": "accuracy",
            "recipe_yaml": "name: example\n",
        }
        return bundle.save(path, **{**facts, **more})

    def outputs(self, part: str = "test") -> torch.Tensor:
        """Eager PyTorch's outputs on the prepared rows."""
        with torch.inference_mode():
            return self.module.eval()(self.prepared.tensors(part)[0])  # type: ignore[arg-type, no-any-return]


def make(source: str) -> Example:
    torch.manual_seed(0)
    prepared = prepare(Data(source=source))
    module = nn.Sequential(
        nn.Linear(*prepared.in_shape, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(16, prepared.out_features),
    )
    module(prepared.tensors("train")[0])  # batch norm has seen data
    return Example(module, prepared, bundle.export_onnx(module, prepared.in_shape))


@pytest.fixture(scope="session")
def iris() -> Example:
    return make("sklearn:iris")


@pytest.fixture(scope="session")
def diabetes() -> Example:
    return make("sklearn:diabetes")


@pytest.fixture
def saved(iris: Example, tmp_path: Path) -> Path:
    """A bundle on the disk, free to be damaged."""
    return iris.save(tmp_path / "iris.winnow")


@pytest.fixture
def record(iris: Example) -> Callable[..., dict[str, float]]:
    """One iris, as a record."""
    names = [column["name"] for column in iris.prepared.preparation.schema]
    return lambda *values: dict(zip(names, values or (5.1, 3.5, 1.4, 0.2), strict=True))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
