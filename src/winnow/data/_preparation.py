"""The fitted preparation: raw rows to features, and outputs back to answers. Plain data and
NumPy; nothing is learned here.

Axes: N rows, F features before the steps, G features after them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from winnow.data._columns import Block, Column, Target
from winnow.data._rows import ParsedRows, read_block, read_blocks, read_columns
from winnow.data._softmax import softmax
from winnow.data._unusual import Unusual, unusual_in_block, unusual_in_table
from winnow.errors import DataError, InputError, Problem
from winnow.methods import Curve, Program
from winnow.trees import Input, Tree, leaves, like

__all__ = ["Preparation"]

# Of the dictionary; readers refuse what is newer. 1: columns did not say how their text was read;
# 3: a column has a curve; 4: there are steps, several inputs, or one that is not of floats. What
# has none of these is still written as 2, which earlier versions read
FORMAT = 4
_WITH_CURVES = 3
_PLAIN = 2
_NO_STEPS = Program()
_AT_ONCE = 2**22  # features that go through the steps at once: 32 MiB in double precision

Layout = Literal["one", "tuple", "mapping"]


@dataclass(frozen=True)
class Preparation:
    """What was learned from the training rows, as plain data.

    Attributes:
        columns: what rows consist of, in order; one ``Block`` when a row is an array of several
            dimensions, and one for each of several inputs.
        target: what is predicted.
        shape: one row's features as the model sees them; () where there are several inputs.
        encoding, separator: of files of text, where the recipe said so.
        program: what steps learned to do to the features of a row; nothing where there are none.
        layout: how the model gets its inputs: ``one``, or several as its arguments in order
            (``tuple``) or by name (``mapping``).
    """

    columns: tuple[Column | Block, ...]
    target: Target
    shape: tuple[int, ...]
    encoding: str | None = None
    separator: str | None = None
    program: Program = _NO_STEPS
    layout: Layout = "one"

    @classmethod
    def of_blocks(cls, blocks: tuple[Block, ...], target: Target, inputs: Tree) -> Preparation:
        """Return the preparation of rows that are arrays.

        Args:
            blocks: one for each input, in order.
            target: what is predicted.
            inputs: a tree of the model's inputs, for its structure.
        """
        if isinstance(inputs, Mapping | tuple):
            layout: Layout = "mapping" if isinstance(inputs, Mapping) else "tuple"
            return cls(blocks, target, (), layout=layout)
        return cls(blocks, target, blocks[0].shape)

    @cached_property
    def inputs(self) -> Tree:
        """What the model gets: one ``Input``, or a tuple or mapping of them."""
        if self.layout == "one":
            return Input(self.shape, self._block.dtype if self._block else "float32")
        found = {block.name: block.input for block in self._blocks}
        return found if self.layout == "mapping" else tuple(found.values())

    # -- rows to features --------------------------------------------------------------------------

    def transform(self, rows: Any) -> Tree:
        """Return features (N, *shape) as float32; of several inputs a tuple or mapping of arrays
        (N, ...).

        ``rows``: a polars or pandas frame, a list of records, a mapping of columns, one record, or
        an array (N, columns). NaN stands for a gap where gaps are allowed, and columns that are not
        needed are passed over. Of several inputs: records, one record, or the arrays as a tuple or
        by name.

        Raises:
            InputError: rows that do not fit; ``problems`` names the row and the field of each
                mistake.
        """
        if self.layout != "one":
            return self._transform_blocks(self._read_blocks(rows))
        if self._block is not None:
            return self._transform_block(self._read_block(rows, self._block), self._block)
        return self._transform_table(self._read_table(rows))

    def examine(self, rows: Any) -> tuple[Tree, list[list[Unusual]]]:
        """Return features as ``transform`` gives them, and for each row the values unlike any in
        the training rows.

        Args:
            rows: as ``transform`` takes them; they are read once.

        Raises:
            InputError: rows that do not fit; ``problems`` names the row and the field of each
                mistake.
        """
        if self.layout != "one":
            arrays = self._read_blocks(rows)
            found = [unusual_in_block(a, b) for a, b in zip(arrays, self._blocks, strict=True)]
            each = [
                [one for of_input in row for one in of_input] for row in zip(*found, strict=True)
            ]
            return self._transform_blocks(arrays), each
        if self._block is not None:
            array = self._read_block(rows, self._block)
            return self._transform_block(array, self._block), unusual_in_block(array, self._block)
        parsed = self._read_table(rows)
        return self._transform_table(parsed), unusual_in_table(parsed, self._table)

    def _read_block(self, rows: Any, block: Block) -> np.ndarray:
        array, problems = read_block(rows, block)
        if problems:
            raise InputError(problems)
        return array

    def _read_blocks(self, rows: Any) -> list[np.ndarray]:
        arrays, problems = read_blocks(rows, self._blocks)
        if problems:
            raise InputError(problems)
        return arrays

    def _read_table(self, rows: Any) -> ParsedRows:
        parsed = read_columns(rows, self._table, lenient=True)
        if parsed.problems:
            raise InputError(parsed.problems)
        return parsed

    def input_problems(self, rows: Any, *, lenient: bool = False) -> list[Problem]:
        """Return what in ``rows`` does not fit: fields that are missing, unknown, of the wrong type
        or not finite; empty when all fit.

        A value of None is a gap, and fine where gaps are allowed; so is a category that was never
        seen. ``lenient`` lets NaN be a gap and passes over unknown fields, as ``transform`` does;
        frames are always read so.
        """
        if self.layout != "one":
            return read_blocks(rows, self._blocks)[1]
        if self._block is not None:
            return read_block(rows, self._block)[1]
        return read_columns(rows, self._table, lenient=lenient).problems

    def _transform_table(self, parsed: ParsedRows) -> np.ndarray:
        numeric = [c for c in self._table if c.kind != "category"]
        gaps = np.isnan(parsed.numbers)
        filled = np.where(gaps, np.array([c.fill for c in numeric]), parsed.numbers)
        scaled = (filled - np.array([c.mean for c in numeric])) / np.array(
            [c.scale for c in numeric]
        )
        for k, column in enumerate(numeric):
            if column.curve is not None:
                scaled[:, k] = column.curve.apply(filled[:, k])
        width = sum(len(column.features) for column in self._table)
        out, at, k = np.zeros((parsed.count, width), dtype=np.float32), 0, 0
        for column in self._table:
            if column.kind == "category":
                place = column.positions(parsed.texts[column.name])
                seen = np.flatnonzero(place >= 0)
                out[seen, at + place[seen]] = 1.0
            else:
                out[:, at] = scaled[:, k]
                if column.indicator:
                    out[:, at + 1] = gaps[:, k]
                k += 1
            at += len(column.features)
        return self._stepped(out).reshape(parsed.count, *self.shape)

    def _stepped(self, X_NF: np.ndarray) -> np.ndarray:
        """Return features after the steps, (N, G) float32, of those before them."""
        if not self.program.operations:
            return X_NF
        X_NG = np.empty((len(X_NF), self.width), dtype=np.float32)
        at_once = max(1, _AT_ONCE // max(X_NF.shape[1], self.width))
        for start in range(0, len(X_NF), at_once):
            piece = slice(start, start + at_once)
            X_NG[piece] = self.program.apply(X_NF[piece].astype(np.float64))
        return X_NG

    def _transform_blocks(self, arrays: list[np.ndarray]) -> Tree:
        found = [_scaled(array, block) for array, block in zip(arrays, self._blocks, strict=True)]
        return like(self.inputs, iter(found))

    def _transform_block(self, array: np.ndarray, block: Block) -> np.ndarray:
        return _scaled(array, block).reshape(len(array), *self.shape)

    # -- outputs to answers ------------------------------------------------------------------------

    def probabilities(self, outputs: Any) -> np.ndarray:
        """(N, C) float64 class probabilities of logits (N, C): their softmax.

        Raises:
            ValueError: for a regression, or another number of outputs than classes.
        """
        if self.target.task != "classification":
            raise ValueError(f"{self.target.name!r} is a quantity: it has no probabilities")
        return softmax(self._outputs(outputs))

    def decode(self, outputs: Any) -> np.ndarray:
        """Return predictions from raw outputs, (N,): classes as they were in the data from (N, C),
        target units from (N, 1) or (N,).
        """
        values = self._outputs(outputs)
        if self.target.task == "classification":
            return self.target.values()[values.argmax(axis=1)]
        return values[:, 0] * self.target.scale + self.target.mean

    def _outputs(self, outputs: Any) -> np.ndarray:
        values = np.asarray(
            outputs.detach().cpu() if hasattr(outputs, "detach") else outputs, dtype=np.float64
        )
        if values.ndim == 1 and self.target.task == "regression":
            values = values[:, None]
        if values.ndim != 2 or values.shape[1] != self.out_features:
            raise ValueError(f"expected outputs (rows, {self.out_features}), got {values.shape}")
        return values

    # -- description -------------------------------------------------------------------------------

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features in the order of the flattened row: ``age``, ``age (missing)``,
        ``city=Rome``; after steps as these call them.
        """
        return self.program.names([name for column in self.columns for name in column.features])

    @property
    def schema(self) -> list[dict[str, Any]]:
        """One entry for each field of a row.

        ``name``, ``kind`` (number, boolean, category, array), ``required``, ``missing_allowed``,
        and by kind ``format``, ``minimum``, ``maximum``, ``whole``, ``categories``, ``others``,
        ``typical``, ``example``, ``gaps``; all of it seen in training rows alone.
        """
        return [column.schema() for column in self.columns]

    @cached_property
    def width(self) -> int:
        """Number of features of a row."""
        return sum(one.size for one in leaves(self.inputs))

    @property
    def out_features(self) -> int:
        """Number of outputs a model needs: one for each class, or 1."""
        return len(self.target.classes) or 1

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Labels in the order of the outputs, as text; None for a regression."""
        return self.target.classes or None

    @property
    def target_scale(self) -> float:
        """How many units of the target one unit of the model's output is; 1 for a
        classification.
        """
        return self.target.scale

    @property
    def target_center(self) -> float:
        """The target, in its own units, at which the model's output is 0; 0 for a
        classification.
        """
        return self.target.mean

    @cached_property
    def fitted_digest(self) -> str:
        """SHA-256 of what a scaler and steps learned, whatever their code."""
        scalings = [
            (c.mean, c.scale, c.curves) if isinstance(c, Block) else (c.mean, c.scale, c.curve)
            for c in self.columns
        ]
        digest = hashlib.sha256(repr(scalings).encode())
        if self.program.operations:
            digest.update(repr(self.program.to_plain()).encode())
        return digest.hexdigest()

    @cached_property
    def _block(self) -> Block | None:
        first = self.columns[0]
        return first if isinstance(first, Block) else None

    @cached_property
    def _blocks(self) -> tuple[Block, ...]:
        return tuple(c for c in self.columns if isinstance(c, Block))

    @cached_property
    def _table(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if isinstance(c, Column))

    # -- writing and reading -----------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; ``from_dict`` gives an equal preparation."""
        columns = [_plain(column) for column in self.columns]
        has_curves = any({"curve", "curves"} & column.keys() for column in columns)
        older = _WITH_CURVES if has_curves else _PLAIN
        is_new = self.layout != "one" or any("dtype" in column for column in columns)
        layout = {"layout": self.layout} if self.layout != "one" else {}
        plain = {
            "format": FORMAT if is_new else older,
            "columns": columns,
            "target": asdict(self.target),
            "shape": list(self.shape),
            **layout,
            "encoding": self.encoding,
            "separator": self.separator,
        }
        if self.program.operations:
            plain |= {"format": FORMAT, "program": self.program.to_plain()}
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Preparation:
        """Return the preparation that ``to_dict`` wrote, also after a way through JSON.

        Raises:
            DataError: something else, or the writing of a newer winnow.
        """
        found = plain.get("format") if isinstance(plain, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise DataError(
                f"this preparation has format {found}, this winnow reads up to {FORMAT}: install "
                f"a newer winnow-ml"
            )
        try:
            columns = tuple(_column(c) for c in plain["columns"])
            target = Target(**{**plain["target"], "classes": tuple(plain["target"]["classes"])})
            shape, layout = tuple(plain["shape"]), plain.get("layout", "one")
            if layout not in get_args(Layout):
                raise KeyError("layout")
            if not isinstance(found, int) or found < 1 or not columns:
                raise KeyError("format")
            program = Program.from_plain(plain.get("program", ()))
            preparation = cls(
                columns,
                target,
                shape,
                plain.get("encoding"),
                plain.get("separator"),
                program,
                layout,
            )
            preparation._check_steps()
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise DataError(f"not a preparation: {type(error).__name__}: {error}") from None
        return preparation

    def _check_steps(self) -> None:
        """Raise ValueError where the steps do not fit the features, or the shape."""
        if self.program.operations and len(self.feature_names) != self.width:
            raise ValueError(
                f"the steps give {len(self.feature_names)} features, and the shape has {self.width}"
            )


def _scaled(array: np.ndarray, block: Block) -> np.ndarray:
    """Return an input as the model gets it, (N, *shape of the block)."""
    if not block.mean:  # whole numbers or booleans
        return array.astype(block.dtype, copy=False)
    per_channel = (1, -1, *(1,) * (len(block.shape) - 1)) if block.shape else (-1,)
    mean, scale = (np.array(one).reshape(per_channel) for one in (block.mean, block.scale))
    scaled = (array - mean) / scale
    for channel, curve in enumerate(block.curves):
        if curve is not None:
            place = (slice(None), channel) if block.shape else slice(None)
            scaled[place] = curve.apply(array[place].astype(np.float64))
    return scaled.astype(np.float32)


def _plain(column: Column | Block) -> dict[str, Any]:
    """Return a column as plain data, without curves where it has none."""
    plain = {"block": isinstance(column, Block), **asdict(column)}
    if isinstance(column, Column):
        curve = {"curve": column.curve and column.curve.to_dict()}
        return {**plain, **curve} if column.curve else _without(plain, "curve")
    if column.input.is_float:
        plain = _without(plain, "dtype")
    curves = {"curves": [curve and curve.to_dict() for curve in column.curves]}
    return {**plain, **curves} if column.curves else _without(plain, "curves")


def _without(plain: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key != name}


def _column(plain: dict[str, Any]) -> Column | Block:
    settings: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in plain.items() if name != "block"
    }
    if settings.get("curve") is not None:
        settings["curve"] = Curve.from_dict(settings["curve"])
    if "curves" in settings:
        settings["curves"] = tuple(c and Curve.from_dict(c) for c in settings["curves"])
    return Block(**settings) if plain["block"] else Column(**settings)
