"""The 70 statements of ../shared/cypher_conformance, run through `run_alone` on both stores.

Neo4j answers all as expected. What the embedded engine does not is listed below; the list can only get shorter.
"""

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zoo_graph.errors import StoreError, ZooError
from zoo_graph.store import Connection, Engine, open_store
from zoo_graph.store.migrations import migrate

SHARED = Path(__file__).resolve().parents[4] / "shared"
STATEMENTS = SHARED / "cypher_conformance" / "statements.py"
N_STATEMENTS = 70
# Statement -> what the embedded engine does instead.
EMBEDDED_FAILURES = {
    "qpp_shortest_neo5": "the SHORTEST 1 path search prefix is not supported",
    "vector_index_ddl": "Only standard, RANGE and TEXT index types are supported",
}
Case = tuple[str, list[tuple[str, dict[str, Any]]], Any]


def load_statements() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cypher_conformance_statements", STATEMENTS)
    if spec is None or spec.loader is None:
        raise ImportError(f"{STATEMENTS} is no module")
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its CSV file to the garbage collector
        spec.loader.exec_module(module)
    return module


CONFORMANCE: Any = load_statements() if STATEMENTS.exists() else None
CASES: list[Case] = list(CONFORMANCE.T) if CONFORMANCE else []


CLEARING = ("DROP CONSTRAINT model_id IF EXISTS", "DROP INDEX model_name IF EXISTS", "DROP INDEX emb IF EXISTS")


@pytest.fixture(scope="module", params=["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def emptied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A store to lay waste to: an embedded one of this file's own, or the session's Neo4j, set right at the end."""
    if request.param == "embedded":
        folder = tmp_path_factory.mktemp("conformance") / "zoo.db"
        with open_store(folder, create=True, engine=Engine(grace_seconds=1.0)) as connection:
            yield connection
        return
    connection = request.getfixturevalue("neo4j_session")[1]
    yield connection
    clear(connection)
    migrate(connection)


def clear(connection: Connection) -> None:
    for statement in CLEARING:
        with contextlib.suppress(StoreError):  # the embedded engine knows no index `emb`
            connection.run_alone(statement)
    connection.run_alone("MATCH (n) DETACH DELETE n")


def answer(connection: Connection, case: Case) -> str:
    """Load the small zoo, run the case; return "as expected" or what came instead."""
    _, steps, check = case
    clear(connection)
    for statement in CONFORMANCE.FIX:
        connection.run_alone(statement)
    try:
        for statement, parameters in steps:
            rows = connection.run_alone(statement, **parameters)
    except ZooError as error:
        return "as expected" if check == "ERR" else f"refused: {error}"
    if check == "ERR":
        return "not refused"
    return "as expected" if check(rows) else f"answered {rows!r}"


def test_there_are_as_many_statements_as_ever() -> None:
    if CONFORMANCE is None and os.environ.get("CI") != "true":
        pytest.skip(f"no Cypher statements to try: {STATEMENTS} is absent")
    assert len(CASES) == N_STATEMENTS
    assert set(EMBEDDED_FAILURES) <= {case[0] for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_statement_is_answered_as_expected(emptied: Connection, case: Case) -> None:
    known = EMBEDDED_FAILURES.get(case[0]) if emptied.embedded else None
    got = answer(emptied, case)
    if known is None:
        assert got == "as expected"
    else:
        assert got != "as expected", f"{case[0]} works now: take it off the list"
        assert known in got
