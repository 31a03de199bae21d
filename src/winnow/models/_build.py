"""From a recipe's model section to a module."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from winnow.errors import ModelError, did_you_mean
from winnow.models._example import example_rows
from winnow.models._ready import READY
from winnow.models._start import begin_from, start_digest
from winnow.models._surgery import switch_off
from winnow.recipe import READY as READY_ARGS
from winnow.recipe import (
    TRUST,
    Model,
    ObjectNotFound,
    derive_seed,
    installed_package,
    is_import_path,
    is_standard,
    resolve_object,
    source_digest,
    uncallable,
    written_in_python,
)
from winnow.trees import (
    Input,
    Tree,
    as_inputs,
    by_name,
    call,
    described,
    leaves,
    main,
    map_tree,
    named_leaves,
    without_none,
)

MOST_PARAMETERS = 2**29  # of a ready model: 2 GiB of float32, and training takes four times as much
SURELY_SMALL = 4096  # width times depth of a model that need not be counted

__all__ = ["build", "check_args", "check_output", "gives_probabilities", "model_digest"]

# Of outputs that look like probabilities, from 1; float16 inside a model is no better
SUM_TOLERANCE = 1e-3
_TRIED_ROWS = 8


def build(model: Model, *, in_shape: Tree, out_features: int, seed: int) -> nn.Module:
    """Return a fresh module whose weights are a function of ``seed`` alone, its modules in
    ``model.without`` switched off.

    A user's class or builder is called with ``model.args``; those of ``in_shape``, ``in_features``,
    ``out_features`` and ``num_classes`` that it takes and the recipe does not give are filled in.
    PyTorch's global generator is left as it was.

    Args:
        model: with nothing open.
        in_shape: of one row, without the batch axis; or what the inputs are, a tree of
            ``trees.Input``.
        out_features: classes, or 1 for regression.
        seed: of the variant.

    Raises:
        ModelError: the builder fails, takes other arguments, or gives no module; a module in
            ``without`` does not exist or cannot go.
    """
    builder = _builder(model.use)
    check_args(model)
    inputs = as_inputs(in_shape)
    if model.use in READY:
        args = {
            **READY_ARGS[model.use](**model.args).model_dump(),
            "in_shape": _of_floats(model.use, inputs),
            "out_features": out_features,
        }
    else:
        args = {**_offered(builder, inputs, out_features), **model.args}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "init"))
        try:
            if model.use in READY:
                _check_size(builder, args)
            module = builder(**args)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"model {model.use!r} could not be built with {args}: {type(error).__name__}: "
                f"{error}"
            ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"model {model.use!r}: expected a torch.nn.Module, got {type(module).__name__}"
        )
    if model.without:
        switch_off(module, model.without, in_shape=inputs)
    if model.start is not None:
        begin_from(module, model.start)
    return module


def _of_floats(use: str, inputs: Tree) -> tuple[int, ...]:
    """Return the shape of a row for a ready model, which takes one input of floats."""
    if isinstance(inputs, Input) and inputs.is_float:
        return inputs.shape
    found = ", ".join(f"{n} {i.dtype} {i.shape}" for n, i in by_name(inputs).items())
    raise ModelError(
        f"model.use: {use} takes one input of floats, and the data has {found}: expected a model "
        f"of your own"
    )


def _check_size(builder: Callable[..., Any], args: Mapping[str, Any]) -> None:
    """Refuse a ready model that would fill the memory, before it does."""
    wide = max(args.get("width", 0), args.get("channels", 0), args.get("kernel", 0))
    if wide * args["depth"] <= SURELY_SMALL:
        return
    with torch.device("meta"):  # shapes without memory
        count = sum(p.numel() for p in builder(**args).parameters())
    if count > MOST_PARAMETERS:
        raise ModelError(
            f"model.args: a model of {count:,} parameters, more than {MOST_PARAMETERS:,}, which "
            f"is as much as is built"
        )


def check_args(model: Model) -> None:
    """Refuse arguments that the model's class or builder does not take.

    Raises:
        ModelError: naming each unknown argument and the nearest known one.
    """
    if model.use in READY:
        return  # the recipe has checked them
    known = _parameters(_builder(model.use))
    if known is None:
        return
    wrong = [f"{name!r}{did_you_mean(name, known)}" for name in model.args if name not in known]
    if wrong:
        raise ModelError(
            f"model.args: {model.use!r} takes no argument {'; no argument '.join(wrong)}"
        )


def check_output(module: nn.Module, *, in_shape: Tree, out_features: int, task: str) -> None:
    """Try two rows, as in training and as in prediction, and refuse a model whose main output does
    not fit the task.

    The module and PyTorch's global generator are left as they were.

    Raises:
        ModelError: the forward pass fails, nothing in the output depends on a parameter, or the
            main output is not (batch, classes), or (batch,) or (batch, 1) for regression.
    """
    tried = copy.deepcopy(module)  # a forward pass in training mode moves running means
    x = example_rows(in_shape, 2, tried)
    for is_training in (False, True):
        with torch.random.fork_rng(devices=[]):
            outputs = _tried(tried.train(is_training), x)
        output = _check_outputs(outputs, out_features=out_features, task=task)
    if not output.requires_grad:
        raise ModelError(
            "the model cannot be trained: no parameter that takes gradients has a part in its "
            "output"
        )


def _tried(module: nn.Module, x: Tree) -> Any:
    try:
        return call(module, x)
    except Exception as error:
        mode = " in training mode" if module.training else ""
        kept = [n for n, t in by_name(x).items() if not t.is_floating_point()]
        hint = (
            f" - {', '.join(kept)} of whole numbers goes into the model as it is: if it is a "
            f"quantity, make it floats in the data"
            if kept and "dtype" in str(error)
            else ""
        )
        raise ModelError(
            f"the model fails{mode} on a batch of shape {described(x)} (rows of shape "
            f"{described(map_tree(lambda tensor: tensor[0], x))}): {type(error).__name__}: "
            f"{error}{hint}"
        ) from error


def gives_probabilities(module: nn.Module, *, in_shape: Tree, out_features: int) -> bool:
    """Return whether the main outputs of a classifier look like probabilities: in [0, 1], the
    classes of every row adding up to 1.

    Cross-entropy takes raw scores and applies a softmax of its own. Over probabilities it still
    trains, only slowly and to answers that can never be sure, so it must be told. The module and
    PyTorch's global generator are left as they were.
    """
    tried = copy.deepcopy(module).eval()
    zeros = example_rows(in_shape, _TRIED_ROWS, tried)
    generator = torch.Generator().manual_seed(0)

    def drawn(tensor: torch.Tensor) -> torch.Tensor:
        is_float = tensor.is_floating_point()
        return tensor.normal_(generator=generator) if is_float else tensor

    x = map_tree(lambda tensor: drawn(tensor.clone()), zeros)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        try:
            output = main(call(tried, x))
        # A model of whole numbers, an embedding say, refuses these rows; zeros went through
        except Exception:
            output = main(call(tried, zeros))
    if output.shape != (_TRIED_ROWS, out_features):
        return False
    in_range = bool((output >= 0).all() and (output <= 1).all())
    return in_range and bool((output.sum(dim=1) - 1).abs().max() < SUM_TOLERANCE)


def _check_outputs(outputs: Any, *, out_features: int, task: str) -> torch.Tensor:
    """Return the main output.

    Raises:
        ModelError: it does not fit the task, or another output is no tensor.
    """
    expected = "the model must return a tensor, or a tuple or mapping of tensors"
    if isinstance(outputs, Mapping | tuple | list):
        outputs = without_none(outputs)
    odd = [leaf for leaf in leaves(outputs) if not isinstance(leaf, torch.Tensor)]
    if odd or not leaves(outputs):
        raise ModelError(f"{expected}, got {type(odd[0] if odd else outputs).__name__}")
    output: torch.Tensor = main(outputs)
    which = "output"
    if not isinstance(outputs, torch.Tensor):
        names = ", ".join(name for name, _ in named_leaves(outputs))
        which = f"main output (`logits` or the first of {names})"
    shape = tuple(output.shape)
    got = f"(batch, {', '.join(map(str, shape[1:]))})"
    if task == "classification" and shape != (2, out_features):
        raise ModelError(
            f"the model's {which} does not fit the {out_features} classes: expected (batch, "
            f"{out_features}), got {got}"
            + (" - two classes need two outputs" if shape[1:] == (1,) else "")
        )
    if task == "regression" and shape not in ((2,), (2, 1)):
        raise ModelError(
            f"the model's {which} does not fit a regression: expected (batch, 1), got {got}"
        )
    return output


def model_digest(model: Model) -> str:
    """Return the SHA-256 of what the recipe only names: the source of the user's class or builder
    as it was loaded, with its helpers, or the name of a ready model; and the weights that it begins
    from.

    Raises:
        ModelError: it cannot be found.
    """
    if model.use in READY:
        code = hashlib.sha256(f"ready:{model.use}:1".encode()).hexdigest()
    else:
        code = source_digest(_builder(model.use))
    if model.start is None:
        return code
    return hashlib.sha256(f"{code}:{start_digest(model.start)}".encode()).hexdigest()


def _builder(use: str) -> Callable[..., Any]:
    """Return the class or function that builds the model. What cannot be one is refused before it
    is called.
    """
    if use in READY:
        return READY[use]
    expected = (
        "expected a subclass of torch.nn.Module, or a function written in Python that returns one"
    )
    if is_import_path(use) and is_standard(use.partition(":")[0]):
        raise ModelError(f"model.use: {expected}, got {use!r} of Python's own library ({TRUST})")
    try:
        found = resolve_object(use)
    except ObjectNotFound as error:
        raise ModelError(f"model.use: {error}") from None
    reason = uncallable(found) or _builds_none(found)
    if reason is not None:
        raise ModelError(f"model.use: {expected}, but {use!r} {reason} ({TRUST})")
    return found


def _builds_none(found: Any) -> str | None:
    """Return why a class or a Python function builds no module, as far as it says; None when it
    may.
    """
    made = found.func if isinstance(found, functools.partial) else found
    if inspect.isclass(made):
        return (
            None
            if issubclass(made, nn.Module)
            else f"is a class that is no torch.nn.Module, {made.__qualname__}"
        )
    function = written_in_python(found)
    if function is None:
        return None
    returned = _returned(function)
    if inspect.isclass(returned) and not _may_be_module(returned):
        return f"returns {returned.__name__}"
    package = installed_package(function)
    if package is None or _says_module(returned) or _is_modules_own(made):
        return None
    return (
        f"is a function of the installed package {package!r} that does not say that it returns a "
        f"module: call it in a builder "
        "in a file of your own, and name that, as `use: my_file:my_builder`"
    )


def _returned(function: Callable[..., Any]) -> Any:
    """Return what a function says that it returns; None where it does not say, says anything, or
    names what is not there.
    """
    try:
        returned = typing.get_type_hints(function).get("return")
    except Exception:
        return None
    return None if returned is typing.Any else returned


def _may_be_module(returned: type) -> bool:
    """Return whether a function that says it returns this may return a module: ``object``, or a
    protocol's class, may be one.
    """
    return issubclass(returned, nn.Module) or issubclass(nn.Module, returned)


def _says_module(returned: Any) -> bool:
    """Return whether an annotation is a module's class, or a union with one."""
    return any(
        inspect.isclass(kind) and issubclass(kind, nn.Module)
        for kind in (returned, *typing.get_args(returned))
    )


def _is_modules_own(found: Any) -> bool:
    """Return whether it is a class method of a module's class, as ``from_pretrained`` is."""
    owner = getattr(found, "__self__", None)
    return inspect.isclass(owner) and issubclass(owner, nn.Module)


def _parameters(builder: Callable[..., Any]) -> list[str] | None:
    """Return names the builder takes; None when it takes any."""
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(builder).parameters
    except (TypeError, ValueError):  # written in C, it does not say
        return None
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return None
    return list(parameters)


def _offered(builder: Callable[..., Any], inputs: Tree, out_features: int) -> dict[str, Any]:
    known = _parameters(builder) or []
    offers: dict[str, Any] = {
        "in_shape": map_tree(lambda one: one.shape, inputs),
        "out_features": out_features,
        "num_classes": out_features,
    }
    if isinstance(inputs, Input) and len(inputs.shape) == 1:
        offers["in_features"] = inputs.shape[0]
    return {name: value for name, value in offers.items() if name in known}
