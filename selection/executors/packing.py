"""How many pieces run at once: decided from what finished and running pieces were measured to take.

Plain numbers and decisions. Knows no processes and no clock, so every decision can be done by head:

- at most as many as cores / threads of a piece (or as many as asked for);
- the first alone, until its memory is known: at its end, or once it has run for `SETTLED_SECONDS`;
- then as many as fit, each taken for as large as the largest so far, into what is available less a reserve; what
  running ones are still expected to grow by is set aside;
- one fewer after one ran out of memory, and as few as before where more at once got less done in a second; after
  `RECOVERY` pieces without either, one more is tried again.

Nothing here changes what a piece computes: its threads are its own, so the results are those of one at a time.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from selection.errors import InputError
from selection.executors.memory import Room, Usage, n_cores

Workers = int | Literal["auto"]

# A running piece has shown most of the memory it will take: it has trained and evaluated; MARGIN covers the rest.
SETTLED_SECONDS = 30.0
MARGIN = 1.25
# Left free for all else on the machine, and on a GPU for what other processes' contexts take.
RESERVE_SHARE = 0.1
DEVICE_RESERVE_SHARE = 0.05
# What a process takes on a GPU before its first tensor.
DEVICE_CONTEXT_BYTES = 600 << 20
# More at once is given up where it gets less done by more than this: pieces differ, and so do expectations.
LOSS = 0.05
RECOVERY = 16
# A piece that is so many times as fast as expected had been done before, and says nothing of throughput.
DONE_BEFORE = 20.0
PER_CORE = 4


@dataclass(frozen=True, slots=True)
class Running:
    """A piece that runs now: for how long, what its process holds, and the GPU it is on."""

    seconds: float
    usage: Usage
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A piece that ended: how many ran at once (itself too) on average, or when memory ran out; and what it took.

    `expected_seconds` is what it takes alone; None where nobody knows: then it says nothing of throughput.
    """

    level: float
    seconds: float
    usage: Usage
    expected_seconds: float | None = None
    out_of_memory: bool = False


@dataclass(slots=True)
class Packing:
    """The standing of one executor. `ceiling` is never passed; `measured`: memory and throughput decide below it."""

    ceiling: int
    measured: bool = True
    limit: int = 0
    _peak: int = 0
    _device_peak: int = 0
    _quiet: int = 0
    _speeds: dict[int, "_Speed"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limit = self.limit or self.ceiling

    def may_start(
        self, running: Sequence[Running], room: Room | None, device: str | None = None, held_bytes: int = 0
    ) -> bool:
        """Whether one more may start (on `device`) beside those running, in a process that holds `held_bytes`."""
        if not running:
            return True
        if len(running) >= self.limit:
            return False
        return not self.measured or (self._fits(running, room, held_bytes) and self._fits_device(running, device))

    def learn(self, ended: Ended) -> None:
        """Takes into account how a piece went."""
        level = max(1, round(ended.level))
        self._peak = max(self._peak, ended.usage.peak_bytes)
        self._device_peak = max(self._device_peak, ended.usage.device_peak_bytes)
        if ended.out_of_memory:
            self._step_back(max(1, min(level, self.limit) - 1))
            return
        self._quiet += 1
        if (
            self.measured
            and ended.expected_seconds is not None
            and DONE_BEFORE * ended.seconds > ended.expected_seconds
        ):
            self._speeds.setdefault(level, _Speed()).add(ended.expected_seconds, ended.seconds)
            self._weigh(level)
        if self._quiet >= RECOVERY and self.limit < self.ceiling:
            self._step_back(self.limit + 1)

    def _step_back(self, limit: int) -> None:
        self.limit, self._quiet = limit, 0
        self._speeds = {level: speed for level, speed in self._speeds.items() if level < limit}

    def _weigh(self, level: int) -> None:
        """Goes back to fewer at once where they got more done."""
        here = self._speeds[level]
        lower = [other for other, speed in self._speeds.items() if other < level and speed.n >= other]
        if here.n < level or not lower:
            return
        best = max(lower, key=lambda other: other * self._speeds[other].each)
        if level * here.each < (1 - LOSS) * best * self._speeds[best].each:
            self._step_back(best)

    def _fits(self, running: Sequence[Running], room: Room | None, held_bytes: int) -> bool:
        expected = self._peak or _settled(running, [one.usage.peak_bytes for one in running])
        if not expected:
            return False
        if room is None:  # the system does not tell: as many as the cores carry, and fewer once memory has run out
            return True
        growth = sum(max(0, expected - one.usage.resident_bytes) for one in running)
        return max(0, expected - held_bytes) + growth <= room.available_bytes - RESERVE_SHARE * room.total_bytes

    def _fits_device(self, running: Sequence[Running], device: str | None) -> bool:
        there = [one for one in running if one.device == device]
        told = [one.usage for one in there if one.usage.device_total_bytes]
        if not there or not told:
            return not there or self._device_peak == 0  # on a GPU that no piece has told of yet: one; without: any
        expected = self._device_peak or _settled(there, [one.usage.device_peak_bytes for one in there])
        if not expected:
            return False
        free, total = min(one.device_free_bytes for one in told), told[0].device_total_bytes
        begun = len(there) - len(told)  # their contexts are not there yet
        growth = sum(max(0, expected - one.usage.device_peak_bytes) for one in there) + begun * DEVICE_CONTEXT_BYTES
        return expected + DEVICE_CONTEXT_BYTES + growth <= free - DEVICE_RESERVE_SHARE * total


@dataclass(slots=True)
class _Speed:
    """Pieces of one level: how many, expected and actual seconds. `each`: work of a piece done in a second."""

    n: int = 0
    expected: float = 0.0
    actual: float = 0.0

    def add(self, expected: float, actual: float) -> None:
        self.n += 1
        self.expected += expected
        self.actual += actual

    @property
    def each(self) -> float:
        return self.expected / max(self.actual, 1e-9)


def most_workers() -> int:
    """How many workers (or threads of one) this machine is asked to carry: four for each core, busy or not."""
    return PER_CORE * (os.cpu_count() or 1)


def packing_of(workers: Workers, threads: int = 1) -> Packing:
    """The packing of so many workers, each of `threads` threads; "auto": as many as cores carry, by measured memory.

    Raises:
        InputError: less than one worker, or more than `most_workers`.
    """
    if workers == "auto":
        return Packing(max(1, n_cores() // max(1, threads)))
    if not 1 <= workers <= most_workers():
        raise InputError(
            f"got {workers} workers; wanted 1 to {most_workers()}, four for each core of this machine, or 'auto'"
        )
    return Packing(workers, measured=False)


def _settled(running: Sequence[Running], peaks: Sequence[int]) -> int:
    """The largest peak of those that have run for long, with a margin; 0 where none has."""
    known = [peak for one, peak in zip(running, peaks, strict=True) if one.seconds >= SETTLED_SECONDS]
    return round(MARGIN * max(known, default=0))
