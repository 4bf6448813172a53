"""Runs pieces of work on the nodes of a Ray cluster, by the same protocol as on one machine; needs the extra `ray`.

Each worker is an actor that does one piece after another, as many as the cluster's cores carry at `threads` for each:
one on each node until a piece has told its memory, then with that set aside in Ray's own accounts (on GPUs as a share
of a card). Throughput is not judged here: nodes differ. A worker that is lost with its process or its node costs no
piece, which is done again elsewhere.

The package must be installed on every node. What pieces write (trials' folders) must lie on storage that all nodes
share, under the same path, for a trial may go on elsewhere; a file written here and looked for there makes sure.
"""

import logging
import os
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from selection.errors import InputError, TrialError
from selection.executors.memory import Usage
from selection.executors.packing import DEVICE_CONTEXT_BYTES, MARGIN, Workers
from selection.executors.stuck import STUCK_SECONDS, limit_seconds, why_cut_off
from selection.executors.worker import Done, measured

T = TypeVar("T")
R = TypeVar("R")
_log = logging.getLogger(__name__)

# A piece whose worker was lost so often is itself to blame, or the cluster is.
LOSSES = 3
# Shared file systems show a new file to others with some delay.
SHARED_SECONDS = 10.0
REACH_SECONDS = 10.0
LEAST_SHARE = 1 / 16
_LOOK_SECONDS = 1.0


def _never() -> bool:
    return False


@dataclass(slots=True)
class _Piece(Generic[T]):
    """An item; how often its worker was lost; whether it is done again for want of memory."""

    item: T
    n_lost: int = 0
    again: bool = False


@dataclass(slots=True, eq=False)
class _Actor(Generic[T]):
    """A worker somewhere. `ready` is asked for at first, `answer` while it holds a piece."""

    handle: Any
    ready: Any
    gpu_share: float
    answer: Any = None
    piece: _Piece[T] | None = None
    start: float = 0.0
    beside: bool = False


class RayExecutor(Generic[T, R]):
    """`work(item)` for many items over a cluster; `work`, items and results must be picklable.

    `workers` bounds how many work at once ("auto": cores and memory alone do). `address` is Ray's ("auto",
    "host:6379", "ray://host:10001"; None: $RAY_ADDRESS, or a cluster of this machine alone). `folder` is where pieces
    write: it is tried whether every node sees it. `on_gpu`: pieces want a GPU, or a share of one. For the rest see
    `LocalExecutor`. A piece whose worker was lost `LOSSES` times has failed.

    Raises:
        InputError: ray is not installed, no cluster at that address, or no node with so many cores.
    """

    def __init__(
        self,
        work: Callable[[T], R],
        workers: Workers = "auto",
        *,
        address: str | None = None,
        folder: Path | None = None,
        threads: int = 1,
        on_gpu: bool = False,
        expected_seconds: Callable[[T], float | None] | None = None,
        stuck_seconds: float = STUCK_SECONDS,
        admit: Callable[[T], bool] | None = None,
    ) -> None:
        if workers != "auto" and workers < 1:
            raise InputError(f"got {workers} workers; wanted 1 or more, or 'auto'")
        self._work = work
        self._n_workers = workers
        self._address = address
        self._folder = folder
        self._threads = max(1, threads)
        self._on_gpu = on_gpu
        self._expected = expected_seconds or (lambda item: None)
        self._stuck_seconds = stuck_seconds
        self._admit = admit or (lambda item: True)
        self._actors: list[_Actor[T]] = []
        self._peak = Usage()
        self._n_unready = 0

    def __enter__(self) -> "RayExecutor[T, R]":
        self._ray = _imported()
        self._begun_here = not self._ray.is_initialized()
        if self._begun_here:
            _connect(self._ray, self._address)
        self._check_cores()
        self._shared_work = self._ray.put(self._work)
        self._token = _token(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for actor in list(self._actors):
            self._end(actor)
        if self._token is not None:
            self._token.unlink(missing_ok=True)
        if self._begun_here:
            self._ray.shutdown()

    def run(self, items: Sequence[T], stop: Callable[[], bool] = _never) -> Iterator[tuple[T, R | Exception]]:
        """Yields each item with its result or its exception, as they end; none starts once `stop()` is true.

        Raises:
            InputError: a node does not see the folder, or workers do not come up.
        """
        waiting, again = deque(_Piece(item) for item in items), deque[_Piece[T]]()
        while waiting or again or self._busy():
            while (waiting or again) and not stop() and self._start_next(waiting, again):
                pass
            if not self._busy() and stop():
                return
            yield from self._looked(waiting, again)

    def let_go(self) -> None:
        """Ends workers that hold no piece, and with them what they hold of memory; others come when they are wanted."""
        for actor in [one for one in self._actors if one.piece is None]:
            self._end(actor)

    def _busy(self) -> list[_Actor[T]]:
        return [actor for actor in self._actors if actor.piece is not None]

    def _start_next(self, waiting: deque[_Piece[T]], again: deque[_Piece[T]]) -> bool:
        """Hands the next piece to an idle worker; where there is none, asks for one more as far as there is room."""
        busy = self._busy()
        if busy and (not waiting or any(actor.piece.again for actor in busy if actor.piece)):
            return False
        idle = next((one for one in self._actors if one.piece is None and one.ready is None), None)
        if idle is None:
            if len(self._actors) < self._n_slots():
                self._ask_for_one()
            return False
        queue = waiting or again
        if not self._admit(queue[0].item) and busy:
            return False
        idle.piece = queue.popleft()
        idle.start, idle.beside = time.monotonic(), False
        idle.answer = idle.handle.do.remote(idle.piece.item)
        for actor in self._busy():
            actor.beside |= bool(busy)
        return True

    def _n_slots(self) -> int:
        """How many workers there may be now: nodes come and go."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        if not self._peak.peak_bytes:
            slots = len(nodes)
        else:
            slots = sum(int(node["Resources"].get("CPU", 0)) // self._threads for node in nodes)
        return max(1, slots if self._n_workers == "auto" else min(slots, self._n_workers))

    def _ask_for_one(self) -> None:
        share = self._gpu_share()
        options: dict[str, Any] = {"num_cpus": self._threads, "num_gpus": share}
        if self._peak.peak_bytes:
            # more than the largest node has would be waited for without end
            options["memory"] = min(round(MARGIN * self._peak.peak_bytes), self._most_memory())
        made = self._ray.remote(_Serving).options(max_restarts=0, scheduling_strategy="SPREAD", **options)
        handle = made.remote(self._shared_work, self._token)
        self._actors.append(_Actor(handle, handle.sees_folder.remote(), share))

    def _most_memory(self) -> int:
        """Bytes of the largest living node that has the cores, and the GPU, for a piece; 0 where there is none."""
        wanted = {"CPU": self._threads, "GPU": int(self._on_gpu)}
        living = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        able = [one for one in living if all(one.get(name, 0) >= least for name, least in wanted.items())]
        return max((int(one.get("memory", 0)) for one in able), default=0)

    def _gpu_share(self) -> float:
        """The share of a GPU that a worker asks for: a whole one until the memory is known."""
        if not self._on_gpu:
            return 0.0
        if not self._peak.device_total_bytes:
            return 1.0
        wanted = MARGIN * self._peak.device_peak_bytes + DEVICE_CONTEXT_BYTES
        return min(1.0, max(LEAST_SHARE, wanted / self._peak.device_total_bytes))

    def _looked(self, waiting: deque[_Piece[T]], again: deque[_Piece[T]]) -> Iterator[tuple[T, R | Exception]]:
        """Waits a moment for workers, and yields what those that ended bring back, and whom it cut off."""
        waited = {actor.answer if actor.piece is not None else actor.ready: actor for actor in self._actors}
        waited.pop(None, None)
        if waited:
            ended, _ = self._ray.wait(list(waited), num_returns=1, timeout=_LOOK_SECONDS)
        else:
            ended = []
            time.sleep(_LOOK_SECONDS)
        for reference in ended:
            actor = waited[reference]
            if actor.piece is None:
                self._welcome(actor)
            else:
                yield from self._taken_back(actor, actor.piece, waiting, again)
        for actor in self._busy():
            if actor.piece is not None and self._is_stuck(actor, actor.piece.item):
                self._end(actor)
                expected = self._expected(actor.piece.item)
                yield actor.piece.item, TrialError(why_cut_off(expected, self._stuck_seconds))

    def _is_stuck(self, actor: _Actor[T], item: T) -> bool:
        limit = limit_seconds(self._expected(item), self._stuck_seconds)
        return limit is not None and time.monotonic() - actor.start > limit

    def _welcome(self, actor: _Actor[T]) -> None:
        """A worker has come up; it must see the folder."""
        try:
            host, sees = self._ray.get(actor.ready)
        except self._ray.exceptions.RayError as error:
            self._end(actor)
            self._n_unready += 1
            _log.warning("a worker of the Ray cluster did not come up: %s", error)
            if self._n_unready >= LOSSES:
                raise InputError(
                    f"workers of the Ray cluster do not come up: {_first_line(error)}; wanted this package, of the "
                    "same version, on every node"
                ) from error
            return
        if not sees:
            raise InputError(
                f"the node {host} does not see {self._folder}; wanted a folder on storage that all nodes of the "
                "cluster share (such as NFS) under the same path: choose another folder, or run on one machine"
            )
        self._n_unready = 0
        actor.ready = None

    def _taken_back(
        self, actor: _Actor[T], piece: _Piece[T], waiting: deque[_Piece[T]], again: deque[_Piece[T]]
    ) -> Iterator[tuple[T, R | Exception]]:
        """What became of a piece; nothing yet, where it is to be done again."""
        try:
            done: Done[R] = self._ray.get(actor.answer)
        except self._ray.exceptions.RayError as error:
            self._end(actor)
            if isinstance(error, self._ray.exceptions.OutOfMemoryError):
                done = Done(TrialError(f"the worker process died: {_first_line(error)}"), 0.0, Usage(), True)
            elif isinstance(error, self._ray.exceptions.RayTaskError):  # what it brings back does not travel
                done = Done(TrialError(f"its result did not come back: {_first_line(error)}"), 0.0, Usage())
            else:
                piece.n_lost += 1
                _log.warning("a worker of the Ray cluster was lost: %s", _first_line(error))
                if piece.n_lost < LOSSES:
                    waiting.appendleft(piece)
                    return
                done = Done(TrialError(f"its worker was lost {LOSSES} times: {_first_line(error)}"), 0.0, Usage())
        self._learn(actor, done)
        if done.out_of_memory and actor.beside:
            piece.again = True
            again.append(piece)
        else:
            yield piece.item, done.result

    def _learn(self, actor: _Actor[T], done: Done[R]) -> None:
        """Takes the measured memory into account; a worker that holds too large a share of a GPU, or ran out of
        memory, makes way for others."""
        told, known = done.usage, self._peak
        self._peak = Usage(
            peak_bytes=max(known.peak_bytes, told.peak_bytes),
            device_peak_bytes=max(known.device_peak_bytes, told.device_peak_bytes),
            device_total_bytes=max(known.device_total_bytes, told.device_total_bytes),
        )
        actor.piece = actor.answer = None
        if actor in self._actors and (done.out_of_memory or actor.gpu_share > 1.5 * self._gpu_share()):
            self._end(actor)

    def _end(self, actor: _Actor[T]) -> None:
        self._actors.remove(actor)
        self._ray.kill(actor.handle)

    def _check_cores(self) -> None:
        most = max((int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]), default=0)
        if most < self._threads:
            raise InputError(
                f"got {self._threads} threads for a piece; the largest node of the Ray cluster has {most} cores: "
                "give fewer threads, or a larger node"
            )


class _Serving(Generic[T, R]):
    """A worker on a node; Ray has unpickled `work` for it."""

    def __init__(self, work: Callable[[T], R], token: Path | None) -> None:
        self._work = work
        self._token = token

    def sees_folder(self) -> tuple[str, bool]:
        """The node's name, and whether it sees the token."""
        end = time.monotonic() + SHARED_SECONDS
        while self._token is not None and not self._token.exists() and time.monotonic() < end:
            time.sleep(0.2)
        return socket.gethostname(), self._token is None or self._token.exists()

    def do(self, item: T) -> Done[R]:
        """The piece, done and measured."""
        return measured(self._work, item)


def _imported() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError(
            "the executor 'ray' needs ray, which is not installed: pip install 'zoo-graph[ray]', or use 'local'"
        ) from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    named = address or os.environ.get("RAY_ADDRESS")
    # What Ray tells its makers of a cluster that is started here is not asked for by anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _reach(named)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"got the Ray address {named!r}, which cannot be used: {_first_line(error)}; wanted a "
            "running cluster's, such as host:6379 or ray://host:10001"
        ) from error


def _reach(address: str | None) -> None:
    """Passes an address where someone listens; Ray itself would try for minutes, and then end the process.

    Raises:
        OSError: no one does.
        ValueError: it is none.
    """
    if address is None or address in {"auto", "local"}:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


def _token(folder: Path | None) -> Path | None:
    """A file that proves the folder shared."""
    if folder is None:
        return None
    token = folder.absolute() / f".seen-by-all-{uuid.uuid4().hex[:12]}"
    token.touch()
    return token


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
