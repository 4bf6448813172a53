"""The official driver, and the only file that runs statements through it: sessions, retries, plain values."""

import datetime
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import neo4j
import neo4j.graph
import neo4j.time
from neo4j import exceptions

from zoo_graph.errors import InputError
from zoo_graph.store.endpoints import Endpoint
from zoo_graph.store.failures import is_limit
from zoo_graph.store.rows import Row, Rows

T = TypeVar("T")
SCALARS = frozenset({str, int, float, bool, type(None)})
CONNECT_SECONDS = 5.0
ACQUIRE_SECONDS = 10.0  # the driver waits as long for the first answer of what it has connected to
IDLE_SECONDS = 30.0  # a connection unused for longer is tried before it is used: the server may have restarted
RETRY_SECONDS = 30.0  # conflicts between writers, a cluster's change of leader
RECONNECT_SECONDS = 5.0  # nobody answers
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 1.0
CONSTRAINT_RETRIES = 2
_ENDING = "no longer valid"  # what the embedded engine says to known users of their credentials while it ends


class Bolt:
    """One driver for one endpoint. Safe for threads; `close` it.

    `zone` is attached to date-times that come back without one.
    """

    def __init__(self, endpoint: Endpoint, zone: datetime.tzinfo | None) -> None:
        auth = None if endpoint.user is None else (endpoint.user, endpoint.password or "")
        self._zone = zone
        self._driver = neo4j.GraphDatabase.driver(
            endpoint.uri,
            auth=auth,
            connection_timeout=CONNECT_SECONDS,
            connection_acquisition_timeout=ACQUIRE_SECONDS,
            notifications_min_severity="OFF",
            liveness_check_timeout=IDLE_SECONDS,
            user_agent="zoo-graph",
        )
        self._bookmarks = neo4j.GraphDatabase.bookmark_manager()

    def check(self) -> None:
        """Connect and log in.

        Raises:
            neo4j.exceptions.Neo4jError, DriverError: as the driver says it.
        """
        self._driver.verify_connectivity()

    def run(self, query: str, parameters: Mapping[str, object]) -> list[Row]:
        """Run a statement that takes a transaction of its own, such as a change of schema."""
        with self._session(neo4j.WRITE_ACCESS) as session:
            return [plain_row(record, self._zone) for record in send(session, query, parameters)]

    def transact(self, work: Callable[["Statements"], T], access: str) -> T:
        """Run `work` in one transaction: committed when it returns, rolled back when it raises."""
        with self._session(access) as session, session.begin_transaction() as transaction:
            done = work(Statements(transaction, self._zone))
            try:
                transaction.commit()
            except exceptions.AuthError as error:
                # So an engine that is ending answers whom it had let in; whether it committed it does not say.
                raise exceptions.IncompleteCommit(str(error)) from error
            return done

    def query(self, cypher: str, parameters: Mapping[str, object], seconds: float, max_rows: int | None) -> Rows:
        """Run one read-only statement once, within the server's own time limit."""
        fetch_size = 1000 if max_rows is None else min(max_rows + 1, 1000)
        with (
            self._session(neo4j.READ_ACCESS, fetch_size=fetch_size) as session,
            session.begin_transaction(timeout=seconds) as transaction,
        ):
            result = send(transaction, cypher, parameters)
            records = list(result) if max_rows is None else result.fetch(max_rows + 1)
            columns = tuple(result.keys())
            kept = records if max_rows is None else records[:max_rows]
            rows = tuple(plain_row(record, self._zone) for record in kept)
            return Rows(columns, rows, cut=len(records) > len(kept))

    def close(self) -> None:
        """Close all connections."""
        self._driver.close()

    def _session(self, access: str, fetch_size: int = 1000) -> neo4j.Session:
        return self._driver.session(default_access_mode=access, bookmark_manager=self._bookmarks, fetch_size=fetch_size)


class Statements:
    """Runs statements within one transaction."""

    def __init__(self, transaction: neo4j.Transaction, zone: datetime.tzinfo | None) -> None:
        self._transaction = transaction
        self._zone = zone

    def run(self, query: str, parameters: Mapping[str, object]) -> list[Row]:
        """Run one statement and return all its rows."""
        result = send(self._transaction, query, parameters)
        return [plain_row(record, self._zone) for record in result]


def send(runner: neo4j.Transaction | neo4j.Session, query: str, parameters: Mapping[str, object]) -> neo4j.Result:
    """Run a statement.

    Raises:
        InputError: a parameter's value is none that a graph can hold.
    """
    try:
        return runner.run(query, dict(parameters))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"a value cannot be sent to the store ({error}); wanted text, numbers of 64 bits, true or false, dates, "
            "and lists or maps of these: convert it first"
        ) from error


def retried(once: Callable[[], T]) -> T:
    """Return `once()`, tried again where the driver says that this helps, for half a minute at most.

    Pauses double from 10 ms to 1 s, each shortened by chance, so that two writers do not meet again. A constraint
    broken is tried again twice: so the embedded engine answers the later of two writers that make the same key.
    """
    start = time.monotonic()
    chance = random.Random()
    pause = FIRST_PAUSE_SECONDS
    broken = 0
    while True:
        try:
            return once()
        except (exceptions.Neo4jError, exceptions.DriverError) as error:
            broken += isinstance(error, exceptions.ConstraintError)
            if broken > CONSTRAINT_RETRIES or time.monotonic() + pause - start > _patience(error):
                raise
        time.sleep(pause * chance.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _patience(error: exceptions.Neo4jError | exceptions.DriverError) -> float:
    """Return for how many seconds it makes sense to try again after this error."""
    if isinstance(error, exceptions.ConstraintError):
        return RETRY_SECONDS
    ending = isinstance(error, exceptions.AuthError) and _ENDING in str(error)
    if not ending and (is_limit(error) or not error.is_retryable()):
        return 0.0
    gone = ending or isinstance(error, exceptions.ServiceUnavailable | exceptions.SessionExpired)
    return RECONNECT_SECONDS if gone else RETRY_SECONDS


def plain_row(record: neo4j.Record, zone: datetime.tzinfo | None) -> Row:
    """Return a record's values as plain Python under their columns' names."""
    return {key: plain(value, zone) for key, value in zip(record.keys(), record, strict=True)}


def plain(value: Any, zone: datetime.tzinfo | None) -> Any:
    """Return the driver's value as plain Python.

    A node becomes its properties plus `_labels`, a relationship its properties plus `_type`, a path the list of both
    in their order. Times become `datetime`'s (microseconds), durations ISO 8601 text, points their coordinates.
    A date-time without a zone gets `zone`.
    """
    if type(value) in SCALARS:
        return value
    if isinstance(value, list | tuple):
        return [item if type(item) in SCALARS else plain(item, zone) for item in value]
    if isinstance(value, dict):
        return {key: plain(item, zone) for key, item in value.items()}
    if isinstance(value, neo4j.time.DateTime):
        native = value.to_native()
        return native.replace(tzinfo=zone) if native.tzinfo is None else native
    if isinstance(value, neo4j.time.Date | neo4j.time.Time):
        return value.to_native()
    if isinstance(value, neo4j.time.Duration):
        return value.iso_format()
    return _plain_entity(value, zone)


def _plain_entity(value: Any, zone: datetime.tzinfo | None) -> Any:
    if isinstance(value, neo4j.graph.Node):
        return {"_labels": sorted(value.labels), **plain(dict(value), zone)}
    if isinstance(value, neo4j.graph.Relationship):
        return {"_type": value.type, **plain(dict(value), zone)}
    if isinstance(value, neo4j.graph.Path):
        pairs = zip(value.relationships, value.nodes[1:], strict=True)
        steps = [value.start_node, *(step for pair in pairs for step in pair)]
        return [plain(step, zone) for step in steps]
    return value
