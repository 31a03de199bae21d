"""What an installation brings: few packages, lower bounds without caps, and pins for everything
in the constraints file.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
)


def closure(requirements: list[str]) -> set[str]:
    """Names of all packages that ``requirements`` bring, as far as they are installed here."""
    found: set[str] = set()
    todo = [(Requirement(r), "") for r in requirements]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (
            requirement.marker is not None and not requirement.marker.evaluate({"extra": extra})
        ):
            continue
        found.add(name)
        inner = importlib.metadata.distribution(name).requires or []
        todo += [(Requirement(r), extra) for r in inner for extra in ("", *requirement.extras)]
    return found


def test_a_core_installation_is_at_most_60_packages() -> None:
    # those that a GPU build of torch adds are not counted: the constraints install the CPU build
    core = {
        name
        for name in closure(PROJECT["dependencies"])
        if not name.startswith(("nvidia-", "cuda-", "triton"))
    }

    assert "torch" in core
    assert len(core) <= 60


def test_dependencies_have_a_lower_bound_and_no_cap() -> None:
    for text in [
        *PROJECT["dependencies"],
        *(r for extra in PROJECT["optional-dependencies"].values() for r in extra),
    ]:
        assert [s.operator for s in Requirement(text).specifier] == [">="], text


def test_everything_that_is_installed_for_tests_is_pinned() -> None:
    pinned = {canonicalize_name(name) for name in PINS}

    assert closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]) <= pinned
    assert PINS["torch"] == "2.13.0"


def test_the_pins_keep_the_lower_bounds() -> None:
    pins = {canonicalize_name(name): version for name, version in PINS.items()}

    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text
