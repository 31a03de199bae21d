"""Exports are held against eager PyTorch, in a session that the test opens itself."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from winnow.bundle import _onnx, export_onnx, inference_copy, measure_parity, quiet
from winnow.bundle._ready_onnx import convert_ready
from winnow.errors import ModelError
from winnow.models import MLP, switch_off


class LastStep(nn.Module):
    """An LSTM that answers from its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(5, 12, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.rnn(x)
        return self.head(steps[:, -1])


class Attention(nn.Module):
    """A transformer encoder over seven steps."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 16)
        self.place = nn.Parameter(torch.randn(7, 16))
        layer = nn.TransformerEncoderLayer(
            16, 2, 32, dropout=0.1, batch_first=True, activation="gelu"
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x) + self.place).mean(dim=1))


class Branchy(nn.Module):
    """Two branches, a skip, a gate and batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.GELU())
        self.right = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.SiLU())
        self.gate = nn.Linear(8, 8)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        left, right = self.left(x) + x, self.right(x) * gate
        return self.head(torch.cat([left, torch.where(right > 0, right, 0.1 * right)], dim=1))


class Tokens(nn.Module):
    """An embedding: only whole numbers from 0 to 9 make sense."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embedding(x.long()).flatten(1))


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)
    )


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding="same", groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


ARCHITECTURES = {
    "mlp": (mlp, (8,)),
    "convnet": (convnet, (1, 8, 8)),
    "lstm": (LastStep, (7, 5)),
    "attention": (Attention, (7, 5)),
    "branchy": (Branchy, (8,)),
    "tokens": (Tokens, (3,)),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_export_equals_pytorch_at_any_batch_size(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    build, shape = ARCHITECTURES[name]
    torch.manual_seed(1)
    module = build()
    rng = np.random.default_rng(2)
    rows = (
        rng.integers(0, 10, (130, *shape))
        if name == "tokens"
        else rng.standard_normal((130, *shape))
    )
    rows = rows.astype(np.float32)
    module.train()(torch.from_numpy(rows))  # batch norms and dropouts are left in training mode
    before = {key: value.clone() for key, value in module.state_dict().items()}

    content = export_onnx(module, shape, example=rows[:20])

    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert all(m.training for m in module.modules())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    module.eval()
    with torch.inference_mode():
        for size in (1, 2, 3, 7, 64, 130):
            expected = module(torch.from_numpy(rows[:size])).numpy()
            np.testing.assert_allclose(
                session.run(["y"], {"x": rows[:size]})[0], expected, rtol=1e-4, atol=1e-5
            )


READY_MLPS = [
    {"activation": "relu", "norm": "none", "residual": False},
    {"activation": "gelu", "norm": "batch", "residual": True},
    {"activation": "tanh", "norm": "layer", "residual": False},
    {"activation": "silu", "norm": "layer", "residual": True},
]


def ready_mlp(in_shape: tuple[int, ...], **settings: Any) -> MLP:
    """With running statistics and affine parameters of norms that are not those of the
    beginning.
    """
    torch.manual_seed(3)
    module = MLP(in_shape, 3, width=16, depth=3, **settings)
    with torch.no_grad():
        for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.LayerNorm)):
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.normal_()
        module.train()(torch.randn(64, *in_shape) * 3 + 1)
    return module


@pytest.mark.parametrize("settings", READY_MLPS, ids=lambda s: f"{s['activation']}-{s['norm']}")
@pytest.mark.parametrize("shape", [(8,), (2, 4)])
def test_a_ready_mlp_is_written_without_the_exporter_and_equals_pytorch(
    settings: dict[str, Any], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the exporter was called")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    module = ready_mlp(shape, **settings)
    rows = np.random.default_rng(4).standard_normal((130, *shape)).astype(np.float32)
    content = export_onnx(module, shape)
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    module.eval()
    with torch.inference_mode():
        for size in (1, 7, 130):
            expected = module(torch.from_numpy(rows[:size])).numpy()
            np.testing.assert_allclose(
                session.run(["y"], {"x": rows[:size]})[0], expected, rtol=1e-4, atol=1e-5
            )


def _doubled(_: nn.Module, __: object, output: Tensor) -> Tensor:
    return 2 * output


@pytest.mark.parametrize("change", ["hook", "switched off", "parametrized"])
def test_a_ready_mlp_with_something_else_in_it_goes_to_the_exporter(change: str) -> None:
    module = ready_mlp((8,), **READY_MLPS[0])
    if change == "hook":
        module.get_submodule("block2").register_forward_hook(_doubled)
    elif change == "switched off":
        switch_off(module, ("block2", "block1.activation"), in_shape=(8,))
    else:
        nn.utils.parametrizations.weight_norm(module.head)
    assert convert_ready(inference_copy(module), (8,)) is None
    rows = np.random.default_rng(4).standard_normal((7, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        export_onnx(module, (8,)), providers=["CPUExecutionProvider"]
    )
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(session.run(["y"], {"x": rows})[0], expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def exported() -> tuple[nn.Module, bytes]:
    torch.manual_seed(0)
    module = mlp().eval()
    return module, export_onnx(module, (8,))


def test_an_export_is_one_file_and_says_nothing_of_this_machine(
    exported: tuple[nn.Module, bytes],
) -> None:
    module, content = exported
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)

    assert [i.name for i in model.graph.input] == ["x"]
    assert [o.name for o in model.graph.output] == ["y"]
    assert not any(onnx.external_data_helper.uses_external_data(t) for t in model.graph.initializer)
    for trace in (Path(__file__).name, "site-packages", str(Path.cwd())):
        assert trace.encode() not in content
    assert len(content) < 4 * sum(p.numel() for p in module.parameters()) + 2000


def test_parity_is_tiny_for_the_same_weights(exported: tuple[nn.Module, bytes]) -> None:
    module, content = exported

    parity = measure_parity(module, content, (8,), example=np.ones((3, 8), dtype=np.float32))

    assert parity.holds
    assert parity.worst < 1e-5
    assert parity.rows == ("random", "real")
    assert parity.batch_sizes == (1, 2, 7, 64)


def test_parity_finds_the_worst_difference(exported: tuple[nn.Module, bytes]) -> None:
    module, content = exported
    other = inference_copy(module)
    with torch.no_grad():
        other[-1].bias[1] += 0.25

    parity = measure_parity(other, content, (8,))

    assert not parity.holds
    assert parity.worst == pytest.approx(0.25, abs=1e-5)


def test_a_wrong_export_is_refused_with_the_worst_difference(
    exported: tuple[nn.Module, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, content = exported
    other = inference_copy(module)
    with torch.no_grad():
        other[-1].bias[1] += 0.25
    monkeypatch.setattr(_onnx, "_convert", lambda *_: content)

    with pytest.raises(
        ModelError,
        match=r"does not compute what PyTorch computes: outputs differ by up to 0\.25 \(batch size",
    ):
        export_onnx(other, (8,))


def test_outputs_that_are_nan_in_one_only_are_a_difference(
    exported: tuple[nn.Module, bytes],
) -> None:
    module, content = exported
    other = inference_copy(module)
    with torch.no_grad():
        other[-1].bias[1] = torch.nan

    assert measure_parity(other, content, (8,)).worst == np.inf


def test_a_double_precision_model_is_exported_in_single_precision() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 3)).double()

    content = export_onnx(module, (4,))

    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    (y,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )
    assert y.dtype == np.float32
    assert module[0].weight.dtype == torch.float64
    np.testing.assert_allclose(
        y, module(torch.from_numpy(x).double()).detach().numpy(), rtol=1e-5, atol=1e-6
    )


# -- what cannot be exported -----------------------------------------------------------------------


class Inside(nn.Module):
    """Holds the part at fault two levels down."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), part)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class BranchOnValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


class NoSuchOperator(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


class Squeezed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze()


class FixedBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 8)


class NotATensor(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "scores"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            BranchOnValues(),
            r"cannot export .*module `body\.1` \(Branch.* at test_onnx\.py:\d+: `if x\.sum\(\) > "
            r"0:`.*torch\.where",
        ),
        (NoSuchOperator(), r"cannot export .*module `body\.1`.*operator `prims\.bessel_j0`"),
        (
            Squeezed(),
            r"expected an output \(batch, \.\.\.\) = \(1, \.\.\.\), the model gave \(8,\)",
        ),
        (FixedBatch(), r"the model fails on 1 rows"),
        (
            NotATensor(),
            r"expected an output \(batch, \.\.\.\) = \(2, \.\.\.\), the model gave str",
        ),
        (
            nn.Linear(3, 3),
            r"the model fails on 2 rows \(2, 8\): mat1 and mat2 shapes cannot be multiplied",
        ),
    ],
    ids=["branch", "operator", "squeezed", "fixed batch", "no tensor", "shapes"],
)
def test_what_cannot_be_exported_is_named(
    part: nn.Module, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match=message):
        export_onnx(Inside(part), (8,))
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    module = nn.Linear(2, 2)
    module.lock = open(__file__)  # noqa: SIM115
    try:
        with pytest.raises(ModelError, match="cannot copy Linear for export"):
            inference_copy(module)
    finally:
        module.lock.close()


# -- quiet -----------------------------------------------------------------------------------------


def test_quiet_hides_everything_and_puts_everything_back(capfd: pytest.CaptureFixture[str]) -> None:
    handlers, level, filters = (
        list(logging.root.handlers),
        logging.root.manager.disable,
        list(warnings.filters),
    )

    with quiet():
        print("out")
        warnings.warn("unheard", UserWarning, stacklevel=1)
        logging.root.handlers.clear()
        logging.warning("adds a handler to the root logger, unasked")

    assert (logging.root.handlers, logging.root.manager.disable, warnings.filters) == (
        handlers,
        level,
        filters,
    )
    printed = capfd.readouterr()
    assert not re.search("out|unheard|unasked", printed.out + printed.err)


def test_quiet_lets_errors_through() -> None:
    with pytest.raises(KeyError, match="heard"), quiet():
        raise KeyError("heard")
