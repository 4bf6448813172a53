"""What statements return: plain Python values under their columns' names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows(Sequence[Row]):
    """The rows of a user's statement with its columns; `cut` tells that there were more rows than were asked for.

    Where there is no row, a server still names the columns; the embedded engine does not, and `columns` is empty.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    cut: bool = False

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)
