"""Kills real `zoo` commands with SIGKILL at random moments, runs them again, and counts what was lost.

python scripts/stress_kill.py [--times 20] [--only import,refresh,measure,select] [--json OUT] [--data ../shared/data]

Each command runs undisturbed first; the moments are spread over the CPU seconds that took. A kill takes the command,
the command and the store's engine, the engine alone, or a worker of `measure`. What the command had acknowledged by
then (its output, its progress bar, its journal, what another reader saw in the graph) must be there right after the
kill: it is read from the living engine, or from a copy of the zoo, so that the next attempt meets the crash as it was.
The same command then goes on until it ends, and what it leaves is compared with what the undisturbed run left.
Linux only.
"""

import argparse
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stress_commands import ATTEMPT_SECONDS, COMMANDS, ROOT, End, Import, Inputs, make_inputs
from stress_processes import Attempt, Site, Victim, look, look_after, strike, wait_until

ORPHAN_SECONDS = 60
FAILURES = 3


@dataclass(slots=True)
class Stressed:
    """What came of killing one command; `acknowledged` counts what was checked for loss."""

    command: str
    undisturbed_seconds: float = 0.0
    kills: Counter[Victim] = field(default_factory=Counter)
    zoos: int = 0
    resumed: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)
    seconds: float = 0.0

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


@dataclass(slots=True)
class Stress:
    """Kills of one command, with what its undisturbed run said and left."""

    site: Site
    command: Import
    chance: random.Random
    found: Stressed
    lines: set[str] = field(default_factory=set)
    lasting: set[str] = field(default_factory=set)
    left: End = field(default_factory=dict)
    workers: Sequence[int] = (1, 2)

    def undisturbed(self) -> None:
        self.site.clear()
        self.command.begin()
        with self._start(self.workers[0]) as attempt:
            if not attempt.ends(ATTEMPT_SECONDS) or attempt.process.returncode:
                raise RuntimeError(f"zoo {self.command.name} failed undisturbed: {attempt.stderr()}")
            self.found.undisturbed_seconds = attempt.cpu_seconds
            self.lines = set(self._lines(attempt))
        self.lasting = {*look_after(self.site.zoo, self.command.seen), *self.command.written()}
        self.left = self._left()

    def until_done(self, moments: list[float], victims: list[Victim]) -> None:
        """Kills the command on a fresh zoo at the next moments, until it is faster than one of them; then compares."""
        self.site.clear()
        self.command.begin()
        self.found.zoos += 1
        told: list[str] = []
        promised: set[str] = set()
        failures = 0
        for number in range(len(moments) + FAILURES + 1):
            self.found.resumed += number > 0
            with self._start(self.chance.choice(self.workers)) as attempt:
                victim: Victim | None = None
                if moments and not attempt.ends(ATTEMPT_SECONDS, moments[-1] * self.found.undisturbed_seconds):
                    moments.pop()
                    victim = self._kill(attempt, victims, told, promised)
                elif moments:  # late for what was left to do: put off, on a fresh zoo brought forward
                    moments.insert(0, moments.pop() * (1 if number else 0.9))
                code = self._ended(attempt, told, victim)
            failures += victim is None and code != 0
            if code == 0 or failures == FAILURES:
                break
        self._check(promised)
        self._compare()

    def _kill(self, attempt: Attempt, victims: list[Victim], told: list[str], promised: set[str]) -> Victim:
        """Adds to what is promised all that is acknowledged, kills the next victim, and looks for the promised."""
        promised |= self._promised(told, attempt)
        victim = strike(self.site, attempt, victims[self.found.kills.total() % len(victims)], self.chance)
        self.found.kills[victim] += 1
        promised |= self._promised(told, attempt, look_too=False)
        self.found.acknowledged += len(promised)
        self._check(promised)
        return victim

    def _ended(self, attempt: Attempt, told: list[str], victim: Victim | None) -> int:
        """Waits for the attempt's exit code, and notes what it should not have done."""
        if not attempt.ends(ATTEMPT_SECONDS):
            self._wrong(f"it did not end within {ATTEMPT_SECONDS} s")
            os.killpg(attempt.process.pid, signal.SIGKILL)
            attempt.process.wait()
        code, complaint = attempt.process.returncode, attempt.stderr()
        told += self._lines(attempt)
        if "Traceback" in complaint:
            self._wrong(f"a traceback: {complaint[-2000:]}")
        # Who lost only its engine or a worker may end on its own account, if it says so.
        killed = victim is not None and victim.startswith("command")
        excused = killed or (victim is not None and re.search(r"run .*again|tries them again", complaint))
        if code != 0 and not excused:
            self._wrong(f"it ended with {code} after {victim or 'no'} kill: {complaint.strip()[-600:]}")
        return code

    def _start(self, workers: int) -> Attempt:
        return Attempt(self.site, self.command.words(workers), bar=self.command.bar)

    def _lines(self, attempt: Attempt) -> list[str]:
        return self.command.lines(attempt.stdout() + attempt.stderr())

    def _promised(self, told: list[str], attempt: Attempt, *, look_too: bool = True) -> set[str]:
        """What is acknowledged by now; of what the graph shows, what the undisturbed run leaves too."""
        seen = (look(self.site.zoo, self.command.seen) or Counter()) if look_too else Counter()
        lines = [*told, *self._lines(attempt)]
        if not self.command.bar and (other := set(lines) - self.lines):
            self._wrong(f"it said what the undisturbed run does not: {sorted(other)[:3]}")
        said = {*seen, *self.command.said(lines)} & self.lasting
        return {*said, *self.command.written()} if look_too else said

    def _check(self, promised: set[str]) -> None:
        held = {*look_after(self.site.zoo, self.command.seen), *self.command.written()}
        self.found.lost += sorted(promised - held)

    def _left(self) -> End:
        graph = look_after(self.site.zoo, self.command.left)
        if not wait_until(lambda: not self.site.strays(), ORPHAN_SECONDS):
            self._wrong(f"processes are left over: {self.site.strays()}")
        return {"graph": graph, **self.command.end()}

    def _compare(self) -> None:
        left = self._left()
        for name, wanted in self.left.items():
            for sign, other in (("missing", wanted - left[name]), ("too much", left[name] - wanted)):
                self.found.mismatches += [f"{name}, {sign}: {item[:300]}" for item in other.elements()]

    def _wrong(self, what: str) -> None:
        self.found.mismatches.append(what)


def stress(
    name: str, folder: Path, inputs: Inputs, *, moments: Sequence[float], seed: int = 0, workers: Sequence[int] = (1, 2)
) -> Stressed:
    """Kills `zoo NAME` once for each moment (a part of its undisturbed CPU seconds, 0 to 1), across fresh zoos."""
    started = time.monotonic()
    site = Site(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(f"{name} {seed}")
    found = Stressed(name)
    try:
        work = Stress(site, COMMANDS[name](site, inputs), chance, found, workers=workers)
        work.undisturbed()
        victims = list(work.command.victims)
        chance.shuffle(victims)
        left = list(reversed(moments))
        while left:
            work.until_done(left, victims)
            counts = f"{len(found.lost)} lost, {len(found.mismatches)} mismatches"
            print(f"  {name}: {found.kills.total()} kills, {found.zoos} zoos, {counts}", flush=True)
    finally:
        site.clear()
    found.seconds = time.monotonic() - started
    return found


def spread(times: int, seed: int = 0) -> list[float]:
    """So many moments in 0 to 1, one at random in each equal part, in random order."""
    chance = random.Random(seed)
    moments = [(part + chance.random()) / times for part in range(times)]
    chance.shuffle(moments)
    return moments


def table(found: Sequence[Stressed]) -> list[str]:
    """The figures as a Markdown table."""
    rows = [one.row() for one in found]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="kills of each command")
    parser.add_argument("--only", default=",".join(COMMANDS), help="commands, separated by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(Path(folder) / "inputs", data=options.data)
        for name in options.only.split(","):
            moments = spread(options.times, options.seed)
            found.append(stress(name, Path(folder) / name, inputs, moments=moments, seed=options.seed))
            for what in (*found[-1].lost[:20], *found[-1].mismatches[:20]):
                print(f"    {what}", flush=True)
    print(*table(found), sep="\n")
    if options.json:
        options.json.write_text(json.dumps(records(found), indent=1) + "\n", encoding="utf-8")
    if any(one.lost or one.mismatches for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
