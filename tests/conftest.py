"""Stores for the tests: one embedded engine and one real Neo4j a session, emptied after each test that used them.

- `store`: an open `Connection`; the test runs once on the embedded store and once on Neo4j.
- `zoo_address`: the same two, as an `Address` to open oneself (`where`, `user`, `password`).
- `embedded_store`, `neo4j_store`, `embedded_address`, `neo4j_address`: one of the two.
- `fresh_zoo`: a factory of new embedded zoos that last for the test; for tests that kill, lock or count.

Neo4j comes from ../shared/neo4j. Where that is absent its tests are skipped; with CI=true they fail.
"""

import contextlib
import os
import secrets
import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from zoo_graph.store import Connection, Engine, open_store

SHARED = Path(__file__).resolve().parents[2] / "shared"
NEO4J_START_SECONDS = 90
TEST_ENGINE = Engine(grace_seconds=1.0)
WIPE = "MATCH (n) WHERE NOT n:Migration AND NOT n:Graph DETACH DELETE n"
RESET = "MATCH (g:Graph {id: 'zoo'}) SET g = {id: 'zoo', version: 0}"


@dataclass(frozen=True, slots=True)
class Address:
    """What `open_store` and `Zoo.open` want."""

    where: str
    user: str | None = None
    password: str | None = None

    def open(self) -> Connection:
        return open_store(self.where, user=self.user, password=self.password, create=True, engine=TEST_ENGINE)


def missing(reason: str) -> None:
    """Skip the test for want of a tool; in CI the tool has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; with CI=true it has to be there")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder beside the checkout that holds what the project does not ship."""
    return SHARED


@pytest.fixture(scope="session")
def missing_here() -> Callable[[str], None]:
    """What a test calls with a plain reason where a tool it needs is absent."""
    return missing


@pytest.fixture(scope="session")
def embedded_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Address, Connection]]:
    address = Address(str(tmp_path_factory.mktemp("embedded") / "zoo.db"))
    with address.open() as connection:
        yield address, connection


@pytest.fixture(scope="session")
def neo4j_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Address, Connection]]:
    start = SHARED / "neo4j" / "start"
    if not start.exists():
        missing(f"no real Neo4j here: {start} is absent")
    if shutil.which("java") is None:
        missing("no real Neo4j here: it needs Java 17 on the PATH")
    home = tmp_path_factory.mktemp("neo4j")
    with running_neo4j(start, home) as address, address.open() as connection:
        yield address, connection


@contextlib.contextmanager
def running_neo4j(start: Path, home: Path) -> Iterator[Address]:
    """A Neo4j server as ../shared/neo4j/README.md says, stopped at the end of the block."""
    port, password = free_port(), secrets.token_hex(8)
    # LOAD CSV stays allowed, as it is by default: that a user's statement reads no file is for our own check to see to
    settings = ["db.memory.transaction.max=256m", "db.transaction.timeout=120s"]
    with (home / "neo4j.log").open("wb") as log:
        command = [str(start), str(home / "home"), str(port), password, *settings]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "HOME": str(home)}
        )
    try:
        wait_until_ready(process, home / "neo4j.log")
        yield Address(f"bolt://127.0.0.1:{port}", "neo4j", password)
    finally:
        process.kill()  # its data go with the session; an orderly end takes ten seconds
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    if process.stdout is None:
        raise RuntimeError("the server has no standard output")
    deadline = time.monotonic() + NEO4J_START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline and selector.select(deadline - time.monotonic()):
            line = process.stdout.readline()
            if line.startswith(b"ready"):
                return
            if not line:
                break
    pytest.fail(f"Neo4j did not start: {log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def emptied(session: tuple[Address, Connection]) -> Iterator[tuple[Address, Connection]]:
    """Hand out the session's store, and delete what the test wrote."""
    yield session
    session[1].write(lambda tx: (tx.run(WIPE), tx.run(RESET)))


@pytest.fixture
def embedded_used(embedded_session: tuple[Address, Connection]) -> Iterator[tuple[Address, Connection]]:
    yield from emptied(embedded_session)


@pytest.fixture
def neo4j_used(neo4j_session: tuple[Address, Connection]) -> Iterator[tuple[Address, Connection]]:
    yield from emptied(neo4j_session)


@pytest.fixture(params=["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def store_used(request: pytest.FixtureRequest) -> tuple[Address, Connection]:
    used: tuple[Address, Connection] = request.getfixturevalue(f"{request.param}_used")
    return used


@pytest.fixture
def store(store_used: tuple[Address, Connection]) -> Connection:
    return store_used[1]


@pytest.fixture
def zoo_address(store_used: tuple[Address, Connection]) -> Address:
    return store_used[0]


@pytest.fixture
def embedded_store(embedded_used: tuple[Address, Connection]) -> Connection:
    return embedded_used[1]


@pytest.fixture
def embedded_address(embedded_used: tuple[Address, Connection]) -> Address:
    return embedded_used[0]


@pytest.fixture
def neo4j_store(neo4j_used: tuple[Address, Connection]) -> Connection:
    return neo4j_used[1]


@pytest.fixture
def neo4j_address(neo4j_used: tuple[Address, Connection]) -> Address:
    return neo4j_used[0]


@pytest.fixture
def fresh_zoo(tmp_path: Path) -> Iterator[Callable[..., Connection]]:
    """Open (and make) an embedded zoo of the test's own: `fresh_zoo("name")`, again to join it; closed at the end."""
    with contextlib.ExitStack() as opened:

        def open_zoo(name: str = "zoo.db", engine: Engine = TEST_ENGINE) -> Connection:
            return opened.enter_context(open_store(tmp_path / name, create=True, engine=engine))

        yield open_zoo
