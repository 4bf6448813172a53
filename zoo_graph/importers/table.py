"""Rows of a CSV or Parquet file with their line numbers. Knows files and cells, not what a column means.

A CSV cell is text, or None where it is empty; a Parquet cell is the Python value, or None. Nothing is held in
memory but one batch of rows, so a file may be larger than memory and can be read more than once.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from zoo_graph.errors import ImportFileError
from zoo_graph.importers.cells import shown
from zoo_graph.importers.csv_rows import BadRow, CsvRows, csv_reader
from zoo_graph.records import Rejected

Cells = tuple[Any, ...]
DELIMITERS = (",", ";", "\t")
BATCH_ROWS = 8192
LONGEST_HEADER = 2**20


@dataclass(frozen=True, slots=True)
class Table:
    """A file that can be read as rows of the named `columns`; `n_rows` is None where only reading would tell."""

    path: Path
    kind: Literal["csv", "parquet"]
    columns: tuple[str, ...]
    delimiter: str = ","
    n_rows: int | None = None

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, Cells] | Rejected]:
        """Yields each row as (line, cells of `columns`, in their order); one of the wrong width or form is Rejected.

        The line of a CSV row is the last line it stands on (the header is line 1); of a Parquet row its number
        from 1.

        Raises:
            ImportFileError: the file cannot be read to its end.
        """
        wanted = self.columns if columns is None else tuple(columns)
        return _csv_rows(self, wanted) if self.kind == "csv" else _parquet_rows(self, wanted)

    def digest(self) -> str:
        """Returns the digest (32 hex digits) of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def open_table(path: str | Path) -> Table:
    """Opens a file as a table; its content, not its name, tells CSV (also gzipped) from Parquet.

    Raises:
        ImportFileError: no such file, an empty one, or neither CSV nor Parquet.
    """
    path = Path(path)
    if path.is_dir():
        raise ImportFileError(f"{path} is a folder: wanted one CSV or Parquet file; import its files one by one")
    if path.exists() and not path.is_file():
        raise ImportFileError(f"{path} is a device or a pipe: wanted a file, which is read twice; save it as one first")
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise ImportFileError(f"cannot open {path}: {error.strerror or error}; check the path") from error
    if not start:
        raise ImportFileError(f"{path} is empty: wanted a CSV or Parquet file with a header")
    return _parquet_table(path) if start.startswith(b"PAR1") else _csv_table(path)


def _csv_table(path: Path) -> Table:
    with _text(path) as file:
        try:
            first = file.readline(LONGEST_HEADER)
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise _unreadable(path, 1, error) from error
    if "\x00" in first:
        raise ImportFileError(f"{path} is neither CSV nor Parquet (it holds binary data): save the table as CSV")
    if len(first) == LONGEST_HEADER:
        raise ImportFileError(
            f"{path}: got a first line of more than {LONGEST_HEADER:,} characters; wanted a header: a CSV's first line "
            "names its columns"
        )
    delimiter = max(DELIMITERS, key=lambda sign: len(next(csv_reader([first], sign), [])))
    with _text(path) as file:
        try:
            _, header = next(iter(CsvRows(file, path, delimiter)), (1, []))
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise _unreadable(path, 1, error) from error
    if isinstance(header, BadRow):
        raise ImportFileError(f"{path} has a header {shown(header.value)!r}: wanted one in which {header.rule}")
    return Table(path, "csv", _checked_columns(path, [name.strip() for name in header]), delimiter)


def _parquet_table(path: Path) -> Table:
    import pyarrow as pa  # heavy: loaded only where a Parquet file is met
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = _checked_columns(path, file.schema_arrow.names)
            return Table(path, "parquet", columns, n_rows=file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, 1, error) from error


def _checked_columns(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice:
        raise ImportFileError(f"{path} has two columns named {', '.join(map(repr, twice))}: rename one in the file")
    if not any(names):
        raise ImportFileError(f"{path} has no column names in its first line: wanted a header")
    return tuple(names)


def _csv_rows(table: Table, wanted: tuple[str, ...]) -> Iterator[tuple[int, Cells] | Rejected]:
    places = [table.columns.index(name) for name in wanted]
    width = len(table.columns)
    with _text(table.path) as file:
        rows = CsvRows(file, table.path, table.delimiter, width)
        try:
            for number, (line, row) in enumerate(rows):
                if isinstance(row, BadRow):
                    yield Rejected(line, None, shown(row.value.strip()), row.rule)
                elif len(row) != width:
                    if any(row):
                        yield Rejected(line, None, f"{len(row)} cells", f"a row has {width} cells, as the header has")
                elif number:  # the first is the header
                    yield line, tuple([row[place] or None for place in places])
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise _unreadable(table.path, rows.line + 1, error) from error


def _parquet_rows(table: Table, wanted: tuple[str, ...]) -> Iterator[tuple[int, Cells] | Rejected]:
    import pyarrow as pa
    from pyarrow import parquet

    line = 0
    try:
        with parquet.ParquetFile(table.path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
                cells = [_values(batch.column(name)) for name in wanted]
                if not cells:
                    cells = [[None] * batch.num_rows]
                for row in zip(*cells, strict=True):
                    line += 1
                    yield line, row
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(table.path, line + 1, error) from error


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    values: list[Any] = column.to_pylist()
    if pa.types.is_nested(column.type):  # lists and structures as JSON, as a CSV would hold them
        return [None if value is None else json.dumps(value, default=_written) for value in values]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)):
        return [_plain(value) if isinstance(value, bytes) else value for value in values]
    return values


def _plain(value: bytes) -> str | bytes:
    """The text that bytes spell; where they spell none they stay, and the cell is refused when it is wanted."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _written(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _text(path: Path) -> IO[str]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _unreadable(path: Path, line: int, error: Exception) -> ImportFileError:
    reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error).splitlines()[0]
    return ImportFileError(f"cannot read {path} (line {line}): {reason}; save it as UTF-8 CSV or as Parquet")
