"""Digests of Python objects that a recipe can only name: the same content gives the same name, in
any process.

Arrays and frames go by their values, code by what it was compiled to. Not by its source alone: two
lambdas on one line share theirs, and what is typed into a notebook may have none.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import types
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from winnow.recipe._sources import helper_sources, module_sources

__all__ = ["SAMPLED_ITEMS", "content_digest", "dataset_digest", "sampled_items", "source_digest"]

_PLAIN = (str, bytes, int, float, complex, type(None), type(...))


def source_digest(value: Any) -> str:
    """Return the SHA-256 of the code behind a class or function, so that an edited model is a
    different model.

    What an imported module defines goes by the module's whole source, and that of the helpers that
    it imports from its own package, or from its directory where it is in none. The files are read
    once in a process, when the module is first asked
    about: what is edited later was not loaded, and does not count until the module is imported
    anew.

    What was typed into a script or notebook goes by its compiled code and that of the neighbors it
    uses: other edits there change nothing. The helpers beside a script count as above.
    """
    digest = hashlib.sha256()
    module = inspect.getmodule(value)
    if module is not None and module.__name__ != "__main__":
        known = _module_digest(module)
        if known is not None:
            return known
    _Feed(digest).code(value)
    if (
        module is not None
        and module.__name__ == "__main__"
        and (helpers := _module_digest(module)) is not None
    ):
        digest.update(helpers.encode())
    return digest.hexdigest()


_LOADED: weakref.WeakKeyDictionary[types.ModuleType, tuple[dict[str, Any], str | None]] = (
    weakref.WeakKeyDictionary()
)


def _module_digest(module: types.ModuleType) -> str | None:
    """Return the SHA-256 of a module's sources as they were loaded; None without any. Kept until
    one of the modules is imported anew.
    """
    known = _LOADED.get(module)
    if known is not None and all(
        spec is known[0][name] or known[0][name] is None for name, spec in _specs(known[0]).items()
    ):
        return known[1]
    sources = helper_sources(module) if module.__name__ == "__main__" else module_sources(module)
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}:{len(sources[name])}:".encode())
        digest.update(sources[name])
    found = digest.hexdigest() if sources else None
    _LOADED[module] = _specs(sorted({module.__name__, *sources})), found
    return found


def _specs(names: Iterable[str]) -> dict[str, Any]:
    """Return what shows that a module was imported anew, by name: a reload makes a new spec. None
    for one that is not loaded.
    """
    return {name: getattr(sys.modules.get(name), "__spec__", None) for name in names}


def content_digest(value: Any) -> str:
    """Return the SHA-256 of an object's content: arrays, tensors and frames by their values, code
    with its defaults and what it closes over.

    Raises:
        TypeError: for an object whose content cannot be read.
        ValueError: for a frame with two columns of one name.
    """
    digest = hashlib.sha256()
    _Feed(digest).value(value)
    return digest.hexdigest()


SAMPLED_ITEMS = 32  # items of a dataset that stand for all of them


def sampled_items(length: int) -> list[int]:
    """Return positions of at most ``SAMPLED_ITEMS`` items spread evenly over ``length``, the first
    and the last among them.
    """
    count = min(length, SAMPLED_ITEMS)
    return sorted({round(k * (length - 1) / max(count - 1, 1)) for k in range(count)})


def dataset_digest(datasets: Any, version: str | None = None) -> str:
    """Return the SHA-256 of what can be seen of a dataset, or of a mapping of datasets by part,
    without reading it whole: the number of items, ``SAMPLED_ITEMS`` of them spread evenly, and
    ``version``. A change elsewhere does not show in it.

    An item that cannot be read is passed over: whoever uses the dataset says what is wrong with it.
    """
    digest = hashlib.sha256()
    feed = _Feed(digest)
    feed.value(version)
    for part, dataset in datasets.items() if isinstance(datasets, Mapping) else [("", datasets)]:
        feed.text(str(part))
        try:
            length = len(dataset)
            feed.value(length)
            for i in sampled_items(length):
                item = dataset[i]
                feed.what_can_be_read(list(item) if isinstance(item, tuple | list) else item)
        except Exception:  # a dataset of the user's may raise anything
            feed.text(type(dataset).__qualname__)
    return digest.hexdigest()


class _Feed:
    """One walk through an object. Each thing is fed with its kind and size first, so no two
    contents spell the same bytes.
    """

    def __init__(self, digest: Any, seen: set[int] | None = None) -> None:
        self.digest = digest
        # Classes and functions, which may lead back to themselves
        self.seen: set[int] = set() if seen is None else seen

    def text(self, text: str) -> None:
        self.digest.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))

    def value(self, value: Any) -> None:
        if isinstance(value, tuple | list):
            self.text(f"{type(value).__name__}{len(value)}")
            for item in value:
                self.value(item)
        elif isinstance(value, Mapping):
            self.text(f"dict{len(value)}")
            for key in sorted(value, key=str):
                self.text(str(key))
                self.value(value[key])
        elif isinstance(value, _PLAIN):
            self.text(type(value).__name__)
            self.text(repr(value))
        elif (
            inspect.isclass(value)
            or inspect.isroutine(value)
            or isinstance(value, functools.partial)
        ):
            self.code(value)
        elif hasattr(value, "columns") and hasattr(value, "to_numpy"):  # pandas and polars frames
            self.frame(value)
        elif hasattr(value, "detach") or hasattr(value, "__array__"):
            self.array(value)
        elif callable(value):
            self.code(type(value))
            self.what_can_be_read(vars(value) if hasattr(value, "__dict__") else None)
        else:
            raise TypeError(
                f"cannot take the content of {type(value).__name__}: give arrays, tensors, a "
                f"frame, a class or a function"
            )

    def frame(self, frame: Any) -> None:
        columns = list(frame.columns)
        if len(set(columns)) < len(columns):
            twice = next(c for c in columns if columns.count(c) > 1)
            raise ValueError(f"the columns of a frame must differ, got {twice!r} twice")
        self.text(f"frame{len(columns)}")
        for column in columns:
            self.text(str(column))
            self.array(frame[column].to_numpy())

    def array(self, value: Any) -> None:
        import numpy as np  # only where there are arrays, and then it is loaded already

        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if "float8" in str(value.dtype) or "bfloat16" in str(value.dtype):
                self.text(str(value.dtype))
                value = value.float()  # NumPy has no such type, and this loses nothing
        array = np.asarray(value)
        self.text(f"{array.dtype}{array.shape}")
        if array.dtype == object:
            self.text(repr(array.tolist()))
        else:
            self.digest.update(np.ascontiguousarray(array).tobytes())

    def code(self, value: Any) -> None:
        self.text(
            f"code {getattr(value, '__module__', '')} "
            f"{getattr(value, '__qualname__', type(value).__qualname__)}"
        )
        if id(value) in self.seen:
            return
        self.seen.add(id(value))
        if isinstance(value, functools.partial):
            self.code(value.func)
            self.what_can_be_read([value.args, value.keywords])
        elif inspect.ismethod(value):
            self.code(value.__func__)
            self.what_can_be_read(value.__self__)
        elif inspect.isclass(value):
            self.class_body(value)
        elif inspect.isfunction(value):
            self.compiled(value.__code__, value)
            cells = [_content(cell) for cell in value.__closure__ or ()]
            for item in (value.__defaults__, value.__kwdefaults__, *cells):
                self.what_can_be_read(item)

    def class_body(self, cls: type) -> None:
        for base in cls.__bases__:
            self.text(base.__qualname__)
            if base.__module__ == cls.__module__:
                self.code(base)
        for name in sorted(vars(cls)):
            item = vars(cls)[name]
            inner = getattr(item, "__func__", getattr(item, "fget", item))
            if inspect.isfunction(inner) or (
                not name.startswith("__") and isinstance(inner, (*_PLAIN, tuple))
            ):
                self.text(name)
                self.what_can_be_read(inner)

    def compiled(self, code: types.CodeType, function: types.FunctionType) -> None:
        """Feed what was compiled, and the neighbors it uses: classes, functions and plain
        values of the same module.
        """
        self.digest.update(code.co_code)
        self.text(repr((code.co_names, code.co_varnames)))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self.compiled(constant, function)
            else:  # the order of a frozenset differs from process to process
                self.text(
                    repr(
                        sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
                    )
                )
        for name in code.co_names:
            used = function.__globals__.get(name)
            if isinstance(used, _PLAIN) or getattr(used, "__module__", None) == function.__module__:
                self.what_can_be_read(used)

    def what_can_be_read(self, value: Any) -> None:
        """Feed ``value``, or the name of its type where its content cannot be read."""
        inner = hashlib.sha256()
        try:
            _Feed(inner, self.seen).value(value)
        except (TypeError, ValueError):
            inner.update(type(value).__qualname__.encode())
        self.digest.update(inner.digest())


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
