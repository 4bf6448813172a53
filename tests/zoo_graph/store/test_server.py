"""Opening a server: what can be wrong with an address or a login."""

import dataclasses
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from neo4j.exceptions import Neo4jError

from zoo_graph.errors import AuthenticationError, InputError, StoreError, StoreUnavailableError
from zoo_graph.store import open_store
from zoo_graph.store.bolt import Bolt

if TYPE_CHECKING:
    from conftest import Address


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port where something listens and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


@pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
def test_a_server_that_is_down_is_named_within_seconds(unused_port: int, scheme: str) -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=f"nothing answers at {scheme}://127.0.0.1:{unused_port}"):
        open_store(f"{scheme}://127.0.0.1:{unused_port}", user="neo4j", password="x")
    assert time.monotonic() - start < 5


def test_a_server_that_never_answers_is_given_up(mute_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_graph.store.bolt.ACQUIRE_SECONDS", 1.0)
    with pytest.raises(StoreUnavailableError, match="nothing answers"):
        open_store(f"bolt://127.0.0.1:{mute_port}")


def test_a_host_that_is_not_known_is_named() -> None:
    with pytest.raises(StoreUnavailableError, match="no-such-host"):
        open_store("bolt://no-such-host.invalid")


@pytest.mark.parametrize(
    "where", ["http://host:7687", "https://host", "bolt:host", "neo4j:", "redis://x", "bolt://127.0.0.1:port"]
)
def test_an_address_of_another_kind_is_an_input_error(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="wanted"):
        open_store(where, create=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "where",
    ["bolt://neo4j:pa/ss@127.0.0.1:1", "neo4j+s://me:pa/ss@host", "http://me:pa/ss@host", "bolt:me:pa/ss@host:1"],
)
def test_a_password_in_an_address_is_refused_and_shown_to_nobody(where: str) -> None:
    with pytest.raises(InputError, match="set ZOO_USER and ZOO_PASSWORD") as caught:
        open_store(where)
    assert "pa/ss" not in str(caught.value)
    assert where.rpartition("@")[2] in str(caught.value)


def test_a_server_that_wants_a_user_and_got_none_names_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Bolt) -> None:
        raise Neo4jError._hydrate_neo4j(
            code="Neo.ClientError.Security.Unauthorized",
            message="Unsupported authentication token, missing key `scheme`",
        )

    monkeypatch.setattr(Bolt, "check", refuse)
    with pytest.raises(AuthenticationError, match="no user was given: set ZOO_USER and ZOO_PASSWORD"):
        open_store("bolt://127.0.0.1:1")
    with pytest.raises(AuthenticationError, match="refused the user or the password"):
        open_store("bolt://127.0.0.1:1", user="neo4j", password="x")


def test_routing_options_on_a_direct_address_are_explained() -> None:
    with pytest.raises(StoreError, match="cannot speak to"):
        open_store("bolt://127.0.0.1:1/?policy=x")


@pytest.mark.neo4j
@pytest.mark.parametrize("login", [{"password": "wrong"}, {"user": "eve"}])
def test_a_wrong_login_is_an_authentication_error(neo4j_address: "Address", login: dict[str, str | None]) -> None:
    address = dataclasses.replace(neo4j_address, **login)
    with pytest.raises(AuthenticationError, match="refused the user or the password") as caught:
        address.open()
    assert neo4j_address.password is not None
    assert neo4j_address.password not in str(caught.value)


@pytest.mark.neo4j
def test_no_login_at_all_is_an_authentication_error(neo4j_address: "Address") -> None:
    with pytest.raises(AuthenticationError, match="no user was given"):
        open_store(neo4j_address.where)


@pytest.mark.neo4j
def test_a_routed_address_reads_what_it_wrote(neo4j_address: "Address") -> None:
    address = dataclasses.replace(neo4j_address, where=neo4j_address.where.replace("bolt://", "neo4j://"))
    with address.open() as connection:
        connection.write(lambda tx: tx.run("CREATE (:Model {id: 'a'})"))
        assert connection.read("MATCH (m:Model) RETURN m.id AS id") == [{"id": "a"}]


@pytest.mark.neo4j
def test_nothing_is_said_on_standard_error(neo4j_address: "Address", embedded_address: "Address") -> None:
    """The driver's notifications (here: an unknown label, a product of two patterns) are off on both stores."""
    for address in (neo4j_address, embedded_address):
        program = (
            "from zoo_graph.store import open_store\n"
            f"with open_store({address.where!r}, user={address.user!r}, password={address.password!r}) as zoo:\n"
            "    zoo.query('MATCH (a:Absent), (b:Absent2) WHERE id(a) = b.nothing RETURN a, b', {})\n"
        )
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
        assert (done.stdout, done.stderr) == ("", "")
