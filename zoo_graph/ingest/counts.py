"""How much of an import was new, and how much the graph held already."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

SHOWN_CONFLICTS = 10
KINDS = ("models", "datasets", "results", "proxies", "lineage", "pretraining", "distances", "aliases")


@dataclass(frozen=True, slots=True)
class Tally:
    """Records of one kind: `new` were created, `already` were there (or stand in the input more than once)."""

    new: int = 0
    already: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.new + self.already

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.new + other.new, self.already + other.already)


@dataclass(frozen=True, slots=True)
class Counts:
    """What one import (or one batch of it) brought, by kind; models and datasets count once, however often named.

    `n_conflicts` counts what contradicts other imports (a name, a property), and `conflicts` tells the first of it.
    """

    models: Tally = Tally()
    datasets: Tally = Tally()
    results: Tally = Tally()
    proxies: Tally = Tally()
    lineage: Tally = Tally()
    pretraining: Tally = Tally()
    distances: Tally = Tally()
    aliases: Tally = Tally()
    n_conflicts: int = 0
    conflicts: tuple[str, ...] = ()

    def __add__(self, other: "Counts") -> "Counts":
        tallies = {name: getattr(self, name) + getattr(other, name) for name in KINDS}
        both = replace(Counts.of(tallies), n_conflicts=self.n_conflicts + other.n_conflicts)
        return replace(both, conflicts=(*self.conflicts, *other.conflicts)[:SHOWN_CONFLICTS])

    @classmethod
    def of(cls, tallies: Mapping[str, Tally], conflicts: Iterable[str] = ()) -> "Counts":
        """Makes counts of tallies by kind; a kind that is not named is none."""
        told = tuple(dict.fromkeys(conflicts))
        counts = replace(cls(), n_conflicts=len(told), conflicts=told[:SHOWN_CONFLICTS])
        return replace(counts, **{name: tallies[name] for name in KINDS if name in tallies})  # type: ignore[arg-type]

    @property
    def new(self) -> int:
        """Everything that was created."""
        return sum(getattr(self, name).new for name in KINDS)

    @property
    def already(self) -> int:
        """Everything that was there already."""
        return sum(getattr(self, name).already for name in KINDS)

    def totals_json(self, **more: int) -> str:
        """Returns what the input holds, new or not, as JSON: the same however often it is imported."""
        totals = {name: getattr(self, name).total for name in KINDS if getattr(self, name).total}
        return json.dumps({**totals, **{name: number for name, number in more.items() if number}})

    def lines(self, new: str = "new", already: str = "already there") -> list[str]:
        """Returns one line per kind that occurred, and the conflicts; `new` and `already` are the words for them."""
        tallies: dict[str, Tally] = {name: getattr(self, name) for name in KINDS}
        told = [
            f"{name}: {tally.new:,} {new}, {tally.already:,} {already}"
            for name, tally in tallies.items()
            if tally.total
        ]
        if self.n_conflicts:
            more = self.n_conflicts - len(self.conflicts)
            told += [f"conflicts with other imports: {self.n_conflicts:,}", *(f"  {line}" for line in self.conflicts)]
            told += [f"  and {more:,} more"] if more else []
        return told
