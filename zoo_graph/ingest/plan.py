"""What one batch of records changes in the graph: read what is there, plan the difference, apply it.

Planning only reads, so it runs before the transaction; where another writer came in between (the graph's version
tells), it is done again inside it. So nothing is made twice and a batch without news writes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo_graph import queries
from zoo_graph.aliases import key_of, plain_name
from zoo_graph.ingest.counts import Counts, Tally
from zoo_graph.ingest.edges import (
    EDGE_KINDS,
    EDGE_NAMES,
    LABELS,
    Edge,
    EdgeKind,
    Label,
    edges_of,
    names_in,
    properties_of,
    source_label,
)
from zoo_graph.ingest.told import contradictions, tell
from zoo_graph.records import Dataset, Model, Record

Read = Callable[..., list[dict[str, Any]]]


@dataclass(slots=True)
class Existing:
    """The ids of one node's relationships of one kind; `others` are those this run does not vouch for yet."""

    ids: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Known:
    """What was read of the graph, or written to it, at one version of it."""

    version: int = -1
    names: dict[Label, dict[str, str]] = field(default_factory=lambda: {label: {} for label in LABELS})
    edges: dict[EdgeKind, dict[str, Existing]] = field(default_factory=lambda: {kind: {} for kind in EDGE_KINDS})


@dataclass(slots=True)
class Plan:
    """The difference one batch makes. `names` and `existing` are what planning learnt beyond what was known."""

    names: dict[Label, dict[str, str]] = field(default_factory=lambda: {label: {} for label in LABELS})
    create: dict[Label, list[list[str]]] = field(default_factory=lambda: {label: [] for label in LABELS})
    vouch: dict[Label, list[str]] = field(default_factory=lambda: {label: [] for label in LABELS})
    properties: dict[Label, list[list[Any]]] = field(default_factory=lambda: {label: [] for label in LABELS})
    aliases: dict[Label, list[list[str]]] = field(default_factory=lambda: {label: [] for label in LABELS})
    vouch_aliases: list[str] = field(default_factory=list)
    existing: dict[EdgeKind, dict[str, Existing]] = field(default_factory=lambda: {kind: {} for kind in EDGE_KINDS})
    edges: dict[EdgeKind, dict[str, list[Edge]]] = field(default_factory=lambda: {kind: {} for kind in EDGE_KINDS})
    vouch_edges: dict[EdgeKind, dict[str, list[str]]] = field(default_factory=lambda: {kind: {} for kind in EDGE_KINDS})
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    conflicts: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        tables = (self.create, self.vouch, self.properties, self.aliases, self.edges, self.vouch_edges)
        return not self.vouch_aliases and not any(found for table in tables for found in table.values())

    def counts(self) -> Counts:
        """Returns what the batch brings, but for models and datasets: those count once in a whole import."""
        told = {EDGE_NAMES.get(name, name): tally for name, tally in self.tallies.items()}
        return Counts.of(told, self.conflicts)


def plan_batch(read: Read, records: Sequence[Record], run: str, known: Known) -> Plan:
    """Returns what these records change, reading with `read` what `known` does not tell."""
    plan = Plan()
    _find_names(plan, read, records, run, known)
    names = {label: {**plan.names[label], **_told(known.names[label], records, label)} for label in LABELS}
    _plan_nodes(plan, read, records, run, names)
    _plan_edges(plan, read, _wanted_edges(plan, records, names), run, known)
    return plan


def apply(plan: Plan, run_statement: Read, run: str) -> None:
    """Writes a plan with `run_statement`; nodes first, as relationships need them."""
    for label in LABELS:
        if plan.create[label]:
            run_statement(queries.INGEST_CREATE_NODES[label], rows=plan.create[label], runs=[run])
        if plan.vouch[label]:
            run_statement(queries.INGEST_VOUCH_NODES[label], ids=plan.vouch[label], run=run)
        if plan.properties[label]:
            run_statement(queries.INGEST_SET_PROPERTIES[label], rows=plan.properties[label])
        if plan.aliases[label]:
            run_statement(queries.INGEST_CREATE_ALIASES[label], rows=plan.aliases[label], runs=[run])
    if plan.vouch_aliases:
        run_statement(queries.INGEST_VOUCH_ALIASES, ids=plan.vouch_aliases, run=run)
    for kind in EDGE_KINDS:
        if plan.edges[kind]:
            groups = [[source, [edge.row for edge in edges]] for source, edges in plan.edges[kind].items()]
            run_statement(queries.INGEST_CREATE_EDGES[kind], groups=groups, runs=[run])
        if plan.vouch_edges[kind]:
            groups = [[source, ids] for source, ids in plan.vouch_edges[kind].items()]
            run_statement(queries.INGEST_VOUCH_EDGES[kind], groups=groups, run=run)


def learn(known: Known, plan: Plan) -> None:
    """Adds to what is known what a plan read and, being applied, wrote."""
    for label in LABELS:
        known.names[label].update(plan.names[label])
    for kind in EDGE_KINDS:
        table = known.edges[kind]
        table.update(plan.existing[kind])
        for source, edges in plan.edges[kind].items():
            table[source].ids.update(edge.id for edge in edges)
        for source, ids in plan.vouch_edges[kind].items():
            table[source].others.difference_update(ids)


def _told(known: Mapping[str, str], records: Sequence[Record], label: Label) -> dict[str, str]:
    wanted = {name for record in records for kind, name in names_in(record) if kind == label}
    return {name: known[name] for name in wanted if name in known}


def _find_names(plan: Plan, read: Read, records: Sequence[Record], run: str, known: Known) -> None:
    """Finds the id of every name met for the first time; a name that no node has becomes one."""
    for label in LABELS:
        wanted = dict.fromkeys(name for record in records for kind, name in names_in(record) if kind == label)
        missing = [name for name in wanted if name not in known.names[label]]
        ways: tuple[tuple[str, Callable[[str], str]], ...] = (
            (queries.INGEST_FIND_BY_ID[label], str),
            (queries.INGEST_FIND_BY_KEY[label], key_of),
            (queries.INGEST_FIND_BY_ALIAS[label], lambda name, label=label: alias_id(label, name)),  # type: ignore[misc]
        )
        for statement, asked in ways:
            missing = _find(plan, label, read, statement, {name: asked(name) for name in missing}, run)
        _create(plan, label, missing)


def _find(plan: Plan, label: Label, read: Read, statement: str, asked: Mapping[str, str], run: str) -> list[str]:
    """Asks for these names one way; returns those not found."""
    if not asked:
        return []
    found = read(statement, names=list(dict.fromkeys(asked.values())), run=run)[0]["found"]
    by_name = {name: (node, vouched) for name, node, vouched in sorted(found, key=lambda row: row[1], reverse=True)}
    for name, question in asked.items():
        if question in by_name:
            node, vouched = by_name[question]
            plan.names[label][name] = node
            if not vouched and node not in plan.vouch[label]:
                plan.vouch[label].append(node)
    return [name for name, question in asked.items() if question not in by_name]


def _create(plan: Plan, label: Label, names: Iterable[str]) -> None:
    fresh: dict[str, str] = {}
    for name in names:
        key = key_of(name)
        if key not in fresh:
            fresh[key] = name
            plan.create[label].append([name, key, plain_name(name)])
        plan.names[label][name] = fresh[key]


def alias_id(label: Label, name: str) -> str:
    """Returns the id of the Alias node of a further name."""
    return f"{label.lower()}:{key_of(name)}"


def _plan_nodes(
    plan: Plan, read: Read, records: Sequence[Record], run: str, names: Mapping[Label, Mapping[str, str]]
) -> None:
    told: dict[Label, dict[str, dict[str, Any]]] = {label: {} for label in LABELS}
    aliases: dict[Label, dict[str, str]] = {label: {} for label in LABELS}
    for record in records:
        if isinstance(record, (Model, Dataset)):
            label: Label = "Model" if isinstance(record, Model) else "Dataset"
            node = names[label][record.id]
            told[label][node] = properties_of(record) | told[label].get(node, {})
            aliases[label].update({name: node for name in record.aliases if key_of(name) != key_of(node)})
    for label in LABELS:
        _plan_properties(plan, read, label, {node: values for node, values in told[label].items() if values}, run)
        if aliases[label]:
            _plan_aliases(plan, read, label, aliases[label], run)


def _plan_properties(plan: Plan, read: Read, label: Label, told: Mapping[str, Mapping[str, Any]], run: str) -> None:
    """Plans what the run tells of nodes; what another run tells otherwise is said."""
    fresh = {row[0]: {"id": row[0], "name": row[2]} for row in plan.create[label]}
    old = [node for node in told if node not in fresh]
    held: dict[str, dict[str, Any]] = dict(fresh)
    if old:
        held |= {row["id"]: row for row in read(queries.INGEST_PROPERTIES[label], ids=old)[0]["found"]}
    for node, values in told.items():
        before = held.get(node, {"id": node})
        changed = tell(before, run, values)
        if changed:
            plan.properties[label].append([node, changed])
        plan.conflicts += [f"{node}: {text}" for text in contradictions(before, run, values)]


def _plan_aliases(plan: Plan, read: Read, label: Label, wanted: Mapping[str, str], run: str) -> None:
    """Plans further names; one that is another node's id or alias is refused, and said."""
    ids = {alias_id(label, name): name for name in wanted}
    held = {row[0]: (row[1], row[2]) for row in read(queries.INGEST_ALIASES, names=list(ids), run=run)[0]["found"]}
    keys = [key_of(name) for name in wanted]
    nodes = {row[0]: row[1] for row in read(queries.INGEST_FIND_BY_KEY[label], names=keys, run=run)[0]["found"]}
    nodes |= {row[1]: row[0] for row in plan.create[label]}
    for identifier, name in ids.items():
        node = wanted[name]
        owner, vouched = held.get(identifier, (nodes.get(key_of(name)), True))
        plan.tallies["aliases"] += Tally(new=owner is None, already=owner == node)
        if owner is None:
            plan.aliases[label].append([identifier, name, node])
        elif owner != node:
            plan.conflicts.append(f"alias {name!r} of {node!r} was not taken: it names {owner!r} in this zoo")
        elif not vouched:
            plan.vouch_aliases.append(identifier)


def _wanted_edges(
    plan: Plan, records: Sequence[Record], names: Mapping[Label, Mapping[str, str]]
) -> dict[EdgeKind, dict[str, dict[str, Edge]]]:
    """Groups all relationships by kind and source; one that stands there twice counts as already there."""
    wanted: dict[EdgeKind, dict[str, dict[str, Edge]]] = {kind: {} for kind in EDGE_KINDS}
    for record in records:
        for edge in edges_of(record, names["Model"], names["Dataset"]):
            of_source = wanted[edge.kind].setdefault(edge.source, {})
            if edge.id in of_source:
                plan.tallies[edge.kind] += Tally(already=1)
            of_source[edge.id] = edge
    return wanted


def _plan_edges(
    plan: Plan, read: Read, wanted: Mapping[EdgeKind, Mapping[str, Mapping[str, Edge]]], run: str, known: Known
) -> None:
    for kind, by_source in wanted.items():
        fresh = {row[0] for row in plan.create[source_label(kind)]}
        plan.existing[kind] = {source: Existing() for source in by_source if source in fresh}
        unread = [source for source in by_source if source not in fresh and source not in known.edges[kind]]
        plan.existing[kind] |= _read_existing(read, kind, unread, run)
        for source, edges in by_source.items():
            existing = plan.existing[kind].get(source) or known.edges[kind][source]
            missing = [edge for edge in edges.values() if edge.id not in existing.ids]
            others = [edge_id for edge_id in edges if edge_id in existing.others]
            plan.tallies[kind] += Tally(len(missing), len(edges) - len(missing))
            if missing:
                plan.edges[kind][source] = missing
            if others:
                plan.vouch_edges[kind][source] = others


def _read_existing(read: Read, kind: EdgeKind, sources: Sequence[str], run: str) -> dict[str, Existing]:
    found = {source: Existing() for source in sources}
    if sources:
        for row in read(queries.INGEST_EDGES[kind], sources=list(sources), run=run):
            found[row["source"]] = Existing(set(row["ids"]), set(row["others"]))
    return found
