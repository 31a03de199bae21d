"""What a recipe names is looked at before it is called."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest
from torch import nn

from winnow.data import load_table
from winnow.errors import DataError, ModelError
from winnow.models import build
from winnow.recipe import Data, Model, _callables

MADE = """\
import functools, os, typing
from torch import nn

class Net(nn.Module):
    def __init__(self, in_features, out_features, hidden=2):
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)

    @classmethod
    def small(cls, in_features, out_features):
        return cls(in_features, out_features)

class Table:
    pass

def plain(in_features, out_features):
    return Net(in_features, out_features)

def typed(in_features, out_features) -> "nn.Sequential":
    return nn.Sequential(Net(in_features, out_features))

def counts() -> int:
    raise AssertionError("called")

def rows():
    return [[0.0], [1.0]] * 10, [0, 1] * 10

def anything(in_features, out_features) -> "typing.Any":
    return Net(in_features, out_features)

def missing(in_features, out_features) -> "Absent":
    return Net(in_features, out_features)

system = os.system
cached = functools.lru_cache(plain)
part = functools.partial(Net, hidden=3)
part_of_system = functools.partial(os.system)
built = Net(2, 2)
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"made_callables_{tmp_path.name.rpartition('-')[2]}"
    (tmp_path / f"{name}.py").write_text(MADE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize(
    "name", ["Net", "Net.small", "plain", "typed", "missing", "anything", "cached", "part"]
)
def test_classes_and_python_functions_build(made: str, name: str) -> None:
    assert isinstance(
        build(Model(f"{made}:{name}"), in_shape=(3,), out_features=2, seed=0), nn.Module
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("system", "is a function that is built in, not a class or a function written in Python"),
        (
            "part_of_system",
            "is an object of type partial, not a class or a function written in Python",
        ),
        ("os.system", "is a function that is built in"),
        ("Table", "is a class that is no torch.nn.Module, Table"),
        ("counts", "returns int"),
        ("built", "is an object of type Net, not a class or a function"),
        ("functools.reduce", "is a function that is built in"),
        ("functools.wraps", "is functools.wraps of Python's own library"),
    ],
)
def test_what_builds_no_model_is_refused_before_it_is_called(
    made: str, name: str, reason: str
) -> None:
    with pytest.raises(ModelError) as caught:
        build(Model(f"{made}:{name}"), in_shape=(3,), out_features=2, seed=0)

    message = str(caught.value)
    assert message.startswith(
        "model.use: expected a subclass of torch.nn.Module, or a function written in Python that "
        "returns"
    )
    assert f"'{made}:{name}' {reason}" in message
    assert message.endswith(
        "(it was not called; a recipe is code, so run only those that you trust)"
    )


PACKAGE = """\
import typing
from torch import nn

class Net(nn.Linear):
    @classmethod
    def from_pretrained(cls, in_features, out_features):
        return cls(in_features, out_features)

def says(in_features, out_features) -> nn.Linear:
    return nn.Linear(in_features, out_features)

def says_either(in_features, out_features) -> "nn.Linear | tuple[int, int]":
    return nn.Linear(in_features, out_features)

def says_nothing(in_features, out_features):
    raise AssertionError("called")

def says_anything(in_features, out_features) -> typing.Any:
    raise AssertionError("called")
"""
OWN = """\
from made_package.nets import says_nothing

def builder(in_features, out_features):
    from made_package import nets
    return nets.says(in_features, out_features)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that is installed, and a file beside the recipe that uses it."""
    site, own = tmp_path / "site-packages", tmp_path / "project"
    (site / "made_package").mkdir(parents=True)
    own.mkdir()
    (site / "made_package" / "nets.py").write_text(PACKAGE)
    (own / "made_beside.py").write_text(OWN)
    monkeypatch.setattr(_callables, "_installed", lambda: (site,))
    for place in (site, own):
        monkeypatch.syspath_prepend(place)
    for name in ("made_package", "made_package.nets", "made_beside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "made_package.nets"


@pytest.mark.parametrize("name", ["Net", "Net.from_pretrained", "says", "says_either"])
def test_a_model_library_builds(package: str, name: str) -> None:
    assert isinstance(
        build(Model(f"{package}:{name}"), in_shape=(3,), out_features=2, seed=0), nn.Linear
    )


def test_a_builder_beside_the_recipe_may_call_a_library(package: str) -> None:
    assert isinstance(
        build(Model("made_beside:builder"), in_shape=(3,), out_features=2, seed=0), nn.Linear
    )


@pytest.mark.parametrize(
    "use",
    [
        "made_package.nets:says_nothing",
        "made_package.nets:says_anything",
        "made_beside:says_nothing",
    ],
)
def test_a_function_of_a_library_has_to_say_that_it_returns_a_module(
    package: str, use: str
) -> None:
    """Also where a file of the user's only imports it."""
    expected = (
        f"'{use}' is a function of the installed package 'made_package' that does not say .* "
        f"name that, as `use: my_file:"
    )
    with pytest.raises(ModelError, match=expected):
        build(Model(use), in_shape=(3,), out_features=2, seed=0)


def test_code_in_an_argument_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    args = {"astr": f"open({str(mark)!r}, 'w')", "dict": {}}
    with pytest.raises(ModelError, match="a function of the installed package 'numpy'"):
        build(Model("numpy.testing:runstring", args=args), in_shape=(3,), out_features=2, seed=0)
    assert not mark.exists()


def test_no_command_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    for use, args in [
        ("os:system", {"command": f"touch {mark}"}),
        ("subprocess:run", {"args": ["touch", str(mark)]}),
    ]:
        with pytest.raises(ModelError, match="of Python's own library"):
            build(Model(use, args=args), in_shape=(3,), out_features=2, seed=0)

    assert not mark.exists()


def test_modules_of_the_standard_library_are_not_even_imported() -> None:
    # Importing it opens a browser
    with pytest.raises(ModelError, match="got 'antigravity:fly' of Python's own library"):
        build(Model("antigravity:fly"), in_shape=(3,), out_features=2, seed=0)
    with pytest.raises(DataError, match="got 'this:s' of Python's own library"):
        load_table(Data(source="this:s"))


def test_a_data_source_is_held_to_the_same_rule(made: str) -> None:
    assert load_table(Data(source=f"{made}:rows")).y.tolist() == [0, 1] * 10
    for name, reason in [
        ("system", "is a function that is built in"),
        ("functools.wraps", "of Python's own library"),
    ]:
        with pytest.raises(DataError, match=f"{name}' .*{reason}"):
            load_table(Data(source=f"{made}:{name}"))
    with pytest.raises(DataError, match=f"'{made}:counts' returns int "):
        load_table(Data(source=f"{made}:counts"))
    with pytest.raises(
        DataError, match=r"got 'os:getcwd' of Python's own library \(it was not called"
    ):
        load_table(Data(source="os:getcwd"))


def test_a_builder_given_from_python_is_held_to_it_too() -> None:
    with pytest.raises(ModelError, match="got 'builtins:dict' of Python's own library"):
        build(Model(dict), in_shape=(3,), out_features=2, seed=0)
    module = build(Model(functools.partial(nn.Linear, 3, 2)), in_shape=(3,), out_features=2, seed=0)
    assert isinstance(module, nn.Linear)
