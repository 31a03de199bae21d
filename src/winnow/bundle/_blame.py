"""Why a module cannot be exported, in one message."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.bundle._silence import quiet
from winnow.errors import first_line

if TYPE_CHECKING:
    import torch

__all__ = ["blame"]

# The two ways in which the exporter's messages name an operator
OPERATORS = (r"OpOverload\(op='([^']+)'", r"call_function\[target=torch\.ops\.([\w.]+)\]")
SOURCE_LINE = r'File "([^"]+)", line (\d+), in \w+\n[ \t]+(\S.*)'


def blame(
    error: BaseException,
    model: torch.nn.Module,
    whole: torch.nn.Module,
    x: tuple[torch.Tensor, ...],
    arguments: dict[str, Any],
) -> str:
    """Return which module and operator cannot be exported, at which line, and why.

    Args:
        error: of the exporter.
        model: the user's.
        whole: what was exported: ``model``, or a module around it.
        x: the inputs of ``whole``.
        arguments: of the export beside these.
    """
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    text = "\n".join(map(str, causes))
    operator = _operator_in(text)
    parts: list[str] = []
    where = _find_module(model, whole, x, arguments, operator)
    if where is not None:
        parts.append(where)
    if operator is not None:
        parts.append(f"operator `{operator}`")
    parts.append(first_line(causes[-1]))
    lines = re.findall(SOURCE_LINE, text)
    if lines:
        file, number, code = lines[-1]  # the innermost
        parts.append(f"at {Path(file).name}:{number}: `{code.strip()}`")
    if "data-dependent" in text:
        parts.append("a branch on values cannot be exported; `torch.where` computes both sides")
    return ", ".join(parts)


def _operator_in(text: str) -> str | None:
    """Return the operator that the exporter's messages name."""
    for pattern in OPERATORS:
        found = re.search(pattern, text)
        if found:
            return found.group(1)
    return None


def _find_module(
    model: torch.nn.Module,
    whole: torch.nn.Module,
    x: tuple[torch.Tensor, ...],
    arguments: dict[str, Any],
    operator: str | None,
) -> str | None:
    """Return the innermost module that was running when the export stopped, or the one that uses
    ``operator``.
    """
    import torch

    running: list[str] = []
    probe = _tracked(model, whole, running)
    try:
        with quiet():
            graph = torch.export.export(probe, x, strict=False, **arguments).graph
    except Exception:  # the same failure again, this time with the stack of modules
        return running[-1] if running else None
    short = (operator or "").split(".")[1:2]  # ``relu`` of ``aten.relu.default``
    for node in graph.nodes:
        if short and short[0] in str(node.target):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            place = stack[-1][0] if stack else ""
            if place and whole is not model:
                place = place.partition(".")[2]  # without the name of the model in ``whole``
            if place:
                return f"module `{place}`"
    return None


def _tracked(model: torch.nn.Module, whole: torch.nn.Module, running: list[str]) -> torch.nn.Module:
    """Return a copy of ``whole`` whose modules stand in ``running`` while they are at work."""
    names = {id(module): name for name, module in model.named_modules()}
    probe = copy.deepcopy(whole)
    pairs = zip(whole.modules(), probe.modules(), strict=True)
    for original, module in pairs:
        name, kind = names.get(id(original)), type(original).__name__
        # The whole model has no name of its own.
        _track(module, f"module `{name}` ({kind})" if name else f"{kind}.forward", running)
    return probe


def _track(module: torch.nn.Module, name: str, running: list[str]) -> None:
    """Have a module stand in ``running`` while its ``forward`` is at work."""

    def enter(*_: object) -> None:
        running.append(name)

    def leave(*_: object) -> None:
        running.pop()

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave)
