"""Takes a run's contribution back out: what only that run vouches for goes, what others share stays."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Literal, TypeVar

from zoo_graph import queries
from zoo_graph.errors import UnknownNameError
from zoo_graph.ingest.counts import Counts, Tally
from zoo_graph.ingest.edges import EDGE_KINDS, EDGE_NAMES, LABELS, Label, source_label
from zoo_graph.ingest.told import untell
from zoo_graph.store.connection import Connection, Transaction

EDGES_AT_ONCE = 4000
NODES_AT_ONCE = 500
T = TypeVar("T")


def forget(connection: Connection, run_id: str, *, track: Callable[[int, int | None], None] | None = None) -> Counts:
    """Removes what only this run brought, and returns how much: `new` counts what is gone, `already` what others share.

    What it told of a model or dataset that others share is taken back too: what another run told of it stands again.
    In small transactions; killed in the middle, the same call continues, and importing the file again restores it.

    Raises:
        UnknownNameError: there is no such run.
        StoreError: the store failed; what is gone is gone.
    """
    if not connection.read(queries.INGEST_RUN, id=run_id):
        raise UnknownNameError("run", run_id, connection.read(queries.INGEST_RUNS)[0]["ids"])
    connection.write(lambda transaction: transaction.run(queries.FORGET_STARTED, id=run_id))
    sources = {label: connection.read(queries.FORGET_NODES[label], run=run_id)[0]["ids"] for label in LABELS}
    gone: dict[str, Tally] = {}
    for kind in EDGE_KINDS:
        of_kind = sources[source_label(kind)]
        deleted = _repeat(connection, queries.FORGET_EDGES[kind], of_kind, run_id)
        shared = _repeat(connection, queries.FORGET_EDGE_RUNS[kind], of_kind, run_id)
        gone[EDGE_NAMES[kind]] = Tally(deleted, shared)
        if track is not None:
            track(sum(tally.total for tally in gone.values()), None)
    labels: tuple[tuple[Label | Literal["Alias"], str], ...]
    labels = (("Alias", "aliases"), ("Dataset", "datasets"), ("Model", "models"))
    for label, name in labels:
        gone[name] = _forget_nodes(connection, label, run_id)
    connection.write(lambda transaction: transaction.run(queries.FORGET_RUN, id=run_id))
    return Counts.of(gone)


def _repeat(connection: Connection, statement: str, sources: Sequence[str], run_id: str) -> int:
    """Runs a limited statement over all sources until it finds nothing more; returns how many it found."""
    total = 0
    for some in _pieces(sources, NODES_AT_ONCE):
        while True:
            done = _write_count(connection, statement, sources=some, run=run_id, limit=EDGES_AT_ONCE)
            total += done
            if done < EDGES_AT_ONCE:
                break
    return total


def _forget_nodes(connection: Connection, label: Label | Literal["Alias"], run_id: str) -> Tally:
    # After all relationships: their nodes are how a continued call finds those that are left.
    ids = connection.read(queries.FORGET_NODES[label], run=run_id)[0]["ids"]
    removed = 0
    for some in _pieces(ids, NODES_AT_ONCE):

        def work(transaction: Transaction, some: Sequence[str] = some) -> int:
            if label != "Alias":
                _untell(transaction, label, some, run_id)
            transaction.run(queries.FORGET_NODE_RUNS[label], ids=some, run=run_id)
            return int(transaction.run(queries.FORGET_LONE_NODES[label], ids=some)[0]["n"])

        removed += connection.write(work)
    return Tally(removed, len(ids) - removed)


def _untell(transaction: Transaction, label: Label, ids: Sequence[str], run_id: str) -> None:
    nodes = transaction.run(queries.INGEST_PROPERTIES[label], ids=ids)[0]["found"]
    rows = [[node["id"], changed] for node in nodes if (changed := untell(node, run_id))]
    if rows:
        transaction.run(queries.INGEST_SET_PROPERTIES[label], rows=rows)


def _write_count(connection: Connection, statement: str, **parameters: object) -> int:
    def work(transaction: Transaction) -> int:
        rows = transaction.run(statement, **parameters)
        return int(rows[0]["n"]) if rows else 0

    return connection.write(work)


def _pieces(items: Sequence[T], size: int) -> list[list[T]]:
    source = iter(items)
    return list(iter(lambda: list(islice(source, size)), []))
