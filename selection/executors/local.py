"""Runs pieces of work on this machine: in this process, or in several that outlive a piece.

A worker that dies (killed for memory, a crash in native code) fails the piece it held and no other, and is replaced.
How many work at once is `packing`'s word, what a worker is `worker`'s.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Generic, TypeVar, cast

from selection.errors import TrialError
from selection.executors.memory import free_memory, gpus, room, usage
from selection.executors.packing import Ended, Running, Workers, most_workers, packing_of
from selection.executors.stuck import STUCK_SECONDS, limit_seconds, why_cut_off
from selection.executors.worker import Done, Gauge, Worker, attempt, ran_out_of_memory

__all__ = ["LocalExecutor", "most_workers"]

T = TypeVar("T")
R = TypeVar("R")

# Libraries leave more behind in a process with every piece; a new one costs some seconds of imports.
GROWTH_BYTES = 1 << 30
_LOOK_SECONDS = 1.0


def _never() -> bool:
    return False


@dataclass(slots=True)
class _Held(Generic[T, R]):
    """A piece that a worker holds. `crowd_seconds`: pieces that ran at once (itself too), summed over its time.

    `again`: it is done again for want of memory. `beside`: it had company at some time.
    """

    worker: Worker[T, R]
    item: T
    start: float
    again: bool
    beside: bool = False
    crowd_seconds: float = 0.0


class LocalExecutor(Generic[T, R]):
    """`work(item)` for many items; with more than one worker, `work`, items and results must be picklable.

    One worker works in the calling process (unless `spawn`), several and "auto" in spawned ones: so each has its own
    random state and threads, and a script must guard its main part with `if __name__ == "__main__"`. "auto" is as many
    as cores, at `threads` for each piece, and measured memory carry (`packing`); a number is kept to. Where there are
    several GPUs (`devices`, by default those of this machine) each worker sees one. Leaving the context ends them.

    A piece that lacks memory is done again: in spawned workers one that had others beside it, alone, once those waiting
    are through; in this process any, once. It has failed only if that fails; so `work` must bear being done again. In
    spawned workers one that takes more than `stuck_seconds` and
    many times its `expected_seconds(item)` (`stuck`) is cut off: its worker is killed, the piece has failed. Without
    expected seconds nothing is cut off, and how much gets done at once is not judged. A worker that has grown by
    `growth_bytes` since its first piece is replaced.

    `admit(item)` is asked before a piece starts (again); False keeps it and those after it waiting while others run.

    Raises:
        InputError: less than one worker, or more than `most_workers`.
    """

    def __init__(
        self,
        work: Callable[[T], R],
        workers: Workers = 1,
        *,
        spawn: bool = False,
        threads: int = 1,
        expected_seconds: Callable[[T], float | None] | None = None,
        stuck_seconds: float = STUCK_SECONDS,
        admit: Callable[[T], bool] | None = None,
        devices: Sequence[str] | None = None,
        growth_bytes: int = GROWTH_BYTES,
        gauge: Gauge = usage,
    ) -> None:
        self.packing = packing_of(workers, threads)
        self._here = workers == 1 and not spawn
        self._work = work
        self._expected = expected_seconds or (lambda item: None)
        self._stuck_seconds = stuck_seconds
        self._admit = admit or (lambda item: True)
        found = gpus() if devices is None else tuple(devices)
        self._devices: tuple[str | None, ...] = found if len(found) > 1 else (None,)
        self._growth_bytes = growth_bytes
        self._gauge = gauge
        self._idle: list[Worker[T, R]] = []
        self._busy: dict[Connection, _Held[T, R]] = {}
        self._looked = 0.0

    def __enter__(self) -> "LocalExecutor[T, R]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in [*self._idle, *(held.worker for held in self._busy.values())]:
            worker.end()

    def run(self, items: Sequence[T], stop: Callable[[], bool] = _never) -> Iterator[tuple[T, R | Exception]]:
        """Yields each item with its result or its exception, as they end; none starts once `stop()` is true."""
        if self._here:
            yield from self._run_here(items, stop)
            return
        waiting, again = deque(items), deque[T]()
        while waiting or again or self._busy:
            while (waiting or again) and not stop() and self._start_next(waiting, again):
                pass
            if not self._busy:
                return
            yield from self._ended(again)

    def let_go(self) -> None:
        """Ends workers that hold no piece, and with them what they hold of memory; others come when they are wanted."""
        while self._idle:
            self._idle.pop().end()

    def _run_here(self, items: Sequence[T], stop: Callable[[], bool]) -> Iterator[tuple[T, R | Exception]]:
        for item in items:
            if stop():
                return
            self._admit(item)
            result = attempt(self._work, item)
            if isinstance(result, Exception) and ran_out_of_memory(result):
                del result  # its traceback holds what the piece took
                free_memory()
                result = attempt(self._work, item)
            yield item, result

    def _start_next(self, waiting: deque[T], again: deque[T]) -> bool:
        """Starts the next piece if there is room for it; those that are done again, one at a time after all others."""
        queue = waiting or again
        if self._busy and (not waiting or any(held.again for held in self._busy.values())):
            return False
        device = self._freest()
        idle = self._idle_on(device)
        held_bytes = idle.usage.resident_bytes if idle else 0
        if not self.packing.may_start(self._running(), room(), device, held_bytes):
            return False
        if not self._admit(queue[0]) and self._busy:
            return False
        self._count_crowd()
        if idle is None:
            idle = Worker(self._work, device, self._gauge)
        else:
            self._idle.remove(idle)
        idle.start(queue[0])
        self._busy[idle.pipe] = _Held(idle, queue.popleft(), time.monotonic(), queue is again)
        for held in self._busy.values():
            held.beside |= len(self._busy) > 1
        return True

    def _freest(self) -> str | None:
        """The GPU with the fewest pieces."""
        devices = [held.worker.device for held in self._busy.values()]
        return min(self._devices, key=devices.count)

    def _idle_on(self, device: str | None) -> Worker[T, R] | None:
        for worker in [one for one in self._idle if not one.is_alive]:
            self._idle.remove(worker)
            worker.end()
        return next((worker for worker in reversed(self._idle) if worker.device == device), None)

    def _running(self) -> list[Running]:
        now = time.monotonic()
        return [Running(now - one.start, one.worker.usage, one.worker.device) for one in self._busy.values()]

    def _ended(self, again: deque[T]) -> Iterator[tuple[T, R | Exception]]:
        """Waits a moment for what workers send, and yields what those that ended bring back, and whom it cut off."""
        for pipe in wait(list(self._busy), _LOOK_SECONDS):
            held = self._busy[cast(Connection, pipe)]
            done = held.worker.receive()
            if done is None:
                continue
            self._take_back(held, done)
            if done.out_of_memory and held.beside:
                again.append(held.item)
            else:
                yield held.item, done.result
        for held in [one for one in self._busy.values() if self._is_stuck(one)]:
            self._count_crowd()
            del self._busy[held.worker.pipe]
            held.worker.kill()
            yield held.item, TrialError(why_cut_off(self._expected(held.item), self._stuck_seconds))

    def _take_back(self, held: _Held[T, R], done: Done[R]) -> None:
        """The worker is free, or ended where it is of no more use; what the piece took is learnt."""
        self._count_crowd()
        pipe = held.worker.pipe
        level = len(self._busy) if done.out_of_memory else held.crowd_seconds / max(self._looked - held.start, 1e-9)
        del self._busy[pipe]
        if not pipe.closed and (done.out_of_memory or held.worker.grown_bytes > self._growth_bytes):
            held.worker.end()
        elif not pipe.closed:
            self._idle.append(held.worker)
        expected = None if isinstance(done.result, Exception) else self._expected(held.item)
        self.packing.learn(Ended(level, done.seconds, done.usage, expected, done.out_of_memory))

    def _count_crowd(self) -> None:
        """Adds the time since the last start or end to what runs; called before either."""
        now = time.monotonic()
        for held in self._busy.values():
            held.crowd_seconds += len(self._busy) * (now - max(self._looked, held.start))
        self._looked = now

    def _is_stuck(self, held: _Held[T, R]) -> bool:
        limit = limit_seconds(self._expected(held.item), self._stuck_seconds)
        return limit is not None and time.monotonic() - held.start > limit
