"""What an import tells its user: how the file was read, what went in, and every row that did not."""

import csv
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from zoo_graph.errors import InputError
from zoo_graph.importers.cells import shown
from zoo_graph.ingest.counts import Counts
from zoo_graph.records import Rejected

KEPT_REJECTED = 1000
SHOWN_REJECTED = 10


@dataclass(frozen=True, slots=True)
class RejectedGroup:
    """How often one rule was broken in one column."""

    column: str | None
    rule: str
    count: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """One file's import. `rejected` holds the first 1,000 refused rows or cells; `rejects` is the CSV with all of them.

    In a dry run nothing was written and `counts` says what would have been.
    """

    path: str
    run: str
    format: str
    notes: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    counts: Counts
    n_rejected: int
    rejected: tuple[Rejected, ...]
    rejected_by: tuple[RejectedGroup, ...]
    seconds: float
    dry_run: bool = False
    rejects: str | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing of the file was good."""
        return self.counts.new + self.counts.already == 0

    def lines(self) -> list[str]:
        """Returns the report as lines of text."""
        head = f"{self.path}: {'dry run, nothing written' if self.dry_run else f'run {self.run}'}, {self.seconds:.1f} s"
        told = [head, f"  read as {self.format}", *(f"  - {note}" for note in self.notes)]
        told += [f"  {line}" for line in self.counts.lines()] or ["  nothing to import"]
        return told + self._rejected_lines()

    def _rejected_lines(self) -> list[str]:
        if not self.n_rejected:
            return []
        told = [f"  rejected: {self.n_rejected:,}"]
        told += [f"    {group.count:,} x {_where(group.column)}rule: {group.rule}" for group in self.rejected_by]
        for row in self.rejected[:SHOWN_REJECTED]:
            told.append(f"    line {row.line}, {_where(row.column)}got {row.value!r}; rule: {row.rule}")
        more = self.n_rejected - min(self.n_rejected, SHOWN_REJECTED)
        if more and self.rejects is None:
            told.append(f"    and {more:,} more; write them all with rejects=FILE")
        if self.rejects is not None:
            told.append(f"    all of them: {self.rejects}")
        return told


@dataclass(slots=True)
class RejectLog:
    """Collects refused rows: counts all, keeps the first, and writes every one to a CSV where asked. A context."""

    path: Path | None = None
    kept: list[Rejected] = field(default_factory=list)
    by_rule: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    _open: ExitStack = field(default_factory=ExitStack)
    _writer: Any = None

    def add(self, row: Rejected) -> None:
        """Takes one refused row."""
        if len(self.kept) < KEPT_REJECTED:
            self.kept.append(row)
        self.by_rule[(row.column, row.rule)] += 1
        if self._writer is not None:
            self._writer.writerow((row.line, row.column or "", row.value, row.rule))

    def groups(self) -> tuple[RejectedGroup, ...]:
        """Returns how often each rule was broken, most often first; the rarest of many rules in one line."""
        common = self.by_rule.most_common(SHOWN_REJECTED)
        told = [RejectedGroup(column, shown(rule), count) for (column, rule), count in common]
        rest = sum(self.by_rule.values()) - sum(group.count for group in told)
        return (*told, *((RejectedGroup(None, "other rules", rest),) if rest else ()))

    def __enter__(self) -> Self:
        if self.path is not None:
            try:
                file: IO[str] = self._open.enter_context(self.path.open("w", encoding="utf-8", newline=""))
            except OSError as error:
                raise InputError(f"cannot write the rejected rows to {self.path}: {error.strerror}") from error
            self._writer = csv.writer(file)
            self._writer.writerow(("line", "column", "value", "rule"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()


def _where(column: str | None) -> str:
    return f"column {column!r}, " if column else ""
