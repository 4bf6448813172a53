"""A race as it is seen from outside: at which moment it is, what it has begun to train, what it holds on disk.

Reads files alone: the race's journal, drafts and notes (`stress_zoo`). Knows no processes and kills nobody.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Self

Aim = Literal["planning", "training", "writing a state", "between rungs", "saving"]
Moment = Aim | Literal["starting", "between pieces", "testing", "recording"]
# In the order in which a race comes to them.
AIMS: tuple[Aim, ...] = ("planning", "training", "writing a state", "between rungs", "saving")
SAMPLE_SECONDS = 0.02
STATES, WINNER = "trials/*/state.part", "best.partial*"


class Piece(NamedTuple):
    """A trial's way from one step to another."""

    model: str
    step: int
    until_step: int


class RaceSeen:
    """A race in `folder`; `told` is what the command that runs it has said by now."""

    def __init__(self, folder: Path, notes: Path, told: Callable[[], str]) -> None:
        self._folder, self._notes, self._told = folder, notes, told
        self._n_lines = len(self.lines())
        self._n_begun = len(self.begun())
        self._old = self._drafts(STATES, WINNER)

    def lines(self) -> list[str]:
        return whole_lines(self._folder / "journal.jsonl")

    def begun(self) -> list[Piece]:
        """All pieces that were begun, also by the commands before."""
        return begun_pieces(self._notes)

    def in_flight(self) -> list[Piece]:
        """Pieces begun by this command of which the journal does not tell the end."""
        rows = [json.loads(line) for line in self.lines()[1:]]
        ended = {(row["model"], row["progress"]["step"]) for row in rows if row["event"] == "trained"}
        return [one for one in self.begun()[self._n_begun :] if (one.model, one.until_step) not in ended]

    def moment(self) -> Moment:
        """What the race is at; after a kill, what it was at."""
        lines = self.lines()
        if not lines:
            return "planning" if "probing" in self._told() else "starting"
        if len(lines) == self._n_lines and len(self.begun()) == self._n_begun and not self._fresh():
            return "starting"
        last = json.loads(lines[-1]).get("event")
        if last == "finished":
            return "recording"
        if self._fresh():
            return "saving" if self._fresh(WINNER) else "writing a state"
        if self.in_flight():
            return "training"
        if last in {"probed", "decided"}:
            return "between rungs"
        return "testing" if last == "tested" else "between pieces"

    def happening(self, aim: Aim) -> str | None:
        """A name of what goes on now that is aimed at, another one for each time; None where nothing does."""
        if aim == "writing a state":
            return next((draft for draft in self._fresh(STATES)), None)
        if aim == "saving":
            return next((draft for draft in self._fresh(WINNER)), None)
        lines = self.lines()
        if aim == "planning":
            return aim if not lines and "probing" in self._told() else None
        if aim == "training":
            return next((f"{piece}" for piece in self.in_flight()), None)
        is_new = len(lines) > self._n_lines and json.loads(lines[-1]).get("event") == "decided"
        return f"line {len(lines)}" if is_new else None

    def _drafts(self, *patterns: str) -> dict[str, str]:
        """What is half-written, and a name of it that no other file has had."""
        found = {}
        for path in (path for pattern in patterns for path in self._folder.glob(pattern)):
            with contextlib.suppress(OSError):  # it has got its name
                status = path.stat()
                found[str(path)] = f"{path} {status.st_ino}"
        return found

    def _fresh(self, *patterns: str) -> list[str]:
        """What is half-written by this command."""
        drafts = self._drafts(*patterns or (STATES, WINNER))
        return [name for path, name in drafts.items() if self._old.get(path) != name]


class Held:
    """The most bytes that a folder held while this context was open, looked at every `SAMPLE_SECONDS`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.most_bytes = 0
        self.n_samples = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        self.most_bytes = max(self.most_bytes, du(self._folder))
        self.n_samples += 1


def du(folder: Path) -> int:
    """What `du -s` and `du -sb` say of a folder, whichever is more."""
    blocks = n_bytes = 0
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):
            with contextlib.suppress(OSError):  # it has gone
                status = os.lstat(path)
                blocks, n_bytes = blocks + 512 * status.st_blocks, n_bytes + status.st_size
    return max(blocks, n_bytes)


def begun_pieces(notes: Path) -> list[Piece]:
    rows = [line.split("\t") for line in whole_lines(notes)]
    return [Piece(model, int(step), int(until)) for model, step, until in rows]


def checkpoints(folder: Path) -> list[str]:
    """What a race left beside its winner: weights, states, features, anything half-written."""
    names = ("state", "features", "model", "best.partial")
    left = [path for path in folder.rglob("*") if path.name.startswith(names) or path.name.endswith(".part")]
    return [str(path.relative_to(folder)) for path in left if folder / "best" not in path.parents]


def whole_lines(path: Path) -> list[str]:
    content = path.read_text(encoding="utf-8") if path.exists() else ""
    return content[: content.rfind("\n") + 1].splitlines()


def sleep_until(happening: Callable[[], str | None], is_over: Callable[[], bool], *, passed: int) -> bool:
    """Waits for what happens after so many others of its kind; False where it was over before."""
    seen: set[str] = set()
    while not is_over():
        name = happening()
        if name is not None:
            seen.add(name)
            if len(seen) > passed:
                return True
        time.sleep(0.001)
    return False
