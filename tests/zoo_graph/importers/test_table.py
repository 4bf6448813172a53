import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from zoo_graph.errors import ImportFileError
from zoo_graph.importers.table import open_table
from zoo_graph.records import Rejected


def written(tmp_path: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_the_delimiter_is_found(tmp_path: Path, sign: str) -> None:
    table = open_table(written(tmp_path, f"model{sign}score\na{sign}1\n"))
    assert table.columns == ("model", "score")
    assert list(table.rows()) == [(2, ("a", "1"))]


def test_a_byte_order_mark_and_blank_header_spaces_are_dropped(tmp_path: Path) -> None:
    assert open_table(written(tmp_path, "model , score\na,1\n", encoding="utf-8-sig")).columns == ("model", "score")


def test_a_row_is_counted_by_its_last_line(tmp_path: Path) -> None:
    rows = list(open_table(written(tmp_path, 'model,score\n"two\nlines",1\nb,2\n')).rows(["score"]))
    assert rows == [(3, ("1",)), (4, ("2",))]


def test_a_row_of_the_wrong_width_is_rejected_and_the_next_one_read(tmp_path: Path) -> None:
    rows = list(open_table(written(tmp_path, "model,score\na\nb,2\n\n")).rows())
    assert isinstance(rows[0], Rejected)
    assert (rows[0].line, rows[0].value) == (2, "1 cells")
    assert rows[1:] == [(3, ("b", "2"))]


def test_parquet_gives_the_same_rows_in_batches(tmp_path: Path) -> None:
    n = 20_000
    columns = {"model": [f"m{i}" for i in range(n)], "score": [float(i) for i in range(n)], "tags": [["a"]] * n}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "t.bin")
    table = open_table(tmp_path / "t.bin")
    assert (table.kind, table.n_rows) == ("parquet", n)
    rows = list(table.rows(["tags", "model"]))
    assert rows[-1] == (n, ('["a"]', f"m{n - 1}"))
    assert len(rows) == n


def test_a_gzipped_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"model,score\na,1\n"))
    assert list(open_table(path).rows()) == [(2, ("a", "1"))]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02 binary", "binary data"),
        (b"model,\xff\xfe\n", "not UTF-8"),
        (b"a,a\n1,2\n", "two columns named 'a'"),
        (b"PAR1 but broken", "cannot read"),
        (b"\x1f\x8b broken gzip", "cannot read"),
        (b",,\n1,2,3\n", "no column names"),
    ],
)
def test_a_file_that_is_no_table_is_told_as_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=said):
        list(open_table(path).rows())


def test_a_file_that_breaks_off_says_where(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"model,score\n" + b"a,1\n" * 5000 + b"\xff\xff,2\n")
    with pytest.raises(ImportFileError, match=r"line \d+"):
        list(open_table(path).rows())


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="No such file"):
        open_table(tmp_path / "none.csv")
    with pytest.raises(ImportFileError, match="is a folder"):
        open_table(tmp_path)


def test_a_row_with_an_open_quote_is_rejected_and_the_next_ones_read(tmp_path: Path) -> None:
    rows = list(open_table(written(tmp_path, 'model,score\n"a,1\nb,2\nc,3\n')).rows())
    assert isinstance(rows[0], Rejected)
    assert (rows[0].line, rows[0].value) == (2, '"a,1')
    assert "quote" in rows[0].rule
    assert rows[1:] == [(3, ("b", "2")), (4, ("c", "3"))]


def test_a_long_cell_in_a_column_that_is_not_wanted_is_no_matter(tmp_path: Path) -> None:
    table = open_table(written(tmp_path, f"model,card,score\na,{'x' * 500_000},1\n"))
    assert list(table.rows(["score"])) == [(2, ("1",))]


def test_a_header_with_an_open_quote_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="header"):
        open_table(written(tmp_path, 'model,"score\na,1\n'))


def test_what_is_no_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(ImportFileError, match="device or a pipe"):
        open_table("/dev/zero")


def test_a_first_line_without_end_is_no_header(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="first line of more than"):
        open_table(written(tmp_path, "x" * 3_000_000))


def test_a_file_that_has_lost_its_rows_since_it_was_opened_has_none(tmp_path: Path) -> None:
    table = open_table(written(tmp_path, "model,score\na,1\n"))
    table.path.write_text("")
    assert list(table.rows()) == []


def test_bytes_in_parquet_are_the_text_they_spell(tmp_path: Path) -> None:
    for kind in (pa.binary(), pa.large_binary(), pa.binary(2)):
        column = pa.array([b"ab", "ä".encode(), b"\xff\xfe"], kind)
        pyarrow.parquet.write_table(pa.table({"model": column}), tmp_path / "t.parquet")
        assert [row for _, row in open_table(tmp_path / "t.parquet").rows()] == [("ab",), ("ä",), (b"\xff\xfe",)]
