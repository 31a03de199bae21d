"""The examples in docstrings run, and show what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import winnow.data
import winnow.evaluation
import winnow.metrics
import winnow.stats

PACKAGES = (winnow.metrics, winnow.stats, winnow.data, winnow.evaluation)


def module_names() -> list[str]:
    return [
        f"{package.__name__}.{module.name}"
        for package in PACKAGES
        for module in pkgutil.iter_modules(package.__path__)
    ]


@pytest.mark.parametrize("name", module_names())
def test_examples_show_what_they_say(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))

    assert found.failed == 0


def test_what_users_call_has_an_example() -> None:
    named = {name: getattr(winnow.stats, name) for name in winnow.stats.__all__}
    functions = {name: value for name, value in named.items() if inspect.isfunction(value)}

    without = [name for name, f in functions.items() if ">>>" not in (f.__doc__ or "")]

    assert functions
    assert without == []
