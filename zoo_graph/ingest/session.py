"""Writes records to the graph in batches, each one transaction: what a batch acknowledged, no kill takes back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from itertools import islice
from typing import Any

from zoo_graph import queries
from zoo_graph.errors import StoreError
from zoo_graph.ingest.counts import Counts, Tally
from zoo_graph.ingest.edges import LABELS, Label
from zoo_graph.ingest.plan import Known, Plan, Read, apply, learn, plan_batch
from zoo_graph.records import Record, Run, now
from zoo_graph.store.connection import Connection, Transaction

BATCH_RECORDS = 4000
Track = Callable[[int, int | None], None]
"""Called with the number of records that are in the graph for good, and the number of all (None: not known)."""


class Session:
    """One run's writing; holds what it learnt of the graph from batch to batch."""

    def __init__(self, connection: Connection, run: Run) -> None:
        self._connection = connection
        self._run = run
        self._known = Known(connection.version())
        self._seen: dict[Label, set[str]] = {label: set() for label in LABELS}
        self.counts = Counts()
        self.wrote = False

    def write(self, records: Sequence[Record]) -> None:
        """Brings these records into the graph, in one transaction; none where the graph holds them all.

        Raises:
            StoreError: the store failed; nothing of this batch is in.
        """
        plan = plan_batch(self._connection.read, records, self._run.id, self._known)
        if plan.empty:
            learn(self._known, plan)
        else:
            plan, self._known = self._connection.write(lambda transaction: self._apply(transaction, records, plan))
            learn(self._known, plan)
            self.wrote = True
        self.counts += plan.counts() + _met(plan, self._seen)

    def _apply(self, transaction: Transaction, records: Sequence[Record], plan: Plan) -> tuple[Plan, Known]:
        """Applies the plan, or a new one where another writer was faster; may run twice."""
        version = int(transaction.run(queries.INGEST_VERSION)[0]["version"])
        known = self._known
        if version != known.version + 1:
            known = Known()
            plan = plan_batch(transaction.run, records, self._run.id, known)
        apply(plan, transaction.run, self._run.id)
        return plan, Known(version, known.names, known.edges)


def ingest(connection: Connection, records: Iterable[Record], run: Run, *, track: Track | None = None) -> Counts:
    """Brings records into the graph under a run, and returns how many were new.

    Done twice it is done once. Killed in the middle, the batches acknowledged are in, the run says `running`, and
    the same call continues. Records may be read while earlier ones are written: they are drawn in this thread.

    Raises:
        StoreError: the store failed; the batches before are in, and the run says `failed` if that could be written.
    """
    was = connection.read(queries.INGEST_RUN, id=run.id)
    done = bool(was) and was[0]["status"] == "done"
    if not done:
        start_run(connection, run)
    session = Session(connection, run)
    try:
        _write_all(session, records, track)
    except BaseException:
        if not done or session.wrote:
            _try_to_say_failed(connection, run, session.counts)
        raise
    if not done or session.wrote:
        end_run(connection, run, session.counts.totals_json(), "done")
    return session.counts


def preview(connection: Connection | None, records: Iterable[Record], run: Run) -> Counts:
    """Returns what `ingest` would bring, without writing anything; no connection stands for an empty graph.

    Raises:
        StoreError: the store failed.
    """
    read: Read = _read_nothing if connection is None else connection.read
    known, counts = Known(), Counts()
    seen: dict[Label, set[str]] = {label: set() for label in LABELS}
    for batch in _batches(records):
        plan = plan_batch(read, batch, run.id, known)
        learn(known, plan)
        counts += plan.counts() + _met(plan, seen)
    return counts


def start_run(connection: Connection, run: Run) -> None:
    """Writes that a run has started; a run that was started before keeps its first time."""
    values = {
        "id": run.id,
        "kind": run.kind,
        "started": run.started,
        "input_digest": run.input_digest,
        "code_version": run.code_version or code_version(),
        "parameters": run.parameters,
    }
    connection.write(lambda transaction: transaction.run(queries.INGEST_RUN_STARTED, **values))


def end_run(connection: Connection, run: Run, counts: str, status: str) -> None:
    """Writes that a run has ended, and what it vouches for."""
    values = {"id": run.id, "finished": now(), "counts": counts, "status": status}
    connection.write(lambda transaction: transaction.run(queries.INGEST_RUN_ENDED, **values))


def code_version() -> str:
    """Returns this package's version; `unknown` in a checkout that is not installed."""
    try:
        return metadata.version("zoo-graph")
    except metadata.PackageNotFoundError:
        return "unknown"


def _write_all(session: Session, records: Iterable[Record], track: Track | None) -> None:
    """Reads the next batch while the last one is written: parsing and the engine share the time."""
    done = 0
    with ThreadPoolExecutor(1, thread_name_prefix="zoo-ingest") as writer:
        pending: tuple[Future[None], int] | None = None
        for batch in _batches(records):
            if pending is not None:
                done = _finish(pending, done, track)
            pending = writer.submit(session.write, batch), len(batch)
        if pending is not None:
            _finish(pending, done, track)


def _finish(pending: tuple[Future[None], int], done: int, track: Track | None) -> int:
    future, size = pending
    future.result()
    if track is not None:
        track(done + size, None)
    return done + size


def _met(plan: Plan, seen: dict[Label, set[str]]) -> Counts:
    """The models and datasets that a batch is the first to name; adds them to `seen`."""
    tallies = {}
    for label in LABELS:
        met = set(plan.names[label].values()) - seen[label]
        created = {row[0] for row in plan.create[label]} & met
        seen[label] |= met
        tallies[label] = Tally(len(created), len(met) - len(created))
    return Counts(models=tallies["Model"], datasets=tallies["Dataset"])


def _read_nothing(query: str, **_: object) -> list[dict[str, Any]]:
    """What planning reads in an empty graph."""
    return [] if query in queries.INGEST_EDGES.values() else [{"found": []}]


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    source = iter(records)
    while batch := list(islice(source, BATCH_RECORDS)):
        yield batch


def _try_to_say_failed(connection: Connection, run: Run, counts: Counts) -> None:
    with suppress(StoreError):  # the failure under way is the one to report
        end_run(connection, run, counts.totals_json(), "failed")
