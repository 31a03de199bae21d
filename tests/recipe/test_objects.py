"""Python objects that a recipe names: found again, and told apart by their content."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from winnow.recipe import (
    Data,
    Model,
    ObjectNotFound,
    content_digest,
    is_import_path,
    resolve_object,
    source_digest,
)
from winnow.recipe._sources import module_sources


class Net:
    """A model that can be imported."""

    def build(self) -> int:
        return 1


def closing_over(value: Any) -> Callable[[], Any]:
    return lambda: value


def test_what_can_be_imported_is_found_by_its_path() -> None:
    assert resolve_object(f"{__name__}:Net") is Net
    assert resolve_object(f"{__name__}:Net.build") is Net.build
    assert resolve_object(Model(Net).use) is Net


def test_what_cannot_be_imported_is_found_in_its_process() -> None:
    builder = closing_over(3)

    assert resolve_object(Model(builder).use) is builder
    X, y = resolve_object(Data.arrays(np.eye(3), np.arange(3)).source)
    assert X.shape == (3, 3)
    assert y.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("def x(:", "SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_fails_on_import_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    (tmp_path / "fails_on_import.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(
        ObjectNotFound,
        match=rf"importing 'fails_on_import' failed \(for 'fails_on_import:Net'\): {message}",
    ):
        resolve_object("fails_on_import:Net")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere_at_all:x",
            r"cannot import 'nowhere_at_all' \(looked up for 'nowhere_at_all:x'\): no module of "
            r"that name",
        ),
        ("math:sqtr", r"'math' has no 'sqtr' - did you mean 'sqrt'\?"),
        ("math.sqrt", "expected an import path `package.module:name`, got 'math.sqrt'"),
        ("object:arrays-0", "was given from Python and lives only in the process that made it"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name: str, message: str) -> None:
    with pytest.raises(ObjectNotFound, match=message):
        resolve_object(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a:b", True),
        ("a.b:c.d", True),
        ("a.b", False),
        ("a:", False),
        (":b", False),
        ("a b:c", False),
        ("a:b:c", False),
        ("C:\\x", False),
    ],
)
def test_the_form_of_an_import_path(name: str, expected: bool) -> None:
    assert is_import_path(name) is expected


X = np.arange(6.0).reshape(3, 2)

SAME = [
    (X, X.copy()),
    (X, np.asfortranarray(X)),
    ((X, [1, 2]), (X.copy(), [1, 2])),
    (torch.arange(3), torch.arange(3)),
    (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]}, index=[5, 6])),
    (pl.DataFrame({"a": ["x", None]}), pl.DataFrame({"a": ["x", None]})),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (closing_over(3), closing_over(3)),
    (functools.partial(Net, 1), functools.partial(Net, 1)),
]

DIFFERENT = [
    (X, X + 1),
    (X, X.astype(np.float32)),
    (X, X.reshape(2, 3)),
    ([1, 23], [12, 3]),
    (["a", "b"], ["ab"]),
    ([1], (1,)),
    ([1], [1.0]),
    ([1], [True]),
    (["1"], [1]),
    ({"a": 1}, {"b": 1}),
    (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]})),
    (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": ["y"]})),
    (closing_over(3), closing_over(4)),
    (closing_over(X), closing_over(X + 1)),
    (functools.partial(Net, 1), functools.partial(Net, 2)),
    (functools.partial(Net, a=1), functools.partial(Net, a=2)),
    (lambda: 1, lambda: 2),
    (lambda a=1: a, lambda a=2: a),
    (lambda: [n + 1 for n in (1, 2)], lambda: [n + 2 for n in (1, 2)]),
    (type("Net", (), {"width": 1}), type("Net", (), {"width": 2})),
    (type("Net", (), {"f": lambda self: 1}), type("Net", (), {"f": lambda self: 2})),
    (
        type("Net", (), {"f": property(lambda self: 1)}),
        type("Net", (), {"f": property(lambda self: 2)}),
    ),
]


@pytest.mark.parametrize(("a", "b"), SAME, ids=range(len(SAME)))
def test_the_same_content_has_the_same_digest(a: object, b: object) -> None:
    assert content_digest(a) == content_digest(b)


@pytest.mark.parametrize(("a", "b"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_different_contents_have_different_digests(a: object, b: object) -> None:
    assert content_digest(a) != content_digest(b)


def test_a_function_that_closes_over_itself_has_a_digest() -> None:
    def countdown(n: int) -> int:
        return n and countdown(n - 1)

    assert content_digest(countdown) == content_digest(countdown)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            object(),
            TypeError,
            "cannot take the content of object: give arrays, tensors, a frame, a class or a "
            "function",
        ),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            ValueError,
            "the columns of a frame must differ, got 'a' twice",
        ),
    ],
)
def test_what_has_no_digest_is_told(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        content_digest(value)


SCRIPT = """
from winnow.recipe import source_digest, content_digest

RATE = {rate}

class Layer:
    def size(self):
        return {size}

class Net:
    def __init__(self):
        self.layer, self.rate = Layer(), RATE

def build():
    return Net()

note = {note!r}
flags = lambda x: x in {{"a", "b", "c", "d"}}
print(source_digest(build), content_digest(flags))
"""


def run_script(
    folder: Path, *, rate: float = 0.1, size: int = 3, note: str = "", hash_seed: str = "0"
) -> str:
    path = folder / "script.py"
    path.write_text(SCRIPT.format(rate=rate, size=size, note=note))
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_the_model_of_a_script_is_told_by_the_code_it_uses(tmp_path: Path) -> None:
    first = run_script(tmp_path)

    assert run_script(tmp_path, hash_seed="7") == first
    assert run_script(tmp_path, note="another line of the script") == first
    assert run_script(tmp_path, size=4) != first
    assert run_script(tmp_path, rate=0.2) != first


def test_an_edited_module_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for name, body in [("nets_a", "1"), ("nets_b", "2")]:
        (tmp_path / f"{name}.py").write_text(f"WIDTH = {body}\n\ndef build():\n    return WIDTH\n")
        digests.append(source_digest(resolve_object(f"{name}:build")))

    assert digests[0] != digests[1]


MODEL = """
from nets_p import layers  # one of them
from .sizes import (
    WIDTH,
)

def build():
    import nets_p.late
    return WIDTH
"""
PACKAGE = {
    "nets_p/__init__.py": "",
    "nets_p/model.py": MODEL,
    "nets_p/layers.py": "from . import deep as d, sizes\n",
    "nets_p/deep.py": "import os, json as j\nDEPTH = 1\n",
    "nets_p/sizes.py": "WIDTH = 1\n",
    "nets_p/late.py": "LATE = 1\n",
    "nets_p/other.py": "import nets_p.model, beside\n",
    "beside.py": "X = 1\n",
    "alone.py": "import sys as s, beside\n\ndef build():\n    return beside.X\n",
}
ASK = (
    "import sys; from winnow.recipe import resolve_object, source_digest; "
    "print(source_digest(resolve_object(sys.argv[1])))"
)


def test_the_sources_of_a_module_are_those_of_what_it_imports_from_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_p").mkdir()
    for name, text in PACKAGE.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    package = module_sources(importlib.import_module("nets_p.model"))
    assert set(package) == {
        f"nets_p{name}" for name in ("", ".model", ".layers", ".deep", ".sizes", ".late")
    }
    assert package["nets_p.model"] == MODEL.encode()
    assert set(module_sources(importlib.import_module("alone"))) == {"alone", "beside"}


def test_a_changed_helper_is_another_model(tmp_path: Path) -> None:
    def ask() -> str:
        environment = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
        command = [sys.executable, "-c", ASK, "nets_p.model:build"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        ).stdout

    (tmp_path / "nets_p").mkdir()
    for name, text in PACKAGE.items():
        (tmp_path / name).write_text(text)
    first = ask()
    (tmp_path / "nets_p" / "other.py").write_text("OTHER = 2\n")
    assert ask() == first
    (tmp_path / "nets_p" / "deep.py").write_text("DEPTH = 2\n")
    assert ask() != first


def test_the_digest_is_that_of_the_code_that_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    model, helper = tmp_path / "nets_loaded.py", tmp_path / "nets_helper.py"
    model.write_text("import nets_helper\n\ndef build():\n    return nets_helper.WIDTH\n")
    helper.write_text("WIDTH = 1\n")
    first = source_digest(resolve_object("nets_loaded:build"))

    helper.write_text("WIDTH = 2000\n")
    assert resolve_object("nets_loaded:build")() == 1
    # What runs is still the old code
    assert source_digest(resolve_object("nets_loaded:build")) == first

    importlib.reload(sys.modules["nets_helper"])
    assert resolve_object("nets_loaded:build")() == 2000
    assert source_digest(resolve_object("nets_loaded:build")) != first


def test_the_helpers_of_a_script_count(tmp_path: Path) -> None:
    (tmp_path / "aside.py").write_text("WIDTH = 1\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import aside\nfrom winnow.recipe import source_digest\n\n"
        "def build():\n    return aside.WIDTH\n\nprint(source_digest(build))\n"
    )

    def ask() -> str:
        environment = {"PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout

    first = ask()
    assert ask() == first
    (tmp_path / "aside.py").write_text("WIDTH = 2\n")
    assert ask() != first
