"""A spawned process that does one piece of work after another, and tells what it takes.

Knows pipes, signals and memory. Does not know how many workers there are, or why.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging import getLogger
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Generic, TypeVar

from selection.disk import is_disk_error
from selection.errors import SelectionError, TrialError
from selection.executors.memory import Usage, first_to_die, forget_peak, usage

T = TypeVar("T")
R = TypeVar("R")
Gauge = Callable[[], Usage]
_log = getLogger(__name__)

BEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """How a piece ended. `out_of_memory`: for want of memory, so that it may go well with more of it."""

    result: R | Exception
    seconds: float
    usage: Usage
    out_of_memory: bool = False


class Worker(Generic[T, R]):
    """A spawned process and the pipe to it. `device`: the one GPU it sees, as CUDA_VISIBLE_DEVICES names it.

    It has its own random state and threads, never sees a Ctrl-C, and ends with the process that started it, also when
    that one is killed.
    """

    def __init__(self, work: Callable[[T], R], device: str | None = None, gauge: Gauge = usage) -> None:
        context = get_context("spawn")
        self.device = device
        self.usage = Usage()
        self.first_resident_bytes: int | None = None
        self.pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_serve, args=(work, theirs, device, gauge), daemon=True)
        with _interrupts_blocked():
            self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def start(self, item: T) -> None:
        """Hands it a piece of work."""
        self.usage = Usage()
        self.pipe.send(item)

    def receive(self) -> Done[R] | None:
        """What the worker sends: how the piece ended; None, and `usage` renewed, while it goes on."""
        try:
            received: Done[R] | Usage = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return self._died()
        if isinstance(received, Usage):
            self.usage = received
            return None
        self.usage = received.usage
        if self.first_resident_bytes is None:
            self.first_resident_bytes = received.usage.resident_bytes
        return received

    @property
    def grown_bytes(self) -> int:
        """How much more it holds than after its first piece."""
        return self.usage.resident_bytes - (self.first_resident_bytes or self.usage.resident_bytes)

    def end(self) -> None:
        """Ends the process; one that has died already is only collected."""
        self.pipe.close()
        self._process.join(0.2)
        self._process.terminate()
        self._process.join()

    def kill(self) -> None:
        """Ends the process at once, whatever it is caught in."""
        self._process.kill()
        self.end()

    def _died(self) -> Done[R]:
        self.end()
        code = self._process.exitcode
        cause = f"killed by signal {-code} (out of memory?)" if code and code < 0 else f"ended with code {code}"
        # Linux ends by this signal who takes the last memory
        return Done(TrialError(f"the worker process died: {cause}"), 0.0, self.usage, code == -signal.SIGKILL)


def attempt(work: Callable[[T], R], item: T) -> R | Exception:
    """The result, or the exception; one that nobody raised on purpose is logged with its traceback."""
    try:
        return work(item)
    except Exception as error:
        if not isinstance(error, SelectionError):
            _log.warning("a piece of work failed: %s", error, exc_info=True)
        return error


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether it, or what caused it, is a lack of memory on a GPU or on the host."""
    from selection.features import is_out_of_memory

    while isinstance(error, Exception):
        if is_out_of_memory(error):
            return True
        error = error.__cause__
    return False


def measured(work: Callable[[T], R], item: T, gauge: Gauge = usage) -> Done[R]:
    """The piece done in this process, and what it took; an exception is turned into a `TrialError` of its text.

    An exception of a library may not pickle: only its text must arrive. The disk's arrives as a plain `OSError`.
    """
    forget_peak()
    start = time.perf_counter()
    result = attempt(work, item)
    seconds = time.perf_counter() - start
    if is_disk_error(result):
        return Done(OSError(result.errno, result.strerror, result.filename), seconds, gauge())
    if isinstance(result, Exception):
        return Done(TrialError(_text(result)), seconds, gauge(), ran_out_of_memory(result))
    return Done(result, seconds, gauge())


def _serve(work: Callable[[T], R], pipe: Connection, device: str | None, gauge: Gauge) -> None:
    """A worker's life: takes items until the pipe closes."""
    if device is not None:  # read by CUDA when it is first used, which is not before the first piece
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    first_to_die()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sending = threading.Lock()
    with suppress(EOFError, ConnectionError):  # whoever asked has gone, before or after the piece
        while True:
            item = pipe.recv()
            with _beating(pipe, sending, gauge):
                done = measured(work, item, gauge)
            del item
            with sending:
                pipe.send(done)
            del done
            forget_peak()  # an idle worker keeps no memory of a GPU that others could use


@contextmanager
def _beating(pipe: Connection, sending: threading.Lock, gauge: Gauge) -> Iterator[None]:
    """Tells the other end each second what this process holds."""
    ended = threading.Event()

    def beat() -> None:
        with suppress(OSError):  # the other end is closed: the process is about to end
            while not ended.wait(BEAT_SECONDS):
                with sending:
                    if not ended.is_set():
                        pipe.send(gauge())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, SelectionError) else f"{type(error).__name__}: {error}"


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """What starts meanwhile never sees a Ctrl-C, not even while it imports: the process that started it ends it."""
    resource_tracker.ensure_running()  # starting it unblocks the signal, so it must run before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """A killed parent must not leave workers that write into folders its successor takes over."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
