"""What a model begins from: given weights, parts that stay as they are, masks on weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from winnow.errors import ModelError, did_you_mean, first_line
from winnow.recipe import OBJECT_PREFIX, ObjectNotFound, Start, resolve_object

__all__ = ["MASKS", "begin_from", "masks_of", "start_digest", "to_training"]

# Attributes of modules. Neither is a buffer, so that a user's module goes by its own names.
_FROZEN = "_winnow_frozen"
MASKS = "_winnow_masks"


def begin_from(module: nn.Module, start: Start) -> None:
    """Load weights into a fresh module, freeze parts of it and lay masks on it, in place.

    Args:
        module: as it was built.
        start: what it begins from.

    Raises:
        ModelError: a file that cannot be read, weights of other names or shapes than the module's,
            weights that are not finite, a module or parameter that does not exist, a mask of
            something else than 0 and 1.
    """
    if start.weights is not None:
        _load(module, start)
    if start.frozen:
        _freeze(module, start.frozen)
    if start.masks is not None:
        _mask(module, _tensors(start.masks, "model.start.masks"))


def to_training(module: nn.Module) -> None:
    """Put a module into training mode, but for parts that are frozen.

    Their dropout makes no noise then, and their batch norms keep the statistics that they came
    with.
    """
    module.train()
    for part in module.modules():
        if vars(part).get(_FROZEN):
            part.eval()


def masks_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the masks on the parameters of a module, by name; empty where there are none."""
    found: dict[str, Tensor] = vars(module).get(MASKS, {})
    return found


def start_digest(start: Start) -> str:
    """Return the SHA-256 of the weights and masks that a model begins from, by their content.

    Raises:
        ModelError: a file that cannot be read.
    """
    digest = hashlib.sha256()
    for setting, name in (("weights", start.weights), ("masks", start.masks)):
        if name is None:
            continue
        content = name.encode()  # an object is named by its content
        if not name.startswith(OBJECT_PREFIX):
            try:
                content = Path(name).read_bytes()
            except OSError as error:
                raise _unreadable(f"model.start.{setting}", name, error) from None
        digest.update(f"{setting}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _load(module: nn.Module, start: Start) -> None:
    given = _tensors(str(start.weights), "model.start.weights")
    known = [name for name, _ in module.named_modules() if name]
    _expect_known(start.fresh, known, "model.start.fresh")
    own = {n: t for n, t in module.state_dict().items() if not _is_below(n, start.fresh)}
    wrong = [f"{n} is missing{did_you_mean(n, given)}" for n in own if n not in given]
    for name in own:
        if name in given and own[name].shape != given[name].shape:
            found, expected = tuple(given[name].shape), tuple(own[name].shape)
            wrong.append(f"{name} has shape {found}, and the model's has {expected}")
    extra = [n for n in given if n not in own and not _is_below(n, start.fresh)]
    wrong += [f"the model has no {name}{did_you_mean(name, own)}" for name in extra]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        hint = "; a module that is to keep its own first weights stands in model.start.fresh"
        raise ModelError(f"model.start.weights: {'; '.join(wrong[:3])}{more}{hint}")
    for name in own:
        if given[name].is_floating_point() and not bool(given[name].isfinite().all()):
            raise ModelError(f"model.start.weights: {name} holds values that are not finite")
    module.load_state_dict({name: given[name] for name in own}, strict=False)


def _freeze(module: nn.Module, names: Sequence[str]) -> None:
    parts, parameters = dict(module.named_modules()), dict(module.named_parameters())
    _expect_known(names, [*(n for n in parts if n), *parameters], "model.start.frozen")
    for name in names:
        if name in parts:
            parts[name].requires_grad_(False)
            parts[name].__dict__[_FROZEN] = True
        else:
            parameters[name].requires_grad_(False)


def _mask(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    parameters = dict(module.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            hint = did_you_mean(name, parameters)
            raise ModelError(f"model.start.masks: the model has no parameter {name!r}{hint}")
        found, expected = tuple(mask.shape), tuple(parameters[name].shape)
        if found != expected:
            raise ModelError(f"model.start.masks: {name} has shape {expected}, its mask {found}")
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ModelError(f"model.start.masks: expected 0 and 1 alone in the mask of {name}")
    own = {name: mask.to(parameters[name].dtype) for name, mask in masks.items()}
    with torch.no_grad():
        for name, mask in own.items():
            parameters[name].mul_(mask)
    module.__dict__[MASKS] = own


def _tensors(name: str, setting: str) -> dict[str, Tensor]:
    """Return the tensors of a file, or of an object given from Python, by name."""
    if name.startswith(OBJECT_PREFIX):
        try:
            found = resolve_object(name)
        except ObjectNotFound as error:
            raise ModelError(f"{setting}: {error}") from None
    else:
        try:
            found = dict(_read(Path(name)))
        except Exception as error:  # a file may hold anything
            raise _unreadable(setting, name, error) from None
    odd = [str(n) for n, t in found.items() if not isinstance(t, Tensor)]
    if odd:
        raise ModelError(f"{setting}: expected tensors by name, but {odd[0]!r} is none")
    return found


def _read(path: Path) -> Iterator[tuple[str, Tensor]]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        yield from load_file(path).items()
        return
    # Nothing but tensors is unpickled: a file of weights may come from anywhere.
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, Mapping):
        raise TypeError(f"expected tensors by name, got {type(found).__name__}")
    yield from found.items()


def _unreadable(setting: str, name: str, error: Exception) -> ModelError:
    expected = "expected a .safetensors file, or one that torch.save wrote of a state_dict"
    return ModelError(f"{setting}: {name!r} cannot be read ({first_line(error)}): {expected}")


def _expect_known(names: Sequence[str], known: Sequence[str], setting: str) -> None:
    for name in names:
        if name not in known:
            raise ModelError(f"{setting}: the model has no {name!r}{did_you_mean(name, known)}")


def _is_below(name: str, modules: Sequence[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
