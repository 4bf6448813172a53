"""Where refused rows go: counted and the first kept for the report, and all of them in a CSV where asked."""

import contextlib
import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from zoo_graph.errors import InputError
from zoo_graph.importers.cells import shown
from zoo_graph.records import Rejected

KEPT_REJECTED = 1000
SHOWN_REJECTED = 10
HEADER = ("file", "line", "column", "value", "rule")


@dataclass(frozen=True, slots=True)
class RejectedGroup:
    """How often one rule was broken in one column."""

    column: str | None
    rule: str
    count: int


class RejectsFile:
    """The CSV of all refused rows, of one imported file or of several; made by `open_rejects`."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path = path
        self._writer: Any = csv.writer(file)
        self._writer.writerow(HEADER)

    def write(self, source: str, row: Rejected) -> None:
        """Adds a row that was refused in the file `source`."""
        self._writer.writerow((source, row.line, row.column or "", row.value, row.rule))


@contextlib.contextmanager
def open_rejects(path: str | Path, inputs: Iterable[str | Path]) -> Iterator[RejectsFile]:
    """Opens the CSV for the refused rows of `inputs`; only an earlier one is written over.

    Raises:
        InputError: it is one of the inputs, holds something else, or cannot be written.
    """
    path = Path(path)
    try:
        _check(path, [Path(file) for file in inputs])
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(
            f"cannot write the rejected rows to {path} ({error.strerror or error}): name a file that you may write to"
        ) from error
    with file:
        yield RejectsFile(path, file)


@dataclass(slots=True)
class RejectLog:
    """Collects the refused rows of the file `source`: counts all, keeps the first, and hands every one on to `file`."""

    source: str
    file: RejectsFile | None = None
    kept: list[Rejected] = field(default_factory=list)
    by_rule: Counter[tuple[str | None, str]] = field(default_factory=Counter)

    def add(self, row: Rejected) -> None:
        """Takes one refused row."""
        if len(self.kept) < KEPT_REJECTED:
            self.kept.append(row)
        self.by_rule[(row.column, row.rule)] += 1
        if self.file is not None:
            self.file.write(self.source, row)

    def groups(self) -> tuple[RejectedGroup, ...]:
        """Returns how often each rule was broken, most often first; the rarest of many rules in one line."""
        common = self.by_rule.most_common(SHOWN_REJECTED)
        told = [RejectedGroup(column, shown(rule), count) for (column, rule), count in common]
        rest = sum(self.by_rule.values()) - sum(group.count for group in told)
        return (*told, *((RejectedGroup(None, "other rules", rest),) if rest else ()))


def _check(path: Path, inputs: Iterable[Path]) -> None:
    if not path.exists():
        return
    if any(file.exists() and path.samefile(file) for file in inputs):
        raise InputError(f"{path} is itself to be imported: name another file for the rejected rows")
    if path.is_file() and path.stat().st_size:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            first = file.readline(200).strip()
        if first != ",".join(HEADER):
            raise InputError(
                f"{path} exists and holds no rejected rows of an earlier import: name a new file for them, or move "
                "this one away"
            )
