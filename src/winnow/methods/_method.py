"""What every training method is: one record that holds its settings, its words and its
mathematics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.spec import Settings

__all__ = ["BaseMethod", "Switch"]


@dataclass(frozen=True)
class Switch:
    """One thing about a method that can be switched off, and so be ablated.

    Attributes:
        setting: name of the setting that switches it.
        off: value at which it is off.
        phrase: what it is, for people, made from its value in words: ``momentum 0.9``.
    """

    setting: str
    off: Any
    phrase: Callable[[str], str]


class BaseMethod(Settings):
    """A training method.

    Its fields are its settings, with their ranges and their meaning. Its mathematics are static
    methods on tensors, under the contract of its family: they receive the settings as tensors with
    a leading V, one value for each member of the fleet, and never as the record itself.

    A method's file is read before PyTorch is, because a recipe is checked without it; so it imports
    PyTorch inside the functions that use it.

    Class attributes:
        switches: what of it can be switched off.
        neutral: value of a setting at which it has no effect. Where all members have it, the
            setting is not passed, and a method without any other setting is left out.
        structural: settings that must be equal within a fleet, because they change the program and
            not only its numbers.
    """

    switches: ClassVar[tuple[Switch, ...]] = ()
    neutral: ClassVar[Mapping[str, float]] = {}
    structural: ClassVar[tuple[str, ...]] = ()

    kind: str = ""

    @classmethod
    def member_settings(cls) -> tuple[str, ...]:
        """Return names of the settings that may differ between the members of a fleet."""
        fixed = ("kind", *cls.structural)
        return tuple(name for name in cls.model_fields if name not in fixed)
