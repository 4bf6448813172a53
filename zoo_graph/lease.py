"""One refresh at a time: a lease on the graph's node, kept alive by a thread and checked by every write.

A lease ends when it is given back, when its process is gone (told at once on the same host), or when it was not
renewed for a minute. Who lost it cannot write any more: each write checks its owner in the same transaction.
"""

import os
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from zoo_graph import queries
from zoo_graph.errors import RefreshBusyError, ZooError
from zoo_graph.snapshot import count_derived_write
from zoo_graph.store.connection import Connection, Transaction

T = TypeVar("T")

_MILLISECONDS = 60_000
_RENEW_SECONDS = 15.0


@dataclass(slots=True, eq=False)
class Lease:
    """The right to write derived things, held from `with Lease.take(connection)` to its end. Safe for threads."""

    connection: Connection
    owner: str
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @classmethod
    def take(cls, connection: Connection) -> "Lease":
        """Takes the lease, also from a process that died with it.

        Raises:
            RefreshBusyError: another process, or another thread of this one, holds it.
        """
        owner = uuid.uuid4().hex
        connection.write(lambda transaction: _take(transaction, owner))
        return cls(connection, owner)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` as one write of derived things; the lease is checked and renewed in the same transaction.

        Raises:
            RefreshBusyError: the lease ran out and another refresh took over; nothing was written.
        """

        def guarded(transaction: Transaction) -> T:
            self._keep(transaction)
            return work(transaction)

        return self.connection.write(guarded)

    def _keep(self, transaction: Transaction) -> None:
        if not transaction.run(queries.LEASE_KEEP, owner=self.owner, milliseconds=_MILLISECONDS):
            raise RefreshBusyError("this refresh stood still for a minute and another one took over; nothing is lost")
        count_derived_write(transaction)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._renew, name="zoo-lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.connection.write(self._give_back)
        except ZooError:  # it runs out by itself; what went wrong before matters more
            if error is None:
                raise

    def _give_back(self, transaction: Transaction) -> None:
        transaction.run(queries.LEASE_GIVE_BACK, owner=self.owner)
        count_derived_write(transaction)

    def _renew(self) -> None:
        """Renews through long computations. A failure ends the thread: the next write says what is wrong."""
        while not self._stop.wait(_RENEW_SECONDS):
            try:
                self.connection.write(self._keep)
            except ZooError:
                return


def _take(transaction: Transaction, owner: str) -> None:
    held: dict[str, Any] = transaction.run(queries.LEASE_STATE)[0]
    if held["owner"] not in (None, owner) and held["left_ms"] > 0 and not _is_dead(held):
        raise RefreshBusyError(
            f"another refresh is running (process {held['pid']} on {held['host']}): wait until it ends; if it was "
            f"killed on another machine, its claim ends within {held['left_ms'] // 1000 + 1} s"
        )
    transaction.run(
        queries.LEASE_TAKE,
        owner=owner,
        pid=os.getpid(),
        host=socket.gethostname(),
        started=_process_started(os.getpid()),
        milliseconds=_MILLISECONDS,
    )
    count_derived_write(transaction)


def _is_dead(held: dict[str, Any]) -> bool:
    """Whether the holder is known to be gone. On Windows a process cannot be asked without harm: time decides."""
    if held["host"] != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(held["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return bool(_process_started(held["pid"]) != held["started"])


def _process_started(pid: int) -> str:
    """Returns the kernel's start time of a process, which tells a reused pid from the old one; "" where unknown.

    A process that was killed and that its parent has not collected yet is none any more: its time is "" too.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
