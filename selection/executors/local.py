"""Runs pieces of work on this machine: in this process, or in several that outlive a piece.

A worker that dies (killed for memory, a crash in native code) fails the piece it held and no other; workers end with
the process that started them, also when that one is killed.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Generic, TypeVar, cast

from selection.errors import InputError, SelectionError, TrialError

T = TypeVar("T")
R = TypeVar("R")
_log = logging.getLogger(__name__)


PER_CORE = 4


def most_workers() -> int:
    """How many workers (or threads of one) this machine is asked to carry: four for each core, busy or not."""
    return PER_CORE * (os.cpu_count() or 1)


def _never() -> bool:
    return False


class LocalExecutor(Generic[T, R]):
    """`work(item)` for many items; with more than one worker, `work`, items and results must be picklable.

    One worker works in the calling process (unless `spawn`), several in spawned ones: so each has its own random state
    and threads, and a script must guard its main part with `if __name__ == "__main__"`. Leaving the context ends them.

    Raises:
        InputError: less than one worker, or more than `most_workers`.
    """

    def __init__(self, work: Callable[[T], R], workers: int = 1, *, spawn: bool = False) -> None:
        if not 1 <= workers <= most_workers():
            raise InputError(f"got {workers} workers; wanted 1 to {most_workers()}, four for each core of this machine")
        self._work = work
        self._spawn = spawn
        self._n_workers = workers
        self._idle: list[_Worker[T, R]] = []
        self._busy: dict[Connection, tuple[_Worker[T, R], T]] = {}

    def __enter__(self) -> "LocalExecutor[T, R]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.end()

    def run(self, items: Sequence[T], stop: Callable[[], bool] = _never) -> Iterator[tuple[T, R | Exception]]:
        """Yields each item with its result or its exception, as they end; none starts once `stop()` is true."""
        if self._n_workers == 1 and not self._spawn:
            for item in items:
                if stop():
                    return
                yield item, _attempt(self._work, item)
            return
        left = list(items)
        while left or self._busy:
            while left and len(self._busy) < self._n_workers and not stop():
                self._start(left.pop(0))
            if not self._busy:
                return
            yield from self._ended()

    def _start(self, item: T) -> None:
        while self._idle and not self._idle[-1].process.is_alive():
            self._idle.pop().end()
        worker = self._idle.pop() if self._idle else _Worker(self._work)
        worker.pipe.send(item)
        self._busy[worker.pipe] = worker, item

    def _ended(self) -> Iterator[tuple[T, R | Exception]]:
        """Waits for at least one worker, and yields what those that ended bring back."""
        for pipe in wait(list(self._busy)):
            worker, item = self._busy.pop(cast(Connection, pipe))
            result = worker.result()
            if worker.process.is_alive():
                self._idle.append(worker)
            yield item, result


class _Worker(Generic[T, R]):
    """A spawned process and the pipe to it."""

    def __init__(self, work: Callable[[T], R]) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(work, theirs), daemon=True)
        with _interrupts_blocked():
            self.process.start()
        theirs.close()

    def result(self) -> R | Exception:
        """What the worker sends, or why it cannot."""
        try:
            received: R | Exception = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.end()
            code = self.process.exitcode
            cause = f"killed by signal {-code} (out of memory?)" if code and code < 0 else f"ended with code {code}"
            return TrialError(f"the worker process died: {cause}")
        return received

    def end(self) -> None:
        """Ends the process; one that has died already is only collected."""
        self.pipe.close()
        self.process.join(0.2)
        self.process.terminate()
        self.process.join()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """What starts meanwhile never sees a Ctrl-C, not even while it imports: the process that started it ends it."""
    resource_tracker.ensure_running()  # starting it unblocks the signal, so it must run before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _attempt(work: Callable[[T], R], item: T) -> R | Exception:
    """The result, or the exception; one that nobody raised on purpose is logged with its traceback."""
    try:
        return work(item)
    except Exception as error:
        if not isinstance(error, SelectionError):
            _log.warning("a piece of work failed: %s", error, exc_info=True)
        return error


def _serve(work: Callable[[T], R], pipe: Connection) -> None:
    """A worker's life: takes items until the pipe closes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError):
        while True:
            result = _attempt(work, pipe.recv())
            # an exception of a library may not pickle: only its text must arrive
            pipe.send(TrialError(_text(result)) if isinstance(result, Exception) else result)


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, SelectionError) else f"{type(error).__name__}: {error}"


def _end_with_parent() -> None:
    """A killed parent must not leave workers that write into folders its successor takes over."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
