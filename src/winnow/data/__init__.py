"""The data room: a source is read, split and prepared; everything that is learned is learned
from the training rows.
"""

from winnow.data._columns import Block, Column, Target
from winnow.data._default_recipe import default_recipe, default_recipe_notes
from winnow.data._inputs import InputArrays
from winnow.data._preparation import Preparation
from winnow.data._prepared import Part, PreparedData, Rows, describe, prepare, prepare_once
from winnow.data._read_rows import read_rows
from winnow.data._record import DataRecord
from winnow.data._softmax import softmax
from winnow.data._source import file_digest
from winnow.data._table import Table, load_table
from winnow.data._unusual import Unusual
from winnow.data._worth import rounded_up, row_worth

__all__ = [
    "Block",
    "Column",
    "DataRecord",
    "InputArrays",
    "Part",
    "Preparation",
    "PreparedData",
    "Rows",
    "Table",
    "Target",
    "Unusual",
    "default_recipe",
    "default_recipe_notes",
    "describe",
    "file_digest",
    "load_table",
    "prepare",
    "prepare_once",
    "read_rows",
    "rounded_up",
    "row_worth",
    "softmax",
]
