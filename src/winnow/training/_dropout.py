"""Dropout whose rate and noise are data: the rate may differ between members, the mask depends
on the member alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from winnow.errors import ModelError
from winnow.models import to_training
from winnow.training._functional import FunctionalNoise
from winnow.training._noise import drop_scale, drop_threshold, dropout_keep, uniforms_as
from winnow.trees import Tree, call, described, leaves

__all__ = [
    "CALLS",
    "CallNoise",
    "KeyedNoise",
    "KeyedUniform",
    "MemberDropout",
    "draws_numbers",
    "dry_run",
    "key_places",
    "keyed_noises",
    "noisy_forward",
    "replace_dropout",
    "undrawn",
]

# How many trailing axes of the activations share the noise of their channel; None: no axes do.
_SPATIAL: dict[type[nn.Module], int | None] = {
    nn.Dropout: None,
    nn.Dropout1d: 1,
    nn.Dropout2d: 2,
    nn.Dropout3d: 3,
}
# The attribute of a module that holds the keys of its functional calls
CALLS = "_winnow_call_noise"
_MANY = 2**31  # more calls than a pass makes


class KeyedNoise(nn.Module):
    """What takes a noise key for each of its calls in a forward pass. The keys are a buffer, so
    that they can be lent with a leading V.

    Attributes:
        key: int32, (calls, 2).
        active: whether it makes noise at all.
        num_calls: in one pass, as ``dry_run`` found.
        call: the next.
    """

    key: Tensor

    def __init__(self, *, active: bool, num_calls: int) -> None:
        super().__init__()
        self.active = active
        self.num_calls = num_calls
        self.call = 0
        self.register_buffer("key", torch.zeros(num_calls, 2, dtype=torch.int32), persistent=False)

    def next_key(self) -> Tensor:
        """Return the key of this call, (2,)."""
        key = self.key[self.call]
        # Back at 0 after each pass, so a captured step sees one value
        self.call = (self.call + 1) % self.num_calls
        return key


class MemberDropout(KeyedNoise):
    """Stands for ``nn.Dropout`` and its channel-wise kin. The rate is in buffers, too."""

    threshold: Tensor
    scale: Tensor

    def __init__(self, rate: float, spatial: int | None = None) -> None:
        super().__init__(active=rate > 0, num_calls=1)
        # Trailing axes that share the noise of their channel; None: every element has its own
        self.spatial = spatial
        threshold = drop_threshold(rate)
        self.register_buffer(
            "threshold", torch.tensor(threshold, dtype=torch.int32), persistent=False
        )
        self.register_buffer(
            "scale", torch.tensor(drop_scale(threshold), dtype=torch.float64), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.active:
            return x
        return _drop(x, self.next_key(), self.threshold, self.scale, self.spatial)


class KeyedUniform(KeyedNoise):
    """Gives a layer of the user's own its numbers."""

    def __init__(self) -> None:
        super().__init__(active=True, num_calls=1)

    def forward(self, shape: tuple[int, ...], x: Tensor) -> Tensor:
        """Return numbers in (0, 1) of the type of ``x``."""
        size = torch.Size(shape)
        key = self.next_key().unsqueeze(0)
        return uniforms_as(key, size.numel(), call=0, dtype=x.dtype).view(size)


class CallNoise(KeyedNoise):
    """The keys of a module's calls of ``torch.nn.functional`` that draw noise. The calls give
    their rates themselves.
    """

    def __init__(self) -> None:
        super().__init__(active=False, num_calls=0)

    def drop(self, x: Tensor, rate: float, spatial: int | None) -> Tensor:
        threshold = drop_threshold(rate)
        return _drop(x, self.next_key(), threshold, drop_scale(threshold), spatial)


def _drop(
    x: Tensor, key: Tensor, threshold: Tensor | int, scale: Tensor | float, spatial: int | None
) -> Tensor:
    # without a batch axis the first is that of channels; only dropout2d always takes the second, as
    # PyTorch's does
    own = x.dim() if spatial is None else 2 if spatial in (2, x.dim() - 2) else 1
    shape = torch.Size([*x.shape[:own], *[1] * (x.dim() - own)])
    # products, as PyTorch has it: in plain operations they take half the time of choosing between x
    # and zero
    wide = torch.promote_types(x.dtype, torch.float32)
    return (x * (dropout_keep(shape, key, threshold).to(wide) * scale)).to(x.dtype)


def replace_dropout(module: nn.Module, rate: float | None) -> nn.Module:
    """Put a ``MemberDropout`` in the place of every dropout layer, in place, and give the module a
    place for the keys of functional calls; ``rate`` None keeps each layer's own rate.
    """
    replaced: dict[int, MemberDropout] = {}  # one layer used under two names stays one layer
    for name, child in list(module.named_modules(remove_duplicate=False)):
        if type(child) in _SPATIAL:
            if id(child) not in replaced:
                own: Any = child
                replaced[id(child)] = MemberDropout(
                    own.p if rate is None else rate, _SPATIAL[type(child)]
                )
            parent, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(parent), attribute, replaced[id(child)])
    # No child of it: a user's module may go through its children, or count them
    vars(module)[CALLS] = CallNoise()
    return module


def keyed_noises(module: nn.Module) -> dict[str, KeyedNoise]:
    """Return the replaced layers by dotted name, and the noise of functional calls."""
    layers: dict[str, KeyedNoise] = {
        name: m for name, m in module.named_modules() if isinstance(m, KeyedNoise)
    }
    calls = vars(module).get(CALLS)
    return layers if calls is None else {**layers, CALLS: calls}


def key_places(module: nn.Module) -> dict[str, slice]:
    """Return which of a step's noise keys each active noise takes, by its name. One that is not
    active has its keys, too: what a layer gets depends neither on the other layers' rates nor on
    those of the member's fleet.
    """
    places, start = {}, 0
    for name, noise in keyed_noises(module).items():
        if noise.active:
            places[name] = slice(start, start + noise.num_calls)
        start += noise.num_calls
    return places


def noisy_forward(module: nn.Module, x: Tree) -> Any:
    """Return what the module's forward pass gives; in training, what its functional calls draw
    comes from their keys.
    """
    calls = vars(module).get(CALLS)
    if calls is None or not calls.active or not module.training:
        return call(module, x)
    with FunctionalNoise(calls.drop):
        return call(module, x)


def dry_run(module: nn.Module, x: Tree) -> bool:
    """Run one small batch in training mode, to learn what a pass does: every noise gets as many
    keys as it is called times. Buffers and generators stay as they were.

    Returns:
        Whether the pass draws from a global generator: PyTorch's, as ``torch.randn`` does, Python's
            or NumPy's.

    Raises:
        ModelError: the forward pass fails.
    """
    noises = keyed_noises(module)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    active = {name: noise.active for name, noise in noises.items()}
    calls = dict.fromkeys(noises, 0)
    for noise in noises.values():
        noise.active, noise.num_calls, noise.call = True, _MANY, 0
        noise.key = torch.zeros(1, 2, dtype=torch.int32).expand(_MANY, 2)
    try:
        with undrawn():
            before_draws = _generators()
            with torch.no_grad():
                to_training(module)
                noisy_forward(module, x)
            draws = before_draws != _generators()
            calls = {name: noise.call for name, noise in noises.items()}
            if calls.get(CALLS) and _recomputes(module, x):
                calls[CALLS], draws = 0, True
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelError(
            f"the model fails in training mode on a batch of shape {described(x)}: {what}"
        ) from error
    finally:
        for name, noise in noises.items():
            is_layer = name != CALLS
            noise.active = active[name] if is_layer else calls[name] > 0
            noise.num_calls, noise.call = max(calls[name], int(is_layer)), 0
            noise.key = torch.zeros(noise.num_calls, 2, dtype=torch.int32)
        for name, buffer in module.named_buffers():
            buffer.copy_(before[name])
    return draws


@contextmanager
def undrawn(seed: int | None = None) -> Iterator[None]:
    """Put the global generators of PyTorch, Python and NumPy back as they were; ``seed`` sets
    all three before that.
    """
    cuda = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=cuda):
            if seed is not None:
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def draws_numbers(run: Callable[[], object]) -> bool:
    """Return whether a call draws from a global generator, all of which stay as they were.

    No other thread may draw or seed meanwhile.
    """
    with undrawn():
        before = _generators()
        run()
        return before != _generators()


def _generators() -> tuple[object, ...]:
    """Return the states of the global generators."""
    numpy: Any = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), numpy[1].tobytes(), numpy[2:]


def _recomputes(module: nn.Module, x: Tree) -> bool:
    """Return whether the backward pass runs functional noise again, as activation checkpointing
    does: what noise it then needs cannot be told from the order of the calls.
    """
    calls: CallNoise = vars(module)[CALLS]
    with torch.enable_grad(), FunctionalNoise(calls.drop):
        outputs = [out for out in leaves(call(module, x)) if isinstance(out, Tensor)]
        calls.call = 0
        total = sum(out.sum() for out in outputs if out.requires_grad)
        if isinstance(total, Tensor):
            torch.autograd.backward(total)
    for parameter in module.parameters():
        parameter.grad = None
    return calls.call > 0
