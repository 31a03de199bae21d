"""The public names: what `__all__` says can be had, is documented, and stays what it is."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
from pathlib import Path

import pytest

import winnow

ROOMS = sorted(
    module.name
    for module in pkgutil.iter_modules(winnow.__path__, "winnow.")
    if not module.name.startswith("winnow._")
)


def test_every_name_of_the_shop_window_can_be_had() -> None:
    assert {name: getattr(winnow, name) for name in winnow.__all__}.keys() == set(winnow.__all__)
    assert dir(winnow) == winnow.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'winnow' has no attribute 'serach'"):
        _ = winnow.serach


def test_type_checkers_see_the_names_that_are_there() -> None:
    source = inspect.getsource(winnow)

    seen = {
        line.rsplit(" as ", 1)[1]
        for line in source.splitlines()
        if line.startswith("    from winnow.")
    }

    assert seen == set(winnow.__all__) - {"__version__"}


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_offers_can_be_had_and_is_documented(room: str) -> None:
    module = importlib.import_module(room)

    assert module.__doc__
    assert list(module.__all__) == sorted(module.__all__, key=_ruff_order)
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value) and getattr(value, "__module__", "").startswith("winnow"):
            assert inspect.getdoc(value), f"{room}.{name} has no docstring"


def _ruff_order(name: str) -> tuple[int, str]:
    """SCREAMING_CASE, then CamelCase, then the rest."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def test_no_function_is_called_as_a_package() -> None:
    packages = {path.stem for path in Path(winnow.__file__).parent.iterdir()}

    assert packages.isdisjoint(winnow.__all__)


def test_the_version_is_that_of_the_distribution() -> None:
    assert winnow.__version__ == importlib.metadata.version("winnow-ml")
