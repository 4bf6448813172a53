import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo_graph.importers import cells
from zoo_graph.importers.cells import CellError


@pytest.mark.parametrize("cell", ["abc", "1_000", "0,85", True, "NaN", math.nan, "inf", [1.0]])
def test_what_is_no_finite_number_is_refused(cell: object) -> None:
    with pytest.raises(CellError):
        cells.number(cell)


def test_an_empty_number_is_none() -> None:
    assert cells.number("") is cells.number(None) is cells.number("  ") is None
    assert cells.number(" 8.5e1 ") == 85.0


@pytest.mark.parametrize(
    ("cell", "unit", "wanted"),
    [
        ("110M", "", 110_000_000),
        ("1.1B", "", 1_100_000_000),
        ("350k", "", 350_000),
        ("305.08", "M", 305_080_000),
        ("1,013.01", "M", 1_013_010_000),
        (568000000.0, "", 568_000_000),
        ("110,000,000", "", 110_000_000),
        ("0", "", 0),
        ("", "", None),
        ("None", "M", None),
    ],
)
def test_a_count_is_read_with_its_unit(cell: object, unit: str, wanted: int | None) -> None:
    assert cells.count(cell, unit) == wanted


@pytest.mark.parametrize("cell", ["305.08", "22", "-5", "many", "1e30", "5M parameters"])
def test_a_count_without_its_unit_is_no_guess(cell: str) -> None:
    with pytest.raises(CellError):
        cells.count(cell)


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ('["a", "b", "a"]', ("a", "b")),
        ("a; b", ("a", "b")),
        ("['a', 'b']", ("a", "b")),
        ('{"a": ["train"], "b": []}', ("a", "b")),
        (None, ()),
        ("one", ("one",)),
    ],
)
def test_lists_are_read_in_the_forms_people_write(cell: object, wanted: tuple[str, ...]) -> None:
    assert cells.names(cell) == wanted


def test_a_broken_list_is_refused() -> None:
    with pytest.raises(CellError, match="JSON list"):
        cells.names("[oops")
    with pytest.raises(CellError):
        cells.numbers('["a"]')


@given(st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6), st.booleans()))
def test_a_condition_is_the_same_from_csv_and_parquet(value: int | float | bool) -> None:
    assert cells.scalar(str(value)) == cells.scalar(value)


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert cells.whole("42.0") == cells.whole(42.0) == 42
    with pytest.raises(CellError, match="whole number"):
        cells.whole("4.2")


def test_seconds_are_not_negative() -> None:
    assert cells.seconds("") is None
    with pytest.raises(CellError, match="0 seconds or more"):
        cells.seconds(-1.0)


@pytest.mark.parametrize("cell", [str(2**63), str(-(2**63) - 1), "1e30", 1e30, 2**64, "9" * 5000])
def test_a_whole_number_that_no_graph_can_hold_is_refused(cell: object) -> None:
    with pytest.raises(CellError):
        cells.whole(cell)


def test_a_whole_number_is_read_to_its_last_digit() -> None:
    assert cells.whole(str(2**63 - 1)) == cells.whole(2**63 - 1) == 2**63 - 1
    assert (cells.whole("-3"), cells.whole("3.0"), cells.whole(3.0), cells.whole("n/a")) == (-3, 3, 3, None)


@pytest.mark.parametrize("cell", ["-1", -5, -1.0, str(2**63)])
def test_a_size_is_no_negative_number(cell: object) -> None:
    with pytest.raises(CellError):
        cells.size(cell)


def test_a_decimal_comma_is_told() -> None:
    with pytest.raises(CellError, match=r"write 0\.5 for 0,5"):
        cells.number("0,5")


def test_one_name_in_two_spellings_of_its_accents_is_one() -> None:
    assert cells.text("cafe\u0301") == cells.text("caf\u00e9") == "caf\u00e9"
    assert cells.names("cafe\u0301; caf\u00e9") == ("caf\u00e9",)


@pytest.mark.parametrize("cell", [b"\xff", "x" * 10_001, "\ud800"])
def test_what_is_no_text_a_graph_can_hold_is_refused(cell: object) -> None:
    with pytest.raises(CellError):
        cells.text(cell)


def test_an_escaped_half_character_is_refused() -> None:
    for read in (cells.names, cells.json_object):
        with pytest.raises(CellError):
            read('["\\ud800"]' if read is cells.names else '{"a": "\\ud800"}')


def test_numbers_beyond_every_range_stay_text_as_a_condition() -> None:
    assert cells.scalar("1e999") == "1e999"
    assert cells.scalar("9" * 5000) == "9" * 5000
