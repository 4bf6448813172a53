"""Brings derived edges and communities up to date by difference, in small transactions.

Knows which statement belongs to which edge; knows nothing of how the edges were found. An edge that is wanted
as it stands is not touched and keeps its run. An edge that changes is changed where it is, so a reader may meet
edges of two runs, never half of one and never none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from zoo_graph import queries
from zoo_graph.communities import Community
from zoo_graph.lease import Lease
from zoo_graph.store.connection import Connection, Transaction

T = TypeVar("T")

BATCH_ROWS = 1_500
_PAGE_ROWS = 20_000

Value = float | int | str | None
Targets = Mapping[str, tuple[Value, ...]]
Wanted = Mapping[str, Targets]  # source id -> target id -> property values in the statement's order


@dataclass(frozen=True, slots=True)
class EdgeKind:
    """One kind of derived edge and its statements; every one of them speaks of (source id, target id, values...).

    `change` is None for edges without values of their own.
    """

    name: str
    counts: str
    read: str
    delete: str
    create: str
    change: str | None = None


SCORED = EdgeKind(
    "SCORED",
    queries.DERIVED_SCORED_COUNTS,
    queries.DERIVED_SCORED_READ,
    queries.DERIVED_SCORED_DELETE,
    queries.DERIVED_SCORED_CREATE,
    queries.DERIVED_SCORED_CHANGE,
)
PREDICTED = EdgeKind(
    "PREDICTED",
    queries.DERIVED_PREDICTED_COUNTS,
    queries.DERIVED_PREDICTED_READ,
    queries.DERIVED_PREDICTED_DELETE,
    queries.DERIVED_PREDICTED_CREATE,
    queries.DERIVED_PREDICTED_CHANGE,
)
PERFORMS_LIKE = EdgeKind(
    "PERFORMS_LIKE",
    queries.DERIVED_LIKE_COUNTS,
    queries.DERIVED_LIKE_READ,
    queries.DERIVED_LIKE_DELETE,
    queries.DERIVED_LIKE_CREATE,
    queries.DERIVED_LIKE_CHANGE,
)
SIMILAR_BY_PROFILE = EdgeKind(
    "SIMILAR_TO",
    queries.DERIVED_PROFILE_COUNTS,
    queries.DERIVED_PROFILE_READ,
    queries.DERIVED_PROFILE_DELETE,
    queries.DERIVED_PROFILE_CREATE,
    queries.DERIVED_PROFILE_CHANGE,
)
SIMILAR_BY_EMBEDDING = EdgeKind(
    "SIMILAR_TO",
    queries.DERIVED_EMBEDDED_COUNTS,
    queries.DERIVED_EMBEDDED_READ,
    queries.DERIVED_EMBEDDED_DELETE,
    queries.DERIVED_EMBEDDED_CREATE,
    queries.DERIVED_EMBEDDED_CHANGE,
)
IN = EdgeKind(
    "IN",
    queries.DERIVED_IN_COUNTS,
    queries.DERIVED_IN_READ,
    queries.DERIVED_IN_DELETE,
    queries.DERIVED_IN_CREATE,
)
REPRESENTED_BY = EdgeKind(
    "REPRESENTED_BY",
    queries.DERIVED_LED_COUNTS,
    queries.DERIVED_LED_READ,
    queries.DERIVED_LED_DELETE,
    queries.DERIVED_LED_CREATE,
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What bringing up to date did, in edges (or nodes): those wanted, and how they came to be there."""

    wanted: int = 0
    written: int = 0
    deleted: int = 0

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(self.wanted + other.wanted, self.written + other.written, self.deleted + other.deleted)


@dataclass(frozen=True, slots=True)
class _Difference:
    """What one source's edges lack: rows to create (source, target, values...), new values by target, and targets to
    delete."""

    source: str
    writes: list[list[Value]]
    stale: list[str]
    changes: dict[str, list[Value]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.writes) + len(self.stale) + len(self.changes)


def n_edges(connection: Connection, kind: EdgeKind) -> int:
    """Returns how many edges of a kind the graph holds."""
    return int(sum(connection.read(kind.counts)[0]["n"]))


def read_edges(connection: Connection, kind: EdgeKind) -> dict[str, dict[str, tuple[Value, ...]]]:
    """Returns the edges of a kind that the graph holds."""
    counts = connection.read(kind.counts)[0]
    present = dict(zip(counts["ids"], counts["n"], strict=True))
    found: dict[str, dict[str, tuple[Value, ...]]] = {}
    for page in _pages(sorted(present), present, {}):
        for row in connection.read(kind.read, sources=page) if page else []:
            found[row["source"]] = {
                target: tuple(values) for target, values in zip(row["targets"], row["rows"], strict=True)
            }
    return found


def update_edges(lease: Lease, kind: EdgeKind, wanted: Wanted, run: str) -> Changes:
    """Makes the graph's edges of one kind the wanted ones; can be killed at any moment and run again.

    Raises:
        RefreshBusyError: another refresh took over.
    """
    done = Changes(wanted=sum(map(len, wanted.values())))
    for batch in _batches(_differences(lease.connection, kind, wanted)):
        lease.write(partial(_apply, kind, batch, run))
        written = sum(len(item.writes) + len(item.changes) for item in batch)
        done += Changes(0, written, sum(len(item.stale) for item in batch))
    return done


def _apply(kind: EdgeKind, batch: list[_Difference], run: str, transaction: Transaction) -> None:
    """Deletes before it creates, also what should not be there yet: a commit whose answer was lost is run twice."""
    gone = [{"source": item.source, "targets": item.stale + [str(row[1]) for row in item.writes]} for item in batch]
    gone = [row for row in gone if row["targets"]]
    if gone:
        transaction.run(kind.delete, rows=gone)
    changes = [
        {"source": item.source, "targets": list(item.changes), "values": item.changes} for item in batch if item.changes
    ]
    if changes and kind.change is not None:
        transaction.run(kind.change, rows=changes, run=run)
    writes = [row for item in batch for row in item.writes]
    if writes:
        transaction.run(kind.create, rows=writes, run=run)


def _differences(connection: Connection, kind: EdgeKind, wanted: Wanted) -> Iterator[_Difference]:
    counts = connection.read(kind.counts)[0]
    present = dict(zip(counts["ids"], counts["n"], strict=True))
    for page in _pages(sorted({*present, *wanted}), present, wanted):
        read = [source for source in page if source in present]
        rows = connection.read(kind.read, sources=read) if read else []
        found = {row["source"]: list(zip(row["targets"], row["rows"], strict=True)) for row in rows}
        for source in page:
            yield from _split(_difference(source, found.get(source, []), wanted.get(source, {})))


def _pages(sources: list[str], present: Mapping[str, int], wanted: Wanted) -> Iterator[list[str]]:
    page: list[str] = []
    size = 0
    for source in sources:
        page.append(source)
        size += present.get(source, 0) + len(wanted.get(source, ()))
        if size >= _PAGE_ROWS:
            yield page
            page, size = [], 0
    yield page


def _difference(source: str, found: list[tuple[str, list[Value]]], wanted: Targets) -> _Difference:
    present = {target: tuple(values) for target, values in found}
    doubled = len(present) < len(found)  # two edges to one target: neither is kept
    new = [target for target in wanted if doubled or target not in present]
    changes = {target: list(values) for target, values in wanted.items() if present.get(target, values) != values}
    return _Difference(
        source,
        [[source, target, *wanted[target]] for target in new],
        [target for target in present if target not in wanted],
        {} if doubled else changes,
    )


def _split(difference: _Difference) -> Iterator[_Difference]:
    """Yields a difference in pieces that fit a transaction, what is new first."""
    source, writes, stale = difference.source, difference.writes, difference.stale
    if 0 < difference.size <= BATCH_ROWS:
        yield difference
        return
    for start in range(0, len(writes), BATCH_ROWS):
        yield _Difference(source, writes[start : start + BATCH_ROWS], [])
    for start in range(0, len(stale), BATCH_ROWS):
        yield _Difference(source, [], stale[start : start + BATCH_ROWS])
    targets = list(difference.changes)
    for start in range(0, len(targets), BATCH_ROWS):
        yield _Difference(
            source, [], [], {name: difference.changes[name] for name in targets[start : start + BATCH_ROWS]}
        )


def _batches(differences: Iterable[_Difference]) -> Iterator[list[_Difference]]:
    batch: list[_Difference] = []
    size = 0
    for difference in differences:
        if batch and size + difference.size > BATCH_ROWS:
            yield batch
            batch, size = [], 0
        batch.append(difference)
        size += difference.size
    if batch:
        yield batch


def update_communities(lease: Lease, communities: Iterable[Community], run: str) -> Changes:
    """Makes the graph's communities the given ones: nodes, then memberships, and only then are old nodes deleted.

    Returns the changes to nodes and edges together; `wanted` counts the edges.

    Raises:
        RefreshBusyError: another refresh took over.
    """
    communities = list(communities)
    rows: list[list[Value]] = [[item.id, len(item.members), item.label, item.quality] for item in communities]
    present = {row[0]: row for row in lease.connection.read(queries.DERIVED_COMMUNITIES)[0]["rows"]}
    new = [row for row in rows if present.get(row[0]) != row]
    stale = sorted(set(present) - {item.id for item in communities})
    for some in _chunks(new):
        lease.write(partial(_run, queries.DERIVED_COMMUNITIES_KEEP, rows=some, run=run))
    leaders: Wanted = {item.id: {item.representative: ()} for item in communities}
    members: Wanted = {model: {item.id: ()} for item in communities for model in item.members}
    done = Changes(0, len(new), len(stale))
    done += update_edges(lease, REPRESENTED_BY, leaders, run)
    done += update_edges(lease, IN, members, run)
    for ids in _chunks(stale):
        lease.write(partial(_run, queries.DERIVED_COMMUNITIES_DELETE, ids=ids))
    return done


def _run(query: str, transaction: Transaction, **parameters: object) -> None:
    transaction.run(query, **parameters)


def _chunks(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), BATCH_ROWS):
        yield items[start : start + BATCH_ROWS]
