"""The data room: a source is read, split and prepared; everything that is learned is learned from the training rows."""

from winnow.data._columns import Block, Column, Target
from winnow.data._preparation import Preparation
from winnow.data._prepared import Part, Prepared, Rows, describe, prepare, prepare_once
from winnow.data._read_rows import read_rows
from winnow.data._sketch import metric_note, sketch_recipe
from winnow.data._table import Table, load_table
from winnow.data._unusual import Unusual

__all__ = [
    "Block",
    "Column",
    "Part",
    "Preparation",
    "Prepared",
    "Rows",
    "Table",
    "Target",
    "Unusual",
    "describe",
    "load_table",
    "metric_note",
    "prepare",
    "prepare_once",
    "read_rows",
    "sketch_recipe",
]
