"""Tables as people have them are read for what they say, in training and when rows are
predicted.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.odd_tables import ODD, Odd

from winnow.data import Column, Preparation, prepare, read_rows
from winnow.data._amounts import amounts
from winnow.data._csv import read_csv
from winnow.data._text import Style
from winnow.errors import DataError, InputError
from winnow.recipe import Data


@pytest.fixture(params=ODD, ids=lambda odd: odd.name)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Odd, Path]:
    path = tmp_path / request.param.name
    path.write_bytes(request.param.content)
    return request.param, path


def test_what_is_written_is_what_is_read(odd: tuple[Odd, Path]) -> None:
    table, path = odd
    data = Data(source=str(path), target="y", **table.settings)
    typed = read_csv(path, Style.of(data))

    for name, values in table.values.items():
        assert typed.frame[name].to_list() == values
    told = " | ".join(prepare(data).notes)
    for note in table.notes:
        assert note in told
    for name in table.left_out:
        assert f"column {name!r}" in told


def test_rows_of_the_same_file_are_read_alike_when_they_are_predicted(
    odd: tuple[Odd, Path],
) -> None:
    table, path = odd
    prepared = prepare(Data(source=str(path), target="y", **table.settings))
    plain = json.loads(json.dumps(prepared.preparation.to_dict()))
    preparation = Preparation.from_dict(plain)

    features = preparation.transform(read_rows(path, preparation))

    assert not set(table.left_out) & {c.name for c in preparation.columns}
    for part in (prepared.train, prepared.validation, prepared.test):
        np.testing.assert_array_equal(features[part.index], part.X)


def test_an_amount_and_its_number_give_one_answer(tmp_path: Path) -> None:
    for odd in ODD[:7]:
        path = tmp_path / odd.name
        path.write_bytes(odd.content)
        preparation = prepare(Data(source=str(path), target="y")).preparation
        (column,) = (c for c in preparation.columns if isinstance(c, Column))
        written = pl.read_csv(path, infer_schema=False)[column.name].to_list()

        as_text = preparation.transform([{column.name: text} for text in written])
        as_numbers = preparation.transform(
            [{column.name: value} for value in odd.values[column.name]]
        )

        np.testing.assert_array_equal(as_text, as_numbers)


def test_other_units_and_other_marks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(ODD[0].content)
    preparation = prepare(Data(source=str(path), target="y")).preparation

    with pytest.raises(
        InputError,
        match=r"rows\[0\]\.price: expected a number such as \$.*, got '€5'; .*got '1.234,5'",
    ):
        preparation.transform([{"price": "€5"}, {"price": "1.234,5"}, {"price": "$5"}])


def test_a_plain_column_takes_no_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1,u\n2,v\n" * 20)
    preparation = prepare(Data(source=str(path), target="y")).preparation

    with pytest.raises(InputError, match="expected a number, got '1'"):
        preparation.transform([{"x": "1"}])


def test_a_target_of_amounts_is_a_quantity(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,price\n" + "".join(f'{i},"${1000 + 7.5 * i:,.2f}"\n' for i in range(60)))

    prepared = prepare(Data(source=str(path), target="price"))

    assert prepared.task == "regression"
    assert prepared.preparation.target.minimum is not None
    assert prepared.preparation.target.minimum >= 1000


def test_a_target_that_is_nearly_numbers_says_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,price\n" + "".join(f"{i},{7.5 * i}\n" for i in range(60)) + "3,about 5\n")

    with pytest.raises(
        DataError,
        match=r"data.target: target 'price': 98% of the values are numbers, but 'about 5' \(line "
        r"62\) is not",
    ):
        prepare(Data(source=str(path), target="price"))


def test_an_encoding_that_the_bytes_are_not(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"city,y\n" + "Bonn,u\nKöln,v\n".encode("cp1252") * 10)

    with pytest.raises(
        DataError, match=r"data.encoding: .* is not utf-8: line 3 holds the byte 0xf6"
    ):
        prepare(Data(source=str(path), target="y", encoding="utf-8"))


@pytest.mark.parametrize(
    "setting",
    [{"encoding": "klingon"}, {"separator": ";;"}, {"decimal": "'"}, {"dates": "year_first"}],
)
def test_settings_that_are_none(setting: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"data.{next(iter(setting))}|{next(iter(setting))}"):
        Data(source="a.csv", target="y", **setting)


# Every way to write a number that the grammar knows, undone by the reading of it.
GROUPS = {
    ".": (",", " ", "'", "\u2019", "\u00a0", "\u202f", ""),
    ",": (".", " ", "'", "\u00a0", "\u202f", ""),
}


@given(
    value=st.decimals(
        min_value=-(10**12), max_value=10**12, places=2, allow_nan=False, allow_infinity=False
    ),
    mark=st.sampled_from([".", ","]),
    data=st.data(),
)
def test_numbers_written_as_people_do_are_read_back(
    value: object, mark: str, data: st.DataObject
) -> None:
    group = data.draw(st.sampled_from(GROUPS[mark]))
    unit = data.draw(st.sampled_from(["{}", "${}", "€ {}", "{} EUR", "{}%", "US${}", "{} kr"]))
    negative = data.draw(st.sampled_from(["-{}", "({})", "\u2212{}"]))
    digits = f"{abs(value):,.2f}".translate(str.maketrans({",": group, ".": mark}))  # type: ignore[arg-type]
    text = unit.format(digits)
    text = negative.format(text) if value < 0 else text  # type: ignore[operator]

    assert amounts(pl.Series([text]), mark).values.to_list() == [float(value)]  # type: ignore[arg-type]


@given(
    st.lists(st.dates(dt.date(1970, 1, 1), dt.date(2060, 12, 31)), min_size=30, max_size=60),
    st.sampled_from(
        [
            "%d/%m/%Y",
            "%m/%d/%Y",
            "%d.%m.%Y",
            "%d-%m-%Y",
            "%Y/%m/%d",
            "%d %b %Y",
            "%B %d, %Y",
            "%d-%b-%y",
        ]
    ),
)
def test_dates_are_read_back(days: list[dt.date], form: str) -> None:
    from winnow.data._dates import find_dates

    days = [dt.date(2024, 5, 31), dt.date(2024, 2, 29), *days]  # the day tells itself
    found = find_dates(pl.Series([d.strftime(form) for d in days]))

    assert found is not None
    assert found.values.to_list() == days
