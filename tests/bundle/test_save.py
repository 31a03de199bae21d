"""Writing a bundle: what is in it, and what happens to what was there."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from tests.bundle.conftest import Example
from torch import nn

from winnow import bundle
from winnow.bundle import _files
from winnow.errors import BundleError
from winnow.stats import t_interval

FILES = {"manifest.json", "model.onnx", "weights.safetensors", "preparation.json", "recipe.yaml"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_is_five_files_and_the_manifest_lists_their_digests(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == FILES
    manifest = json.loads((saved / "manifest.json").read_text())

    assert set(manifest["files"]) == FILES - {"manifest.json"}
    for name, entry in manifest["files"].items():
        found = (saved / name).read_bytes()
        assert entry == {"bytes": len(found), "sha256": hashlib.sha256(found).hexdigest()}


def test_the_manifest_says_what_is_known(iris: Example, tmp_path: Path) -> None:
    interval = t_interval([0.9, 0.95, 1.0])
    path = iris.save(
        tmp_path / "flowers.winnow",
        metrics={"accuracy": interval, "roc_auc": float("nan")},
        model={"use": "mlp", "args": {"width": 16}, "parameters": 163},
        parity=bundle.Parity(1e-7, "batch size 1, random rows", 1e-3),
        created=dt.datetime(2031, 5, 4, tzinfo=dt.UTC),
    )
    manifest = json.loads((path / "manifest.json").read_text())

    assert manifest["format"] == "winnow bundle"
    assert manifest["format_version"] == 1
    assert manifest["created"] == "2031-05-04T00:00:00+00:00"
    assert manifest["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert manifest["versions"].keys() == {"winnow", "torch", "onnx", "onnxruntime"}
    assert (manifest["name"], manifest["task"], manifest["deployed"]) == (
        "flowers",
        "classification",
        "fp32",
    )
    assert manifest["classes"] == list(iris.prepared.classes or ())
    assert manifest["metrics"] == {"accuracy": interval.to_dict(), "roc_auc": None}
    assert manifest["model"]["args"] == {"width": 16}
    assert manifest["schema"] == json.loads(json.dumps(iris.prepared.preparation.schema))
    assert manifest["parity"]["tolerance"] == 1e-4


def test_there_is_no_pickle_in_any_file(saved: Path) -> None:
    for path in saved.iterdir():
        found = path.read_bytes()
        assert not zipfile.is_zipfile(path), "torch.save writes zip files of pickles"
        assert found[:2] != b"\x80\x02"
        with pytest.raises((ValueError, IndexError, UnicodeDecodeError, KeyError, OverflowError)):
            list(pickletools.genops(found))


def test_weights_are_the_float32_state_dict(iris: Example, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 3).double(), nn.BatchNorm1d(3), nn.Linear(3, 3).bfloat16())
    module[2].weight = nn.Parameter(module[2].weight.t())  # not contiguous
    module.register_buffer("same", module[1].running_mean)  # shares memory
    path = iris.save(tmp_path / "b", weights=module.state_dict())

    found = safetensors.torch.load_file(path / "weights.safetensors")

    assert found.keys() == module.state_dict().keys()
    for name, value in module.state_dict().items():
        expected = value.float() if value.is_floating_point() else value
        assert found[name].dtype == expected.dtype
        assert torch.equal(found[name], expected), name


def test_weights_that_are_no_numbers_are_refused(iris: Example, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot store the weights 'a': expected numbers"):
        iris.save(tmp_path / "b", weights={"a": np.array(["text"])})


def test_weights_and_recipe_may_be_left_out(iris: Example, tmp_path: Path) -> None:
    path = iris.save(tmp_path / "b", weights=None, recipe_yaml=None)

    loaded = bundle.load(path)

    assert set(loaded.manifest.files) == {"model.onnx", "preparation.json"}
    with pytest.raises(BundleError, match=r"has no weights\.safetensors"):
        loaded.weights()
    with pytest.raises(BundleError, match=r"has no recipe\.yaml"):
        loaded.recipe_yaml()


# -- what was there before -------------------------------------------------------------------------


def test_a_bundle_is_replaced(iris: Example, diabetes: Example, tmp_path: Path) -> None:
    path = iris.save(tmp_path / "b")

    diabetes.save(path, weights=None, recipe_yaml=None)

    assert bundle.load(path).task == "regression"
    assert {p.name for p in path.iterdir()} == FILES - {"weights.safetensors", "recipe.yaml"}
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_an_empty_folder_is_used(iris: Example, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()

    assert bundle.load(iris.save(tmp_path / "b")).task == "classification"


def test_a_link_to_a_bundle_stays_a_link(iris: Example, diabetes: Example, tmp_path: Path) -> None:
    path = iris.save(tmp_path / "first")
    (tmp_path / "current").symlink_to(path, target_is_directory=True)

    diabetes.save(tmp_path / "current")

    assert (tmp_path / "current").is_symlink()
    assert bundle.load(path).task == "regression"


@pytest.mark.parametrize("kind", ["file", "folder", "other manifest", "notes beside a bundle"])
def test_what_is_no_bundle_is_left_alone(kind: str, iris: Example, tmp_path: Path) -> None:
    path = tmp_path / "b"
    if kind == "file":
        path.write_text("precious")
        message = "exists and is not a bundle but a file"
    elif kind == "notes beside a bundle":
        iris.save(path)
        (path / "notes.txt").write_text("precious")
        message = r"is a bundle but also holds notes\.txt"
    else:
        path.mkdir()
        name, text = (
            ("thesis.tex", "precious")
            if kind == "folder"
            else ("manifest.json", '{"format": "precious"}')
        )
        (path / name).write_text(text)
        message = f"exists and is not a bundle \\(it holds {name}\\)"
    before = path.read_bytes() if kind == "file" else content(path)

    with pytest.raises(BundleError, match=message):
        iris.save(path)

    assert (path.read_bytes() if kind == "file" else content(path)) == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_disk_that_fails_leaves_the_old_bundle(
    step: int, iris: Example, diabetes: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = iris.save(tmp_path / "b")
    before = content(path)
    calls = iter(range(1, 100))

    def fsync(_: int) -> None:
        if next(calls) == step:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        diabetes.save(path)

    assert content(path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_stop_between_the_two_renamings_brings_the_old_bundle_back(
    iris: Example, diabetes: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = iris.save(tmp_path / "b")
    before, rename = content(path), Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        diabetes.save(path)

    assert content(path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_everything_is_on_the_disk_before_the_name_appears(
    iris: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda handle: (log.append("sync"), fsync(handle))[1])
    monkeypatch.setattr(
        Path, "rename", lambda self, target: (log.append("rename"), rename(self, target))[1]
    )

    iris.save(tmp_path / "b")

    # Every file, their folder; then the folder above
    assert log == ["sync"] * (len(FILES) + 1) + ["rename", "sync"]


def test_json_with_numbers_that_are_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        _files.to_json({"a": float("nan")})


def test_what_a_kill_left_of_a_bundle_is_put_right(iris: Example, tmp_path: Path) -> None:
    kept, moved = iris.save(tmp_path / "kept.winnow"), iris.save(tmp_path / "moved.winnow")
    before = content(moved)
    moved.rename(tmp_path / ".moved.winnow.0123abcd.old")  # killed between the two renamings
    for name in (
        ".moved.winnow.0123abcd.new",
        ".kept.winnow.4567cdef.old",
        ".kept.winnow.4567cdef.new",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_bytes(b"half")
    (tmp_path / ".mine.old").mkdir()

    bundle.clean_up(tmp_path)

    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".mine.old",
        "kept.winnow",
        "moved.winnow",
    ]
    assert content(moved) == before
    bundle.load(kept)
