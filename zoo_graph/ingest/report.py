"""What an import tells its user: how the file was read, what went in, and every row that did not."""

from dataclasses import dataclass

from zoo_graph.ingest.counts import Counts
from zoo_graph.ingest.rejects import SHOWN_REJECTED, RejectedGroup
from zoo_graph.records import Rejected


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
        told += [f"  {line}" for line in self.counts.lines()] or [f"  nothing imported: {self._why_empty()}"]
        return told + self._rejected_lines()

    def _why_empty(self) -> str:
        return "every row was rejected" if self.n_rejected else "the file holds no rows"

    def _rejected_lines(self) -> list[str]:
        if not self.n_rejected:
            return []
        told = [f"  rejected: {self.n_rejected:,}"]
        told += [f"    {group.count:,} x {_where(group.column)}rule: {group.rule}" for group in self.rejected_by]
        for row in self.rejected[:SHOWN_REJECTED]:
            told.append(f"    line {row.line}, {_where(row.column)}got {row.value!r}; rule: {row.rule}")
        more = self.n_rejected - min(self.n_rejected, SHOWN_REJECTED)
        if more and self.rejects is None:
            told.append(f"    and {more:,} more; write them all with rejects=FILE (--rejects FILE)")
        if self.rejects is not None:
            told.append(f"    all of them: {self.rejects}")
        return told


def _where(column: str | None) -> str:
    return f"column {column!r}, " if column else ""
