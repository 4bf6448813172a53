"""Writes what the graph holds as plain files; importing them again (`import_folder`) gives the same graph.

Left out are runs and everything derived: those are made again. Rows are sorted, so equal graphs give equal files.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo_graph import queries
from zoo_graph.aliases import plain_name
from zoo_graph.errors import InputError
from zoo_graph.metrics import declared_metric, find_metric, reported
from zoo_graph.store.connection import Connection

NODES_AT_ONCE = 5000
EDGES_AT_ONCE = 20_000
MODEL_COLUMNS = (
    "model", "name", "family", "architecture", "modality", "tasks", "n_parameters", "license", "source", "input_spec",
    "created", "derived_from", "pretrained_on", "aliases",
)  # fmt: skip
DATASET_COLUMNS = (
    "dataset", "name", "task", "modality", "n_classes", "n_samples", "features_digest", "labels_digest", "tags",
    "embedding", "embedding_by", "aliases",
)  # fmt: skip
RESULT_COLUMNS = (
    "model", "dataset", "metric", "value", "unit", "direction", "split", "n_shot", "method", "seed", "source",
    "harness", "date", "config", "seconds", "curve", "curve_steps",
)  # fmt: skip
DISTANCE_COLUMNS = ("dataset", "other", "distance")
PROXY_COLUMNS = ("model", "dataset", "proxy", "score", "seconds", "sample_digest", "n_samples")


def export(connection: Connection, folder: str | Path) -> dict[str, int]:
    """Writes models, datasets, results, proxies and distances to a folder, a CSV each; returns the rows of each.

    Raises:
        InputError: the folder cannot be written.
        StoreError: the store failed.
    """
    folder = Path(folder)
    models = [row[0] for row in _pages(connection, queries.EXPORT_MODELS)]
    datasets = [row[0] for row in _pages(connection, queries.EXPORT_DATASETS)]
    tables: dict[str, tuple[Sequence[str], Iterable[Sequence[Any]]]] = {
        "models": (MODEL_COLUMNS, _models(connection, models)),
        "datasets": (DATASET_COLUMNS, _datasets(connection)),
        "results": (RESULT_COLUMNS, _results(connection, models)),
        "proxies": (PROXY_COLUMNS, _edges(connection, models, "PROXY", queries.EXPORT_PROXIES)),
        "distances": (DISTANCE_COLUMNS, _edges(connection, datasets, "SIMILAR_TO", queries.EXPORT_DISTANCES)),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _write(folder / f"{name}.csv", columns, rows) for name, (columns, rows) in tables.items()}
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}; name a folder you may write") from error


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_text(value) for value in row])
            count += 1
    return count


def _models(connection: Connection, models: Sequence[str]) -> Iterator[list[Any]]:
    aliases = _grouped(connection.read(queries.EXPORT_ALIASES["Model"])[0]["rows"])
    lineage: dict[str, list[Any]] = {}
    pretrained: dict[str, list[Any]] = {}
    for some in _pieces(models, NODES_AT_ONCE):
        lineage |= _grouped(connection.read(queries.EXPORT_LINEAGE, sources=some)[0]["rows"])
        pretrained |= _grouped(connection.read(queries.EXPORT_PRETRAINED, sources=some)[0]["rows"])
    for row in _pages(connection, queries.EXPORT_MODELS):
        links = [{"base": base, "kind": kind} for base, kind in sorted(lineage.get(row[0], []))]
        yield [*_named(row), links, sorted(pretrained.get(row[0], [])), sorted(aliases.get(row[0], []))]


def _datasets(connection: Connection) -> Iterator[list[Any]]:
    aliases = _grouped(connection.read(queries.EXPORT_ALIASES["Dataset"])[0]["rows"])
    for row in _pages(connection, queries.EXPORT_DATASETS):
        yield [*_named(row), sorted(aliases.get(row[0], []))]


def _results(connection: Connection, models: Sequence[str]) -> Iterator[list[Any]]:
    for model, dataset, metric, value, unit, score, *rest in _edges(
        connection, models, "MEASURED", queries.EXPORT_RESULTS
    ):
        known = find_metric(metric)
        measure = known or declared_metric(metric, _direction(value, score))
        *conditions, curve, steps = rest
        points = [reported(measure, point, unit) for point in curve or ()]
        yield [model, dataset, metric, value, unit, None if known else measure.direction, *conditions, points, steps]


def _direction(value: float, score: float) -> str:
    """The direction of a metric that was declared when it was imported: its score has the other sign."""
    return "smaller" if value * score < 0 else "larger"


def _edges(connection: Connection, sources: Sequence[str], kind: str, statement: str) -> Iterator[list[Any]]:
    """Yields the rows of a statement over all sources, each message bounded by its number of relationships."""
    for some in _pieces(sources, NODES_AT_ONCE):
        counts = connection.read(queries.EXPORT_COUNTS[kind], sources=some)[0]["rows"]
        for group in _groups(sorted(counts), EDGES_AT_ONCE):
            rows = connection.read(statement, sources=group)[0]["rows"]
            yield from sorted(rows, key=lambda row: [_text(value) for value in row])


def _groups(counts: Iterable[Sequence[Any]], limit: int) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for model, count in counts:
        if group and size + count > limit:
            yield group
            group, size = [], 0
        group.append(model)
        size += count
    if group:
        yield group


def _pages(connection: Connection, statement: str) -> Iterator[list[Any]]:
    after = ""
    while rows := connection.read(statement, after=after, limit=NODES_AT_ONCE)[0]["rows"]:
        rows.sort(key=lambda row: row[0])
        yield from rows
        after = rows[-1][0]


def _named(row: Sequence[Any]) -> list[Any]:
    """A node's row without a name that its id tells."""
    return [row[0], None if row[1] == plain_name(row[0]) else row[1], *row[2:]]


def _grouped(rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for first, *rest in rows:
        found.setdefault(first, []).append(rest[0] if len(rest) == 1 else rest)
    return found


def _pieces(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _text(value: Any) -> str:
    """A value as its cell: lists as compact JSON, numbers with every digit they have and none more."""
    if value is None or value == []:
        return ""
    if isinstance(value, list):
        return "[" + ",".join(_json(item) for item in value) + "]"
    return _number(value) if isinstance(value, float) else str(value)


def _json(value: Any) -> str:
    return _number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")
