"""The rows of a CSV text, where one bad row costs only itself. Knows quotes and lines, not what a column means.

A quote that nothing closes would make the standard reader swallow the rows after it. So a row that goes on past its
line is read ahead strictly; where it is not well formed it ends with its line, is refused, and the next line is read
as a row of its own.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from zoo_graph.errors import ImportFileError

LONGEST_CELL = 2**24
"""Characters of a cell; the standard library knows one limit for all readers of a process, and this raises it."""
LONGEST_LINE = 2**26
"""Characters of a line: what has more is no table, and would be read into memory whole."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is not well formed: its line as it stands there, and the rule it breaks."""

    value: str
    rule: str


def csv_reader(lines: Iterable[str], delimiter: str, *, strict: bool = False) -> Any:
    """Returns the standard library's reader, which takes cells of `LONGEST_CELL` characters."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    return csv.reader(lines, delimiter=delimiter, strict=strict)


class CsvRows:
    """Yields each row as (the last line it stands on, its cells or why it has none); `width` is the header's.

    Raises (while read):
        ImportFileError: a line is longer than 64 Mi characters.
    """

    def __init__(self, file: IO[str], path: Path, delimiter: str, width: int | None = None) -> None:
        self._file, self._path, self._delimiter, self.width = file, path, delimiter, width
        self._lines = _Lines(self)
        self._ahead: deque[str] = deque()
        self._reader = csv_reader(self._lines, delimiter)

    @property
    def line(self) -> int:
        """The number of lines read."""
        return int(self._reader.line_num)

    def __iter__(self) -> Iterator[tuple[int, Sequence[str] | BadRow]]:
        while True:
            self._lines.begin()
            try:
                row = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                rule = f"a cell has at most {LONGEST_CELL:,} characters"
                yield self.line, BadRow(self._lines.first or "", rule)
                continue
            if self._lines.broken:
                yield self.line, BadRow(self._lines.first or "", "a quoted cell ends with a quote, and so does its row")
            else:
                yield self.line, row

    def take(self) -> str:
        """Returns the next line, the empty text at the end."""
        return self._ahead.popleft() if self._ahead else self._read()

    def lines_to_come(self, first: str) -> int:
        """Returns how many lines more a row has that goes on past its first; 0 where it is not well formed."""
        strict = csv_reader(self._from(first), self._delimiter, strict=True)
        try:
            row = next(strict)
        except (csv.Error, StopIteration):
            return 0
        return int(strict.line_num) - 1 if self.width in (None, len(row)) else 0

    def _from(self, first: str) -> Iterator[str]:
        yield first
        yield from self._ahead
        while line := self._read():
            self._ahead.append(line)
            yield line

    def _read(self) -> str:
        line = self._file.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE:
            raise ImportFileError(
                f"cannot read {self._path} (line {self.line + len(self._ahead) + 1}): got a line of more than "
                f"{LONGEST_LINE:,} characters; wanted a table: save it as CSV with one row a line, or as Parquet"
            )
        return line


class _Lines:
    """What the standard reader draws lines from; it ends early where the row under way must not go on."""

    def __init__(self, rows: CsvRows) -> None:
        self._rows = rows
        self.begin()

    def begin(self) -> None:
        """A new row begins."""
        self.first: str | None = None
        self.broken = False
        self._to_come: int | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.first is None:
            self.first = line = self._rows.take()
            if not line:
                raise StopIteration
            return line
        if self._to_come is None:
            self._to_come = self._rows.lines_to_come(self.first)
        if not self._to_come:
            self.broken = True
            raise StopIteration
        self._to_come -= 1
        return self._rows.take()
