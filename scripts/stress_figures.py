"""What came of killing commands, as figures: rows of tables, benchmark records. Kills nobody."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stress_processes import Victim
from stress_races import Aim, Moment


@dataclass(slots=True)
class Stressed:
    """What came of killing one command; `acknowledged` counts what was checked for loss."""

    command: str
    undisturbed_seconds: float = 0.0
    kills: Counter[Victim] = field(default_factory=Counter)
    moments: Counter[Moment] = field(default_factory=Counter)
    aimed: Counter[Aim] = field(default_factory=Counter)
    hit: Counter[Aim] = field(default_factory=Counter)
    missed: Counter[Aim] = field(default_factory=Counter)
    zoos: int = 0
    resumed: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)
    pieces: int = 0
    begun_again: int = 0
    gave_way: int = 0
    tight_bytes: int = 0
    most_bytes: int = 0
    looks: int = 0
    seconds: float = 0.0

    def race_row(self) -> dict[str, Any]:
        """What races alone have."""
        return {
            "command": self.command,
            "kills": self.kills.total(),
            "at": ", ".join(f"{n} {moment}" for moment, n in self.moments.most_common()),
            "aimed at": ", ".join(f"{self.hit[aim]} of {n} {aim}" for aim, n in self.aimed.items()),
            "pieces": self.pieces,
            "killed in and begun again": self.begun_again,
            "anew for want of disk": self.gave_way,
            "most held of the least disk": f"{self.most_bytes / 1e6:.1f} of {self.tight_bytes / 1e6:.1f} MB",
            "looks": self.looks,
        }

    def row(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "kills": self.kills.total(),
            "by victim": ", ".join(f"{n} {victim}" for victim, n in sorted(self.kills.items())),
            "zoos": self.zoos,
            "resumed": self.resumed,
            "acknowledged": self.acknowledged,
            "lost": len(self.lost),
            "mismatches": len(self.mismatches),
            "undisturbed CPU s": round(self.undisturbed_seconds, 1),
            "seconds": round(self.seconds),
        }


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows of figures as a Markdown table."""
    head = list(rows[0])
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(str(row[name]) for name in head)} |" for row in rows),
    ]


def records(found: Sequence[Stressed]) -> list[dict[str, Any]]:
    """The figures as benchmark rows."""
    return [
        {"measure": f"stress/{one.command}/{what}", "value": value, "unit": unit, "n": one.kills.total()}
        for one in found
        for what, value, unit in (
            ("kills", one.kills.total(), "kills"),
            ("acknowledged", one.acknowledged, "items"),
            ("lost", len(one.lost), "items"),
            ("mismatches", len(one.mismatches), "items"),
            ("seconds", round(one.seconds, 1), "s"),
        )
    ]
