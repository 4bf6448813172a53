import inspect

import pytest
from neo4j import exceptions as driver

from zoo_graph.errors import (
    AuthenticationError,
    QueryLimitError,
    QueryRefusedError,
    StoreFailedError,
    StoreUnavailableError,
    ZooError,
)
from zoo_graph.store.bolt import Bolt, retried
from zoo_graph.store.endpoints import Endpoint
from zoo_graph.store.failures import CLASSES, USERS_CLASSES, Statement, is_limit, translated

DRIVER_ERRORS = [kind for _, kind in inspect.getmembers(driver, inspect.isclass) if issubclass(kind, driver.GqlError)]


def coded(kind: type[driver.Neo4jError], code: str) -> driver.Neo4jError:
    """The error as the driver makes it of a server's answer."""
    error = driver.Neo4jError._hydrate_neo4j(code=code, message="the server's words")
    assert isinstance(error, kind)
    return error


@pytest.mark.parametrize("kind", DRIVER_ERRORS, ids=lambda kind: kind.__name__)
def test_no_error_of_the_driver_is_missing_from_the_table(kind: type[Exception]) -> None:
    assert kind in CLASSES


def test_the_tables_name_only_errors_the_driver_has() -> None:
    assert {*CLASSES, *USERS_CLASSES} <= set(DRIVER_ERRORS)


@pytest.mark.parametrize(
    ("kind", "code", "ours", "users"),
    [
        (driver.AuthError, "Neo.ClientError.Security.Unauthorized", AuthenticationError, AuthenticationError),
        (
            driver.ClientError,
            "Neo.ClientError.Security.AuthenticationRateLimit",
            AuthenticationError,
            AuthenticationError,
        ),
        (driver.CypherSyntaxError, "Neo.ClientError.Statement.SyntaxError", StoreFailedError, QueryRefusedError),
        (driver.ClientError, "Neo.ClientError.Statement.AccessMode", StoreFailedError, QueryRefusedError),
        (driver.Forbidden, "Neo.ClientError.Security.Forbidden", AuthenticationError, QueryRefusedError),
        (driver.ClientError, "Neo.ClientError.Transaction.TransactionTimedOut", QueryLimitError, QueryLimitError),
        (
            driver.TransientError,
            "Neo.TransientError.General.MemoryPoolOutOfMemoryError",
            QueryLimitError,
            QueryLimitError,
        ),
        (driver.TransientError, "Neo.TransientError.Transaction.DeadlockDetected", StoreFailedError, QueryLimitError),
        (driver.DatabaseError, "Neo.DatabaseError.General.UnknownError", StoreFailedError, StoreFailedError),
    ],
)
def test_a_servers_code_becomes_our_error(
    kind: type[driver.Neo4jError], code: str, ours: type[ZooError], users: type[ZooError]
) -> None:
    error = coded(kind, code)
    assert type(translated(error, "bolt://host", Statement.OURS)) is ours
    assert type(translated(error, "bolt://host", Statement.USERS)) is users
    assert "the server's words" in str(translated(error, "bolt://host"))


def test_a_broken_connection_is_an_unavailable_store() -> None:
    for kind in (driver.ServiceUnavailable, driver.SessionExpired, driver.IncompleteCommit):
        assert type(translated(kind("gone"), "bolt://host")) is StoreUnavailableError
    assert "may be in or not" in str(translated(driver.IncompleteCommit("gone"), "bolt://host"))


def test_a_limit_is_not_worth_another_try() -> None:
    assert is_limit(coded(driver.TransientError, "Neo.TransientError.General.MemoryPoolOutOfMemoryError"))
    assert not is_limit(coded(driver.TransientError, "Neo.TransientError.Transaction.DeadlockDetected"))
    assert not is_limit(driver.ServiceUnavailable("gone"))


def ending() -> driver.Neo4jError:
    """What the embedded engine says while it ends to those it had let in."""
    return driver.Neo4jError._hydrate_neo4j(
        code="Neo.ClientError.Security.Unauthorized", message="The credentials of this connection are no longer valid"
    )


def test_an_engine_that_is_ending_is_asked_again() -> None:
    answers = [ending(), ending(), None]

    def once() -> str:
        error = answers.pop(0)
        if error is not None:
            raise error
        return "done"

    assert retried(once) == "done"


def test_a_wrong_password_is_not_tried_again() -> None:
    asked = []

    def once() -> None:
        asked.append(1)
        raise coded(driver.AuthError, "Neo.ClientError.Security.Unauthorized")

    with pytest.raises(driver.AuthError):
        retried(once)
    assert len(asked) == 1


def test_a_commit_that_an_ending_engine_answers_may_be_in_or_not(monkeypatch) -> None:
    class Ending:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def begin_transaction(self):
            return self

        def commit(self):
            raise ending()

    bolt = Bolt(Endpoint("bolt://127.0.0.1:1", None, None), None)
    monkeypatch.setattr(bolt, "_session", lambda access: Ending())
    with pytest.raises(driver.IncompleteCommit, match="no longer valid"):
        bolt.transact(lambda statements: None, "WRITE")
    bolt.close()
