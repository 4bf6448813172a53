"""The driver's errors in our words, by two tables: first the server's code, then the exception's class.

Knows the driver and `zoo_graph.errors`, nothing of connections.
"""

from collections.abc import Callable
from enum import Enum

from neo4j import exceptions as driver

from zoo_graph.errors import (
    AuthenticationError,
    QueryLimitError,
    QueryRefusedError,
    StoreError,
    StoreFailedError,
    StoreUnavailableError,
    ZooError,
)


class Statement(Enum):
    """Whose statement failed: the user's own is input, one of ours is the store's failure."""

    USERS = "users"
    OURS = "ours"


def _unavailable(uri: str, got: str) -> ZooError:
    return StoreUnavailableError(
        f"nothing answers at {uri} (got: {got}): start the server, or correct the address, and run this again"
    )


def _authentication(uri: str, got: str) -> ZooError:
    return AuthenticationError(
        f"{uri} refused the user or the password (got: {got}): set ZOO_USER and ZOO_PASSWORD (or ZOO_PASSWORD_FILE) to "
        "the server's, in Python pass user= and password=, and run this again"
    )


def _limit(uri: str, got: str) -> ZooError:
    return QueryLimitError(
        f"the statement ran into its limit of time or memory on {uri} (got: {got}): "
        "start from fewer nodes, add a LIMIT, or allow it more seconds"
    )


def _refused(uri: str, got: str) -> ZooError:
    return QueryRefusedError(f"the store did not take the statement: {got}")


def _failed(uri: str, got: str) -> ZooError:
    return StoreFailedError(f"a statement failed on {uri}: {got}")


def _unknown_outcome(uri: str, got: str) -> ZooError:
    return StoreUnavailableError(
        f"the connection to {uri} broke while a write was being committed (got: {got}), so it may be in or not: "
        "run the same command again; what is in already is not written twice"
    )


def _configuration(uri: str, got: str) -> ZooError:
    return StoreError(
        f"cannot speak to {uri} ({got}): wanted a Neo4j 5 server at bolt://, bolt+s://, neo4j:// or neo4j+s://; "
        "check the scheme, the certificate and the server's version"
    )


def _conflict(uri: str, got: str) -> ZooError:
    return StoreFailedError(f"other writers kept changing the same data on {uri} (got: {got}): run this again")


Make = Callable[[str, str], ZooError]

# The server's codes that say more than the driver's class of exception does.
CODES: dict[str, Make] = {
    "Neo.ClientError.Security.AuthenticationRateLimit": _authentication,
    "Neo.ClientError.Security.CredentialsExpired": _authentication,
    "Neo.ClientError.Transaction.TransactionTimedOut": _limit,
    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration": _limit,
    "Neo.ClientError.Transaction.TransactionTerminated": _limit,
    "Neo.TransientError.Transaction.Terminated": _limit,
    "Neo.TransientError.General.MemoryPoolOutOfMemoryError": _limit,
    "Neo.TransientError.General.OutOfMemoryError": _limit,
    "Neo.TransientError.General.StackOverFlowError": _limit,
    "Neo.DatabaseError.General.OutOfMemoryError": _limit,
    "Neo.DatabaseError.General.StackOverFlowError": _limit,
    "Neo.TransientError.General.DatabaseUnavailable": _unavailable,
}

# Every class of the driver's public errors, by whose statement failed where that matters.
CLASSES: dict[type[Exception], Make] = {
    driver.AuthError: _authentication,
    driver.TokenExpired: _authentication,
    driver.Forbidden: _authentication,
    driver.CypherSyntaxError: _failed,
    driver.CypherTypeError: _failed,
    driver.ConstraintError: _failed,
    driver.ClientError: _failed,
    driver.DatabaseError: _failed,
    driver.DatabaseUnavailable: _unavailable,
    driver.NotALeader: _unavailable,
    driver.ForbiddenOnReadOnlyDatabase: _failed,
    driver.TransientError: _conflict,
    driver.Neo4jError: _failed,
    driver.SessionExpired: _unavailable,
    driver.ServiceUnavailable: _unavailable,
    driver.RoutingServiceUnavailable: _unavailable,
    driver.WriteServiceUnavailable: _unavailable,
    driver.ReadServiceUnavailable: _unavailable,
    driver.IncompleteCommit: _unknown_outcome,
    driver.ConnectionPoolError: _unavailable,
    driver.ConnectionAcquisitionTimeoutError: _unavailable,
    driver.BrokenRecordError: _failed,
    driver.ConfigurationError: _configuration,
    driver.AuthConfigurationError: _configuration,
    driver.CertificateConfigurationError: _configuration,
    driver.UnsupportedServerProduct: _configuration,
    driver.SessionError: _failed,
    driver.TransactionError: _failed,
    driver.TransactionNestingError: _failed,
    driver.ResultError: _failed,
    driver.ResultFailedError: _failed,
    driver.ResultConsumedError: _failed,
    driver.ResultNotSingleError: _failed,
    driver.DriverError: _failed,
    driver.GqlError: _failed,
}

# What a user's own statement turns into where it differs: its mistakes are input.
USERS_CLASSES: dict[type[Exception], Make] = {
    driver.Forbidden: _refused,
    driver.CypherSyntaxError: _refused,
    driver.CypherTypeError: _refused,
    driver.ConstraintError: _refused,
    driver.ClientError: _refused,
    driver.ForbiddenOnReadOnlyDatabase: _refused,
    driver.TransientError: _limit,
}


def translated(error: Exception, uri: str, statement: Statement = Statement.OURS) -> ZooError:
    """Return the driver's error as one of ours, with the server's own words in it."""
    code = error.code if isinstance(error, driver.Neo4jError) else None
    make = CODES.get(code or "")
    for kind in type(error).__mro__ if make is None else ():
        make = USERS_CLASSES.get(kind) if statement is Statement.USERS else None
        make = make or CLASSES.get(kind)
        if make is not None:
            break
    return (make or _failed)(uri, _words(error))


def is_limit(error: Exception) -> bool:
    """Whether the server stopped a statement at a limit: trying again would only take as long again."""
    return isinstance(error, driver.Neo4jError) and CODES.get(error.code or "") is _limit


def _words(error: Exception) -> str:
    """Return the engine's message without the driver's wrapping, in one line."""
    message = error.message if isinstance(error, driver.Neo4jError) else None
    return " ".join((message or str(error) or type(error).__name__).split())
