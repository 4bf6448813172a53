"""A connection to a store, the same for an embedded one and for a Neo4j server.

The contract, which tests/zoo_graph/store/test_contract.py holds both stores to:

- A connection may be used by several threads, and closed by one of them when the others are done.
- `write` is one transaction: all of it is in when the call returns, none of it when it raises. It raises the graph's
  version first, which makes writers take turns: what a writer reads inside `write` no other changes before it commits.
- `read` sees everything that a `write` returned from before, whoever wrote it.
- `query` runs what a user typed: it cannot write, and it ends in its time.
- Values are plain Python (see `bolt.plain`); date-times carry their zone.
- Every error is one of `zoo_graph.errors`; none of the driver's comes through.
"""

import contextlib
import datetime
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit

from zoo_graph.errors import (
    AuthenticationError,
    InputError,
    QueryLimitError,
    StoreError,
    StoreFailedError,
    StoreUnavailableError,
)
from zoo_graph.store import statements
from zoo_graph.store.embedded import EmbeddedStore, Engine, cannot_write, prepare
from zoo_graph.store.endpoints import Endpoint, Server, Source
from zoo_graph.store.rows import Row, Rows

if TYPE_CHECKING:  # the driver takes a quarter of a second to import: not before a store is opened
    from zoo_graph.store.bolt import Bolt, Statements

T = TypeVar("T")
SERVER_URI = re.compile(r"^(bolt|neo4j)(\+s|\+ssc)?://.")
USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://|(?:bolt|neo4j):/?).*@", re.IGNORECASE)
ANY_URI = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
OVERTIME_SECONDS = 1.0  # how much longer than its limit a query may take to be stopped by the store itself
LEFT_BEHIND = 4  # statements the embedded engine goes on with until its own limit, as it cannot be told to stop

RAISE_VERSION = "MATCH (g:Graph {id: 'zoo'}) SET g.version = g.version + 1 RETURN g.version AS version"
READ_VERSION = "MATCH (g:Graph {id: 'zoo'}) RETURN g.version AS version"


class Transaction:
    """One write transaction, as `Connection.write` hands it out."""

    def __init__(self, statements: "Statements") -> None:
        self._statements = statements

    def run(self, query: str, **parameters: object) -> list[Row]:
        """Run one statement and return its rows."""
        return self._statements.run(query, parameters)


class Connection:
    """A store, opened. Made by `open_store`; `close` it, or use it as a context."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._opened: dict[str | None, tuple[Endpoint, Bolt]] = {}
        self._opening = threading.Lock()
        self._closed = False
        self._writers: set[int] = set()
        self._left_behind: list[threading.Thread] = []

    @property
    def uri(self) -> str:
        """What was opened: a folder or a URI."""
        return self._source.uri

    @property
    def folder(self) -> Path | None:
        """The zoo's folder; None for a server."""
        return self._source.folder

    @property
    def embedded(self) -> bool:
        """Whether the engine runs as our child process."""
        return self.folder is not None

    def read(self, query: str, **parameters: object) -> list[Row]:
        """Return the rows of one of our own statements, tried again where that helps.

        Raises:
            StoreError: the store failed, or nothing answers.
        """
        return self._transact(lambda transaction: transaction.run(query, parameters), "READ")

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Raise the graph's version and do `work` in one transaction; on conflicts again, so `work` may run twice.

        Raises:
            StoreError: the store failed, nothing answers, or other writers left no turn.
            Exception: whatever else `work` raises; nothing is written then.
        """

        def versioned(transaction: "Statements") -> T:
            if not transaction.run(RAISE_VERSION, {}):
                raise StoreUnavailableError(f"{self.uri} holds no (:Graph {{id: 'zoo'}}) any more: open the zoo again")
            return work(Transaction(transaction))

        with self._turn():
            return self._transact(versioned, "WRITE")

    def run_alone(self, query: str, **parameters: object) -> list[Row]:
        """Run a statement that takes a transaction of its own, such as a change of schema; the version stays.

        Not for much data: the embedded engine then commits row by row.

        Raises:
            StoreError: the store failed, or nothing answers.
        """
        from zoo_graph.store.bolt import retried

        with self._translating():
            return retried(lambda: self._bolt(self._source.endpoint()).run(query, parameters))

    def query(
        self, cypher: str, parameters: Mapping[str, object], *, seconds: float = 10, max_rows: int | None = None
    ) -> Rows:
        """Return the rows of a user's statement, at most `max_rows`; it runs once, for at most `seconds`.

        Raises:
            QueryRefusedError: it does more than read, or the store does not understand it.
            QueryLimitError: it ran into its limit of time or memory.
            InputError: a limit that is none, or a parameter's value no graph can hold.
            StoreError: the store failed.
        """
        if not seconds > 0 or (max_rows is not None and max_rows < 0):
            raise InputError(
                f"got limits of {seconds} s and {max_rows} rows; wanted more than 0 s and no negative count"
            )
        statements.check(cypher)
        bolt = self._bolt(self._source.reader(seconds))
        return self._within(seconds, lambda: self._query_once(bolt, cypher, parameters, seconds, max_rows))

    def version(self) -> int:
        """Return the graph's version: every `write` raises it by one."""
        rows = self.read(READ_VERSION)
        return int(rows[0]["version"]) if rows else 0

    def close(self) -> None:
        """Close everything; an embedded engine ends some seconds after its last connection."""
        with self._opening:
            self._closed = True
            for _, bolt in self._opened.values():
                bolt.close()
            self._opened.clear()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Take a turn among the writers; a second one within the first would wait for itself."""
        thread = threading.get_ident()
        if thread in self._writers:
            raise StoreError("got a write inside a write, wanted one: pass the outer one's transaction on and use that")
        source = self._source
        with source.writing() if isinstance(source, EmbeddedStore) else contextlib.nullcontext():
            self._writers.add(thread)
            try:
                yield
            finally:
                self._writers.discard(thread)

    def _transact(self, work: "Callable[[Statements], T]", access: str) -> T:
        """Run `work` in one transaction; where the engine has died, the next attempt starts it."""
        from zoo_graph.store.bolt import retried

        with self._translating():
            return retried(lambda: self._bolt(self._source.endpoint()).transact(work, access))

    def _check(self) -> None:
        endpoint = self._source.endpoint()
        try:
            with self._translating():
                self._bolt(endpoint).check()
        except AuthenticationError as error:
            if endpoint.user is None:
                raise AuthenticationError(
                    f"{self.uri} wants a user and a password, and no user was given: set ZOO_USER and ZOO_PASSWORD "
                    "(or ZOO_PASSWORD_FILE), in Python pass user= and password=, and run this again"
                ) from error
            raise

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        from neo4j.exceptions import DriverError, Neo4jError

        from zoo_graph.store.failures import translated

        try:
            yield
        except (Neo4jError, DriverError) as error:
            failed = translated(error, self.uri)
            source = self._source
            if isinstance(source, EmbeddedStore) and isinstance(failed, StoreFailedError | StoreUnavailableError):
                full = source.writing_fails()
                failed = cannot_write(self.uri, full) if full else failed
            raise failed from error

    def _bolt(self, endpoint: Endpoint) -> "Bolt":
        """Return the driver of this endpoint's user, a new one where the engine has moved."""
        from zoo_graph.store.bolt import Bolt

        with self._opening:
            if self._closed:
                raise StoreUnavailableError(f"this connection to {self.uri} is closed: open the zoo again")
            known, bolt = self._opened.get(endpoint.user, (None, None))
            if bolt is not None and known == endpoint:
                return bolt
            if bolt is not None:
                bolt.close()
            fresh = Bolt(endpoint, datetime.UTC if self.embedded else None)
            self._opened[endpoint.user] = (endpoint, fresh)
            return fresh

    def _query_once(
        self, bolt: "Bolt", cypher: str, parameters: Mapping[str, object], seconds: float, max_rows: int | None
    ) -> Rows:
        from neo4j.exceptions import DriverError, Neo4jError, ServiceUnavailable

        from zoo_graph.store.failures import Statement, translated

        try:
            return bolt.query(cypher, parameters, seconds, max_rows)
        except (Neo4jError, DriverError) as error:
            if self.embedded and isinstance(error, ServiceUnavailable):
                raise QueryLimitError(
                    "the engine dropped the statement, most likely as its memory ran out; nothing stored is touched: "
                    "collect or build less at once, start from fewer nodes, or add a LIMIT"
                ) from error
            raise translated(error, self.uri, Statement.USERS) from error

    def _within(self, seconds: float, run: Callable[[], Rows]) -> Rows:
        """Return `run()`, or leave it behind where the store does not keep the time itself."""
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        if len(self._left_behind) >= LEFT_BEHIND:
            raise QueryLimitError(
                f"{LEFT_BEHIND} statements that took too long are still running out in the store; wanted fewer: "
                "wait a minute, then run this again"
            )
        outcome: list[Rows | BaseException] = []

        def keep() -> None:
            try:
                outcome.append(run())
            except BaseException as error:  # handed to the caller's thread below
                outcome.append(error)

        thread = threading.Thread(target=keep, name="zoo-query", daemon=True)
        thread.start()
        thread.join(seconds + OVERTIME_SECONDS)
        if not outcome:
            self._left_behind.append(thread)
            raise QueryLimitError(
                f"the statement took longer than its {seconds:g} s: "
                "start from fewer nodes, add a LIMIT, or allow it more seconds"
            )
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]


def open_store(
    where: str | Path,
    *,
    user: str | None = None,
    password: str | None = None,
    create: bool = False,
    engine: Engine | None = None,
) -> Connection:
    """Return a connection to the zoo in a folder, or on a server at bolt:// or neo4j://, with its schema up to date.

    `create` makes the folder's zoo where there is none. `engine` holds where an embedded one does not run yet.

    Raises:
        InputError: no zoo there, or an address of another kind.
        AuthenticationError: the server refused the user or the password.
        StoreLockedError: another program holds the folder's files.
        StoreUnavailableError: nothing answers there, within seconds.
        StoreError: the schema there is newer than this program, or not the one it wrote.
    """
    from zoo_graph.store.migrations import migrate

    connection = Connection(_source(where, user, password, create=create, engine=engine or Engine()))
    try:
        connection._check()
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _source(
    where: str | Path, user: str | None, password: str | None, *, create: bool, engine: Engine
) -> Server | EmbeddedStore:
    text = USERINFO.sub(r"\1", str(where))  # from here on: no message may show a password
    if text != str(where):
        raise InputError(
            f"got a user or a password within the address {text!r}; wanted the address alone: set ZOO_USER and "
            "ZOO_PASSWORD (or ZOO_PASSWORD_FILE), in Python pass user= and password="
        )
    if _is_server(text):
        return Server(text, user, password)
    if ANY_URI.match(text) or text.startswith(("bolt:", "neo4j:")):
        raise InputError(
            f"got the address {text!r}; wanted a folder, or a URI like bolt://host:7687 or neo4j+s://host: correct it"
        )
    return EmbeddedStore(prepare(Path(where), create=create), engine)


def _is_server(text: str) -> bool:
    try:
        return bool(SERVER_URI.match(text)) and urlsplit(text).port != 0
    except ValueError:  # a port that is no number
        return False
