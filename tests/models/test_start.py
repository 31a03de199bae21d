"""What a model begins from: given weights, frozen parts, masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from winnow.errors import ModelError, RecipeError
from winnow.models import build, masks_of, to_training
from winnow.models._start import start_digest
from winnow.recipe import Model, Start


class Net(nn.Module):
    def __init__(self, in_features: int = 4, num_classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_features, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
        self.head = nn.Linear(6, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def made(start: Start | None, classes: int = 3, seed: int = 0) -> nn.Module:
    model = Model(Net, start=start)
    return build(model, in_shape=(4,), out_features=classes, seed=seed)


@pytest.fixture
def trained() -> nn.Module:
    torch.manual_seed(7)
    net = Net()
    net(torch.randn(5, 4))  # moves running means
    return net


@pytest.mark.parametrize("form", ["safetensors", "torch", "tensors", "module"])
def test_a_model_begins_with_the_weights_that_are_given(
    form: str, trained: nn.Module, tmp_path: Path
) -> None:
    given: Any = trained
    if form == "safetensors":
        given = str(tmp_path / "net.safetensors")
        save_file(trained.state_dict(), given)
    elif form == "torch":
        given = str(tmp_path / "net.pt")
        torch.save(trained.state_dict(), given)
    elif form == "tensors":
        given = trained.state_dict()
    found = made(Start(weights=given), seed=3).state_dict()
    assert found.keys() == trained.state_dict().keys()
    for name, tensor in trained.state_dict().items():
        assert torch.equal(found[name], tensor)


def test_a_fresh_head_keeps_what_the_seed_gave_it(trained: nn.Module) -> None:
    start = Start(weights=trained, fresh=("head",))
    found, plain = made(start, classes=5, seed=1), made(None, classes=5, seed=1)
    assert torch.equal(found.state_dict()["head.weight"], plain.state_dict()["head.weight"])
    assert torch.equal(found.state_dict()["body.0.weight"], trained.state_dict()["body.0.weight"])


@pytest.mark.parametrize(
    ("start", "classes", "message"),
    [
        ({"fresh": ("hed",)}, 3, r"start.fresh: the model has no 'hed' - did you mean 'head'"),
        ({}, 5, r"head.weight has shape \(3, 6\), and the model's has \(5, 6\).*start.fresh"),
        ({"frozen": ("bdy",)}, 3, r"start.frozen: the model has no 'bdy' - did you mean 'body'"),
    ],
)
def test_what_does_not_fit_is_refused(
    start: dict[str, Any], classes: int, message: str, trained: nn.Module
) -> None:
    with pytest.raises(ModelError, match=message):
        made(Start(weights=trained, **start), classes=classes)


def test_names_that_differ_are_told(trained: nn.Module) -> None:
    given = {n.replace("body", "bdoy"): t for n, t in trained.state_dict().items()}
    with pytest.raises(ModelError, match=r"body.0.weight is missing - did you mean 'bdoy.0.weight"):
        made(Start(weights=given))


@pytest.mark.parametrize("name", ["missing.safetensors", "broken.pt", "broken.safetensors"])
def test_files_that_cannot_be_read_are_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if "broken" in name:
        path.write_bytes(b"no tensors in here at all")
    with pytest.raises(ModelError, match=r"model.start.weights: .*cannot be read.*safetensors"):
        made(Start(weights=str(path)))


def test_a_pickle_of_code_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(Net(), path)  # a whole module, which needs its class to be run
    with pytest.raises(ModelError, match="cannot be read"):
        made(Start(weights=str(path)))


def test_frozen_parts_take_no_gradients_and_stay_in_evaluation_mode() -> None:
    net = made(Start(frozen=("body", "head.bias")))
    trains = {n for n, p in net.named_parameters() if p.requires_grad}
    assert trains == {"head.weight"}
    to_training(net)
    assert net.training
    assert net.head.training  # type: ignore[union-attr]
    assert not any(m.training for m in net.body.modules())  # type: ignore[union-attr]


def test_masks_are_laid_on_the_weights() -> None:
    mask = torch.tensor([[1.0, 0.0, 1.0, 0.0]]).repeat(6, 1)
    net = made(Start(masks={"body.0.weight": mask}))
    assert torch.equal(masks_of(net)["body.0.weight"], mask)
    assert bool((net.state_dict()["body.0.weight"][:, 1::2] == 0).all())
    assert "body.0.weight" in net.state_dict()
    with pytest.raises(ModelError, match="0 and 1 alone"):
        made(Start(masks={"body.0.weight": 2 * mask}))
    with pytest.raises(ModelError, match=r"no parameter 'body.weight'"):
        made(Start(masks={"body.weight": mask}))


def test_settings_that_say_nothing_true_are_refused() -> None:
    with pytest.raises(RecipeError, match="expected weights too"):
        Start(fresh=("head",))
    with pytest.raises(RecipeError, match=r"path of a file .*got 'net.onnx'"):
        Start(weights="net.onnx")


def test_a_start_that_says_nothing_is_none() -> None:
    assert Model(Net, start=Start()) == Model(Net)


def test_weights_that_are_not_finite_are_refused(trained: nn.Module) -> None:
    with torch.no_grad():
        trained.head.bias[1] = torch.nan  # type: ignore[index, union-attr]
    with pytest.raises(ModelError, match=r"model.start.weights: head.bias holds values that are"):
        made(Start(weights=trained))


def test_weights_of_a_type_that_numpy_has_not_are_given_as_they_are(trained: nn.Module) -> None:
    half = {
        n: t.bfloat16() if t.is_floating_point() else t for n, t in trained.state_dict().items()
    }
    start = Start(weights=half)
    assert start.weights != Start(weights={n: t.to(torch.float64) for n, t in half.items()}).weights
    found = made(start).state_dict()
    assert torch.equal(found["head.weight"], half["head.weight"].float())


def test_what_weights_and_masks_hold_is_kept_apart(tmp_path: Path) -> None:
    digests = []
    for contents in (("Amasks:B", "C"), ("A", "Bmasks:C"), ("Amasks:1:B", "C")):
        files = [tmp_path / "weights.pt", tmp_path / "masks.pt"]
        for file, content in zip(files, contents, strict=True):
            file.write_text(content)
        digests.append(start_digest(Start(weights=str(files[0]), masks=str(files[1]))))
    assert len(set(digests)) == 3
