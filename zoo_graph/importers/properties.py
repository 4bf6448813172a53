"""What a table says about its models and datasets beside their results: cells to partial Model and Dataset records.

A property told twice for one id is taken once; a second, different value is reported and not taken.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from zoo_graph.aliases import versioned
from zoo_graph.errors import InputError
from zoo_graph.importers import cells
from zoo_graph.importers.cells import CellError, shown
from zoo_graph.importers.layout import Draft, Getter, Layout
from zoo_graph.importers.names import MODEL_PROPERTIES
from zoo_graph.importers.table import Cells
from zoo_graph.records import Dataset, Lineage, LineageKind, Model, Rejected

Convert = Callable[[Any], Any]

_KINDS: tuple[LineageKind, ...] = get_args(LineageKind)
_SAMPLE_ROWS = 200
BESIDE_RESULTS = ("family", "architecture", "n_parameters", "license", "derived_from", "pretrained_on")
"""Model properties that are guessed from the columns of a table of results."""


def _modality(value: object) -> str | None:
    return "+".join(sorted(cells.names(value))) or None


def _joined(value: object) -> str | None:
    return " ".join(cells.names(value)) or None


_CONVERT: Mapping[str, Convert] = {
    "modality": _modality,
    "architecture": _joined,
    "tasks": cells.names,
    "tags": cells.names,
    "embedding": cells.numbers,
    "pretrained_on": cells.names,
    "aliases": cells.names,
    "n_classes": cells.size,
    "n_samples": cells.size,
    "derived_from": lambda value: value,  # needs `kind`: see lineage()
}


@dataclass(slots=True)
class Properties:
    """The properties of one kind of node in one table, and what was already told."""

    node: str
    layout: Layout
    getters: dict[str, Getter] = field(init=False)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    last: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = {name: self.layout.getter(f"{self.node}.{name}") for name in self.layout.properties(self.node)}
        self.getters = {name: getter for name, getter in found.items() if getter is not None}

    def read(self, line: int, row: Cells, identifier: str) -> Iterator[Model | Dataset | Rejected]:
        """Yields what this row newly tells of a node (nothing, most of the time), and each cell that is refused."""
        try:
            raw = tuple([getter(row) for getter in self.getters.values()])
        except CellError as bad:  # of a template, which puts texts together
            yield Rejected(line, f"{self.node} properties", bad.value, bad.rule)
            return
        if self.last.get(identifier) == raw:
            return
        self.last[identifier] = raw
        told, fresh = self.told.setdefault(identifier, {}), {}
        for name, value in zip(self.getters, raw, strict=True):
            try:
                converted = self.converted(name, value, row)
            except (CellError, InputError) as bad:
                rule = f"{name} {bad.rule}" if isinstance(bad, CellError) else str(bad)
                yield Rejected(line, self.layout.column_of(f"{self.node}.{name}"), shown(value), rule)
                continue
            if converted in (None, ()) or told.get(name) == converted:
                continue
            if name in told:
                rule = f"{name} of {identifier} is the same in every row (kept: {shown(told[name])})"
                yield Rejected(line, self.layout.column_of(f"{self.node}.{name}"), shown(value), rule)
                continue
            told[name] = fresh[name] = converted
        yield from self._whole_embedding(line, told, fresh)
        if fresh:
            yield Model(identifier, **fresh) if self.node == "model" else Dataset(identifier, **fresh)

    def _whole_embedding(self, line: int, told: dict[str, Any], fresh: dict[str, Any]) -> Iterator[Rejected]:
        """Takes back an embedding without its encoder, and an encoder of nothing: another import's must not join it."""
        if ("embedding" in told) == ("embedding_by" in told):
            return
        if "embedding" in told:
            rule = "embedding comes with its encoder (a column embedding_by, or embedding_by=NAME for all)"
            yield Rejected(line, self.layout.column_of(f"{self.node}.embedding"), shown(told["embedding"]), rule)
        for name in ("embedding", "embedding_by"):
            told.pop(name, None)
            fresh.pop(name, None)

    def converted(self, name: str, value: object, row: Cells) -> Any:
        """Returns a cell as its property's value."""
        if name == "n_parameters":
            return cells.count(value, self.layout.sources[f"{self.node}.{name}"].unit)
        if name == "derived_from":
            kind = self.layout.getter("kind")
            found = lineage(value, cells.text(kind(row)) if kind else None)
            return tuple(Lineage(self.layout.identifier(link.base), link.kind) for link in found)
        if name == "pretrained_on":
            return tuple(self.layout.identifier(item) for item in cells.names(value))
        return _CONVERT.get(name, cells.text)(value)


def lineage(value: object, kind: str | None) -> tuple[Lineage, ...]:
    """Returns what a cell says a model derives from: ids, or a JSON list of `{"base": ..., "kind": ...}`.

    Raises:
        CellError: the kind is none of the known ones, or the JSON is something else.
    """
    plain = cells.text(value)
    if plain is None:
        return ()
    if not plain.startswith("[{"):
        return tuple(Lineage(base, _kind(kind or "finetune")) for base in cells.names(value))
    try:
        links = [(cells.text(item["base"]), str(item["kind"])) for item in json.loads(plain)]
        return tuple(Lineage(base, _kind(kind)) for base, kind in links if base is not None)
    except (ValueError, KeyError, TypeError) as error:
        raise CellError(value, 'is a list of {"base": ..., "kind": ...}') from error


def guess_beside_results(draft: Draft) -> None:
    """Places the model properties that a table of results may hold."""
    draft.guess({name: MODEL_PROPERTIES[name] for name in BESIDE_RESULTS}, "model.")
    leave_unstated_count(draft)


def leave_unstated_count(draft: Draft) -> None:
    """Takes a guessed parameter count back where its cells state no unit, and says so."""
    guessed = draft.sources.get("model.n_parameters")
    if guessed is None or "model.n_parameters" in draft.said.columns or guessed.unit:
        return
    (column,) = guessed.columns
    for row, _ in zip(draft.table.rows([column]), range(_SAMPLE_ROWS), strict=False):
        cell = None if isinstance(row, Rejected) else row[1][0]
        if cells.lacks_unit(cell):
            del draft.sources["model.n_parameters"]
            draft.notes.append(
                f"left out {column!r}: {cell} has no unit; say columns={{'model.n_parameters': '{column}:M'}} "
                f"(--columns 'model.n_parameters={column}:M')"
            )
            return


def subject(layout: Layout, node: str) -> Callable[[Cells], str]:
    """Returns the function from a row to the id of its model or dataset, with config and revision where told.

    Raises (the function):
        CellError: the row names none.
    """
    name, config, revision = (layout.getter(field) for field in (node, f"{node}_config", _revision(node)))
    known: dict[tuple[Any, ...], str] = {}

    def find(row: Cells) -> str:
        raw = (name(row) if name else None, config(row) if config else None, revision(row) if revision else None)
        found = known.get(raw)
        if found is None:
            plain = cells.text(raw[0])
            if plain is None:
                raise CellError(raw[0], f"{node} is not empty")
            base = layout.identifier(plain)
            known[raw] = found = versioned(base, config=cells.text(raw[1]), revision=cells.text(raw[2]))
        return found

    return find


def _revision(node: str) -> str:
    return "revision" if node == "model" else f"{node}_revision"


def _kind(kind: str) -> LineageKind:
    for known in _KINDS:
        if known == kind.strip().lower():
            return known
    raise CellError(kind, f"is one of {', '.join(_KINDS)}")
