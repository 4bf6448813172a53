"""Edges brought up to date by difference: what changes, what stays, and in how large steps."""

import pytest

from zoo_graph import derived
from zoo_graph.derived import REPRESENTED_BY, Changes, Wanted, n_edges, update_edges
from zoo_graph.lease import Lease
from zoo_graph.store import Connection
from zoo_graph.store.connection import Transaction

EDGES = "MATCH (a:Community)-[r:REPRESENTED_BY]->(b:Model) RETURN collect([a.id, b.id, r.run]) AS rows"


def edges(store: Connection) -> list[list[str]]:
    return sorted(store.read(EDGES)[0]["rows"])


def leading(*pairs: str) -> Wanted:
    """Edges from communities to models; "Xa" is X to a."""
    found: dict[str, dict[str, tuple[()]]] = {}
    for community, model in pairs:
        found.setdefault(community, {})[model] = ()
    return found


@pytest.fixture
def lease(embedded_store: Connection) -> Lease:
    """A lease on a zoo of the models a to e and the communities X and Y."""

    def nodes(transaction: Transaction) -> None:
        transaction.run("UNWIND $ids AS id CREATE (:Model {id: id})", ids=list("abcde"))
        transaction.run("UNWIND $ids AS id CREATE (:Community {id: id})", ids=list("XY"))

    embedded_store.write(nodes)
    return Lease.take(embedded_store)


def test_only_what_differs_is_written_and_the_rest_keeps_its_run(lease: Lease) -> None:
    update_edges(lease, REPRESENTED_BY, leading("Xa", "Xb", "Yc"), "one")
    done = update_edges(lease, REPRESENTED_BY, leading("Xa", "Xd", "Yc"), "two")
    assert done == Changes(wanted=3, written=1, deleted=1)
    assert edges(lease.connection) == [["X", "a", "one"], ["X", "d", "two"], ["Y", "c", "one"]]


def test_of_two_edges_between_the_same_nodes_one_is_left(lease: Lease) -> None:
    update_edges(lease, REPRESENTED_BY, leading("Xa", "Yc"), "one")
    doubled = "MATCH (a:Community {id: 'X'}) MATCH (b:Model {id: 'a'}) CREATE (a)-[:REPRESENTED_BY {run: 'one'}]->(b)"
    lease.write(lambda transaction: transaction.run(doubled))
    update_edges(lease, REPRESENTED_BY, leading("Xa", "Yc"), "two")
    assert edges(lease.connection) == [["X", "a", "two"], ["Y", "c", "one"]]
    assert n_edges(lease.connection, REPRESENTED_BY) == 2


def test_what_nobody_wants_any_more_is_deleted_with_its_source(lease: Lease) -> None:
    update_edges(lease, REPRESENTED_BY, leading("Xa", "Yc"), "one")
    assert update_edges(lease, REPRESENTED_BY, {}, "two") == Changes(0, 0, 2)
    assert edges(lease.connection) == []


def test_no_transaction_is_larger_than_a_batch(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "BATCH_ROWS", 2)
    sizes: list[int] = []

    def count(kind: object, batch: list[derived._Difference], *rest: object) -> None:
        sizes.append(sum(item.size for item in batch))
        applied(kind, batch, *rest)  # type: ignore[arg-type]

    applied = derived._apply
    monkeypatch.setattr(derived, "_apply", count)
    first = leading("Xa", "Xb", "Xc", "Xd", "Xe", "Ya")
    update_edges(lease, REPRESENTED_BY, first, "one")
    assert [(a + b) for a, b, _ in edges(lease.connection)] == ["Xa", "Xb", "Xc", "Xd", "Xe", "Ya"]
    update_edges(lease, REPRESENTED_BY, leading("Ya"), "two")
    assert [(a + b) for a, b, _ in edges(lease.connection)] == ["Ya"]
    assert max(sizes) == 2
    assert sum(sizes) == 6 + 5
