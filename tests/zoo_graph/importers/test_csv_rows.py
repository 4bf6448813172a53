import csv
import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo_graph.errors import ImportFileError
from zoo_graph.importers import csv_rows
from zoo_graph.importers.csv_rows import BadRow, CsvRows


def rows_of(text: str, width: int | None = None) -> list[tuple[int, list[str] | None]]:
    rows = CsvRows(io.StringIO(text, newline=""), Path("t.csv"), ",", width)
    return [(line, None if isinstance(row, BadRow) else list(row)) for line, row in rows]


def test_a_quote_that_nothing_closes_costs_one_row() -> None:
    text = 'a,1\n"b,2\nc,3\n"d, e",4\nf,5\n'
    assert rows_of(text, 2) == [(1, ["a", "1"]), (2, None), (3, ["c", "3"]), (4, ["d, e", "4"]), (5, ["f", "5"])]


def test_an_open_quote_in_the_last_cell_does_not_swallow_the_rest_of_a_file() -> None:
    assert rows_of('a,"1\nb,2\nc,3\n', 2) == [(1, None), (2, ["b", "2"]), (3, ["c", "3"])]


def test_two_open_quotes_do_not_close_each_other_over_a_good_row() -> None:
    assert rows_of('a,"1\nb,2\nc,"3\nd,4\n', 2) == [(1, None), (2, ["b", "2"]), (3, None), (4, ["d", "4"])]


def test_a_row_over_several_lines_is_read_where_it_is_well_formed() -> None:
    assert rows_of('"a\nb\n",1\nc,2\n', 2) == [(3, ["a\nb\n", "1"]), (4, ["c", "2"])]


def test_a_row_over_several_lines_of_the_wrong_width_costs_its_first_line() -> None:
    assert rows_of('"a\nb",1,9\nc,2\n', 2) == [(1, None), (2, ['b"', "1", "9"]), (3, ["c", "2"])]


def test_a_cell_that_is_too_long_costs_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = csv.field_size_limit()
    monkeypatch.setattr(csv_rows, "LONGEST_CELL", 200_000)
    try:
        csv.field_size_limit(100)
        assert rows_of(f'a,{"x" * 300_000}\nb,2\n"{"y" * 150_000}",3\n', 2) == [
            (1, None),
            (2, ["b", "2"]),
            (3, ["y" * 150_000, "3"]),
        ]
    finally:
        csv.field_size_limit(limit)


def test_a_line_without_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "LONGEST_LINE", 1000)
    with pytest.raises(ImportFileError, match=r"line 2\): got a line of more than 1,000"):
        rows_of("a,1\n" + "x" * 5000 + "\n", 2)


def test_many_open_quotes_take_no_longer_than_their_number() -> None:
    started = time.process_time()
    rows = rows_of('a"b,"c\n' * 20_000, 2)
    assert len(rows) == 20_000
    assert time.process_time() - started < 5


@given(st.lists(st.lists(st.text('ab,"\n\r ', max_size=6), min_size=2, max_size=2), max_size=8))
def test_what_the_standard_writer_writes_is_read_as_it_reads_it(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    assert [row for _, row in rows_of(text.getvalue(), 2)] == rows
