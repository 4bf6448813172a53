"""Kills real `zoo` commands with SIGKILL at random moments, runs them again, and counts what was lost.

python scripts/stress_kill.py [--times 20] [--only import,select,'select racing'] [--json OUT] [--data ../shared/data]

Each command runs undisturbed first; the moments are spread over the CPU seconds that took, and half of those of
`select` are aimed at: it is struck as soon as it plans, trains, writes a state, has decided, or saves the winner. A
kill takes the command, the command and the store's engine, the engine alone, or a worker of `measure`. What the
command had acknowledged by then (its output, its progress bar, its journal, what another reader saw in the graph) must
be there right after the kill: it is read from the living engine, or from a copy of the zoo, so that the next attempt
meets the crash as it was.
The same command then goes on until it ends, and what it leaves is compared with what the undisturbed run left.

`select` runs once for each policy. The undisturbed race trains one candidate at a time on as much disk as it likes;
killed ones go on with one worker, two or as many as fit, every other race on the least disk there may be, which is
looked at all the while; and one race by each policy runs packed on that disk and undisturbed. Linux only.
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
from itertools import zip_longest
from pathlib import Path

from stress_commands import ATTEMPT_SECONDS, COMMANDS, ROOT, End, Import, Inputs, Select, Workers, make_inputs
from stress_figures import Stressed, records, table
from stress_processes import Attempt, Site, Victim, look, look_after, strike, wait_until
from stress_races import AIMS, Aim, Held, Piece, RaceSeen, begun_pieces, checkpoints, sleep_until

ORPHAN_SECONDS = 60
FAILURES = 3
MISSES = 3
# Of the CPU seconds of an undisturbed race: what goes by before it trains, once it is planned.
START_SHARE = 0.5
# So that there are races on little disk and on much.
KILLS_IN_A_RACE = 5
When = float | Aim


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
    workers: Sequence[Workers] = (1, 2)
    race: list[Piece] = field(default_factory=list)
    killed_in: Counter[Piece] = field(default_factory=Counter)

    def undisturbed(self) -> None:
        self._begin()
        with self._start(1) as attempt:
            if not attempt.ends(ATTEMPT_SECONDS) or attempt.process.returncode:
                raise RuntimeError(f"zoo {self.command.name} failed undisturbed: {attempt.stderr()}")
            self.found.undisturbed_seconds = attempt.cpu_seconds
            self.lines = set(self._lines(attempt))
            self.race = self._seen(attempt).begun()
        self.found.pieces = len(self.race)
        self.lasting = {*look_after(self.site.zoo, self.command.seen), *self.command.written()}
        self.left = self._left()

    def packed(self) -> None:
        """An undisturbed race of several at a time on the least disk ends as that of one at a time."""
        self._begin(tight_disk=True)
        with Held(self.site.race) as held, self._start(self.workers[-1]) as attempt:
            if not attempt.ends(ATTEMPT_SECONDS) or attempt.process.returncode:
                raise RuntimeError(f"zoo {self.command.name} failed packed and undisturbed: {attempt.stderr()}")
        self._weigh(held)
        self._compare()

    def until_done(self, moments: list[When], victims: list[Victim]) -> None:
        """Kills the command on a fresh zoo at the next moments, until it is faster than one of them; then compares."""
        self.found.zoos += 1
        self._begin(tight_disk=self.found.zoos % 2 == 1)
        told: list[str] = []
        promised: set[str] = set()
        failures = 0
        with Held(self.site.race) as held:
            for number in range(len(moments) + FAILURES + 1):
                self.found.resumed += number > 0
                spared = self.command.races and number >= KILLS_IN_A_RACE
                when = None if spared else self._next(moments, is_fresh=number == 0)
                with self._start(self.chance.choice(self.workers)) as attempt:
                    victim: Victim | None = None
                    seen = self._seen(attempt)
                    if when is not None and self._comes(attempt, seen, when):
                        victim = self._kill(attempt, seen, when, victims, told, promised)
                    elif when is not None:
                        self._put_off(moments, when, is_fresh=number == 0)
                    code = self._ended(attempt, told, victim)
                failures += victim is None and code != 0
                if code == 0 or failures == FAILURES:
                    break
        self._weigh(held)
        self._check(promised)
        self._compare()

    def _begin(self, *, tight_disk: bool = False) -> None:
        self.site.clear()
        self.command.begin()
        self.killed_in.clear()
        if isinstance(self.command, Select):
            self.command.tight_disk = tight_disk

    def _next(self, moments: list[When], *, is_fresh: bool) -> When | None:
        """The next moment, taken out; a race that goes on is not planned any more."""
        place = next(
            (place for place in reversed(range(len(moments))) if is_fresh or moments[place] != "planning"), None
        )
        return None if place is None else moments.pop(place)

    def _comes(self, attempt: Attempt, seen: RaceSeen, when: When) -> bool:
        """Waits for the moment; False where the command ended before."""
        if isinstance(when, float):
            return not attempt.ends(ATTEMPT_SECONDS, self._cpu_seconds(seen, when))
        is_once = when in {"planning", "saving"} or self.found.missed[when]
        passed = 0 if is_once else self.chance.randrange(3)
        end = time.monotonic() + ATTEMPT_SECONDS
        came = sleep_until(
            lambda: seen.happening(when),
            lambda: attempt.process.poll() is not None or time.monotonic() > end,
            passed=passed,
        )
        if came and when in {"planning", "training"}:
            time.sleep(self.chance.random() * 0.5)
        return came and attempt.process.poll() is None

    def _cpu_seconds(self, seen: RaceSeen, when: float) -> float:
        """The CPU seconds at which to strike; a race that goes on is struck in what it has not yet behind it."""
        if not self.command.races or not seen.lines():
            return when * self.found.undisturbed_seconds
        left = 1 - min(1.0, len(seen.lines()) / self.left["journal"].total())
        return self.found.undisturbed_seconds * (START_SHARE + (1 - START_SHARE) * left * when)

    def _put_off(self, moments: list[When], when: When, *, is_fresh: bool) -> None:
        """It was late for what was left to do: a fresh zoo begins with it; after some misses it is given up."""
        if isinstance(when, float):
            moments.insert(0, when * (0.9 if is_fresh else 1))
            return
        self.found.missed[when] += is_fresh
        if self.found.missed[when] < MISSES:
            moments.append(when)
        else:
            self.found.aimed[when] += 1

    def _kill(
        self,
        attempt: Attempt,
        seen: RaceSeen,
        when: When,
        victims: list[Victim],
        told: list[str],
        promised: set[str],
    ) -> Victim:
        """Adds to what is promised all that is acknowledged, kills the next victim, and looks for the promised.

        A moment that is aimed at does not wait for a look at the graph.
        """
        if isinstance(when, float):
            promised |= self._promised(told, attempt)
        else:
            victims = [victim for victim in victims if victim.startswith("command")]
            promised |= {*self.command.written()}
        victim = strike(self.site, attempt, victims[self.found.kills.total() % len(victims)], self.chance)
        self.found.kills[victim] += 1
        if self.command.races:
            self._note(seen, when, victim)
        promised |= self._promised(told, attempt, look_too=False)
        self.found.acknowledged += len(promised)
        self._check(promised)
        return victim

    def _note(self, seen: RaceSeen, when: When, victim: Victim) -> None:
        """What the race was at when it was struck, once all its workers have ended; an engine's death it outlives."""
        is_over = victim.startswith("command")
        if is_over:
            wait_until(lambda: not self.site.pids("spawn_main"), ORPHAN_SECONDS)
        moment = seen.moment()
        self.found.moments[moment] += 1
        if not isinstance(when, float):
            self.found.aimed[when] += 1
            self.found.hit[when] += moment == when
        if is_over:
            self.killed_in.update(seen.in_flight())

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

    def _start(self, workers: Workers) -> Attempt:
        notes = self.command.notes if isinstance(self.command, Select) else None
        return Attempt(self.site, self.command.words(workers), bar=self.command.bar, notes=notes)

    def _seen(self, attempt: Attempt) -> RaceSeen:
        return RaceSeen(self.site.race, self.site.folder / "notes.txt", attempt.stderr)

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

    def _weigh(self, held: Held) -> None:
        """Of a race on the least disk: whether it kept to it."""
        if isinstance(self.command, Select) and self.command.tight_disk:
            self.found.looks += held.n_samples
            self.found.tight_bytes = self.command.inputs.tight_bytes
            self.found.most_bytes = max(self.found.most_bytes, held.most_bytes)
            if held.most_bytes > self.found.tight_bytes:
                self._wrong(f"it held {held.most_bytes} bytes, of {self.found.tight_bytes} that it might")

    def _compare_pieces(self, begun: list[Piece], *, tight_disk: bool) -> None:
        """Whether only what kills had cut short was trained again; what gave way on disk may start anew."""
        more = Counter(begun) - Counter(self.race)
        self.found.begun_again += (more & self.killed_in).total()
        for piece, n in (more - self.killed_in).items():
            if tight_disk and piece.step == 0:
                self.found.gave_way += n
            else:
                self._wrong(f"trained {n} times too often: {piece}")

    def _compare(self) -> None:
        if isinstance(self.command, Select):
            self._compare_pieces(begun_pieces(self.command.notes), tight_disk=self.command.tight_disk)
            self.found.mismatches += [f"left behind: {path}" for path in checkpoints(self.site.race)]
        left = self._left()
        for name, wanted in self.left.items():
            for sign, other in (("missing", wanted - left[name]), ("too much", left[name] - wanted)):
                self.found.mismatches += [f"{name}, {sign}: {item[:300]}" for item in other.elements()]

    def _wrong(self, what: str) -> None:
        self.found.mismatches.append(what)


def stress(
    name: str,
    folder: Path,
    inputs: Inputs,
    *,
    moments: Sequence[When],
    seed: int = 0,
    workers: Sequence[Workers] = (1, 2),
) -> Stressed:
    """Kills `zoo NAME` once for each moment (a part of its undisturbed CPU seconds, 0 to 1, or what it is at then).

    It goes on until it is done, on as many fresh zoos as that takes.
    """
    started = time.monotonic()
    site = Site(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(f"{name} {seed}")
    found = Stressed(name)
    try:
        work = Stress(site, COMMANDS[name](site, inputs), chance, found, workers=workers)
        work.undisturbed()
        if work.command.races and len(workers) > 1:
            work.packed()
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


def mixed(times: int, seed: int = 0) -> list[When]:
    """So many moments of a race: all that are aimed at, once or in every tenth, and between them others, spread.

    In the order of a race, so that one zoo serves for several.
    """
    moments: list[When] = []
    for place in range(rounds := max(1, times // 10)):
        n_here = times // rounds + (place < times % rounds)
        aims = AIMS[:n_here]
        others = sorted(spread(n_here - len(aims), seed + place))
        moments += [one for pair in zip_longest(aims, others) for one in pair if one is not None]
    return moments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="kills of each command")
    parser.add_argument(
        "--only", default=",".join(COMMANDS), help="commands, separated by commas; select: all policies"
    )
    parser.add_argument("--workers", default="1,2,auto", help="those that killed commands draw from, 'auto' for races")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(Path(folder) / "inputs", data=options.data)
        for name in (name for name in COMMANDS for asked in options.only.split(",") if name.startswith(asked)):
            races = name.startswith("select")
            moments = (mixed if races else spread)(options.times, options.seed)
            workers = [
                one if one == "auto" else int(one) for one in options.workers.split(",") if races or one != "auto"
            ]
            found.append(stress(name, Path(folder) / name, inputs, moments=moments, seed=options.seed, workers=workers))
            for what in (*found[-1].lost[:20], *found[-1].mismatches[:20]):
                print(f"    {what}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(records(found), indent=1) + "\n", encoding="utf-8")
    print(*table([one.row() for one in found]), sep="\n")
    if raced := [one.race_row() for one in found if one.moments]:
        print("", *table(raced), sep="\n")
    if any(one.lost or one.mismatches for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
