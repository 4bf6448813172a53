"""The zoo as columns: what was imported or measured, exported once per evidence version into Parquet files.

Knows Cypher's rows and Arrow's tables; knows nothing of what the numbers are used for. Training curves are
left in the graph: who needs one asks for it by pair.

The *evidence version* is the graph version less the writes of derived things, so it moves with every import,
measurement and `forget`, and stands still while a refresh writes back.
"""

import contextlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from zoo_graph import queries
from zoo_graph.errors import StoreUnavailableError
from zoo_graph.store.connection import Connection, Transaction

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LOG = logging.getLogger(__name__)

_FORMAT = 6  # raised when the columns change, so that older files are not read
_PAGE_ROWS = 20_000  # about 4 MB a message
_PAGE_NODES = 4_000  # an embedding is 2 KB
_ATTEMPTS = 6
_CUT = "\x1f"  # between conditions: the unit separator, a control character made for this

_TEXT = pa.string()
_WHOLE = pa.int64()
_REAL = pa.float64()
_INDEX = pa.int32()
_MODELS = pa.schema({
    "id": _TEXT, "name": _TEXT, "family": _TEXT, "architecture": _TEXT, "modality": _TEXT, "tasks": pa.list_(_TEXT),
    "n_parameters": _WHOLE, "license": _TEXT, "source": _TEXT, "created": _TEXT,
})  # fmt: skip
_DATASETS = pa.schema({
    "id": _TEXT, "name": _TEXT, "task": _TEXT, "modality": _TEXT, "n_classes": _WHOLE, "n_samples": _WHOLE,
    "features_digest": _TEXT, "labels_digest": _TEXT, "tags": pa.list_(_TEXT), "embedding": pa.list_(_REAL),
    "embedding_by": _TEXT,
})  # fmt: skip
_MEASURED = pa.schema({  # as they are read: the conditions as one text
    "model": _INDEX, "dataset": _INDEX, "id": _TEXT, "score": _REAL, "seconds": _REAL, "conditions": _TEXT,
})  # fmt: skip
_CONDITIONS = {
    "metric": _TEXT, "split": _TEXT, "method": _TEXT, "n_shot": _WHOLE, "seed": _WHOLE, "source": _TEXT,
    "harness": _TEXT, "date": _TEXT, "config": _TEXT,
}  # fmt: skip
_RESULTS = pa.schema([*list(_MEASURED)[:-1], *_CONDITIONS.items()])
_PROXIES = pa.schema({
    "model": _INDEX, "dataset": _INDEX, "name": _TEXT, "score": _REAL, "seconds": _REAL, "sample_digest": _TEXT,
    "n_samples": _WHOLE,
})  # fmt: skip
_LINEAGE = pa.schema([("model", _INDEX), ("base", _INDEX), ("kind", _TEXT)])
_DISTANCES = pa.schema([("dataset", _INDEX), ("other", _INDEX), ("distance", _REAL)])
_PRETRAINED = pa.schema([("model", _INDEX), ("dataset", _INDEX)])


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The zoo's columns at one evidence version. Arrow tables; `model`, `base`, `dataset` and `other` are row numbers.

    `models`: id, name, family, architecture, modality, tasks, n_parameters, license, source, created.
    `datasets`: id, name, task, modality, n_classes, n_samples, features_digest, labels_digest, tags, embedding,
    embedding_by.
    `results`: model, dataset, id, score, seconds, metric, split, method, n_shot, seed, source, harness, date,
    config (canonical JSON). `proxies`: model, dataset, name, score, seconds, sample_digest, n_samples.
    `lineage`: model, base, kind. `pretrained_on`: model, dataset. `distances`: dataset, other, distance, as given.
    Models and datasets are sorted by id, the rest by row numbers (and results by id): the same zoo gives the
    same columns on every store.
    """

    version: int
    models: pa.Table
    datasets: pa.Table
    results: pa.Table
    proxies: pa.Table
    lineage: pa.Table
    pretrained_on: pa.Table
    distances: pa.Table

    @property
    def tables(self) -> tuple[pa.Table, ...]:
        """All the columns there are."""
        return tuple(getattr(self, name) for name in _TABLES)

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Model ids in the order of `models`."""
        return tuple(self.models["id"].to_pylist())

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Dataset ids in the order of `datasets`."""
        return tuple(self.datasets["id"].to_pylist())


_TABLES = ("models", "datasets", "results", "proxies", "lineage", "pretrained_on", "distances")


def places(names: Sequence[str], known: Sequence[str]) -> Integers:
    """For each name its place among the known, or -1."""
    place = {name: index for index, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)


def proxy_matrices(snapshot: Snapshot, models: Sequence[str], datasets: Sequence[str]) -> dict[str, Floats]:
    """name -> (M, D) of the proxies the graph holds, nan elsewhere; of several samples the last one read counts."""
    table = snapshot.proxies
    row = places(snapshot.model_ids, models)[table["model"].to_numpy()]
    column = places(snapshot.dataset_ids, datasets)[table["dataset"].to_numpy()]
    names = np.array(table["name"].to_pylist(), dtype=object)
    values = table["score"].to_numpy()
    wanted = (row >= 0) & (column >= 0)
    found = {}
    for name in sorted(set(names.tolist())):
        of_name = wanted & (names == name)
        found[name] = np.full((len(models), len(datasets)), np.nan)
        found[name][row[of_name], column[of_name]] = values[of_name]
    return found


def evidence_version(connection: Connection) -> int:
    """Returns the number that moves with every write except those of derived things."""
    return _key(connection)[1]


def count_derived_write(transaction: Transaction) -> None:
    """Marks the transaction as one that writes derived things only: the evidence version stands still."""
    transaction.run(queries.COUNT_DERIVED_WRITE)


def take(connection: Connection, cache: Path | None = None) -> Snapshot:
    """Returns the zoo's columns at the present evidence version, from file where that version was exported before.

    The files lie in `snapshot/` under the embedded store's folder, or under `cache` for a server; a version
    appears there whole or not at all, and replaces the zoo's older ones.

    Raises:
        StoreUnavailableError: the zoo was written to during each of six exports.
        ValueError: a server and no cache folder.
    """
    folder = store_folder(connection, cache) / "snapshot"
    for attempt in range(_ATTEMPTS):
        instance, version = _named_key(connection)
        target = folder / f"{instance}-{_FORMAT}-{version}"
        found = _load(target, version)
        if found is not None:
            return found
        tables = _export(connection)
        if _key(connection) == (instance, version):
            _keep(tables, target, instance)
            return Snapshot(version, *tables)
        time.sleep(0.2 * 2**attempt)
    raise StoreUnavailableError(
        f"the zoo at {connection.uri} was written to during each of {_ATTEMPTS} exports, and an export needs a quiet "
        "moment: run it again when the import has ended"
    )


def store_folder(connection: Connection, cache: Path | None) -> Path:
    """Returns where files about a zoo are kept: an embedded store's own folder, or the cache.

    Raises:
        ValueError: a server and no cache folder.
    """
    root = connection.folder if connection.folder is not None else cache
    if root is None:
        raise ValueError(f"got no cache folder for the server {connection.uri}; pass cache=")
    return root


def _key(connection: Connection) -> tuple[str, int]:
    row = connection.read(queries.SNAPSHOT_VERSION)[0]
    return row["instance"], row["version"]


def _named_key(connection: Connection) -> tuple[str, int]:
    """Returns the zoo's own random name, given on first use, and its evidence version.

    A version number alone would take the files of an earlier zoo at the same address for this one's.
    """
    if not _key(connection)[0]:
        connection.write(_name_instance)
    return _key(connection)


def _name_instance(transaction: Transaction) -> None:
    transaction.run(queries.NAME_INSTANCE, instance=secrets.token_hex(6))
    count_derived_write(transaction)


# -- files


def _load(folder: Path, version: int) -> Snapshot | None:
    """Reads the exported tables; None where there are none, a disk spoilt them, or another process removes them."""
    try:
        return Snapshot(version, *(pq.read_table(folder / f"{name}.parquet") for name in _TABLES))
    except FileNotFoundError:
        return None
    except pa.ArrowInvalid:
        _LOG.warning("the snapshot %s cannot be read and is exported anew", folder)
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _keep(tables: tuple[pa.Table, ...], target: Path, instance: str) -> None:
    """Writes the tables for the next time; a full or read-only disk costs that time, not the answer."""
    try:
        _store(tables, target, instance)
    except OSError as error:
        _LOG.warning("the snapshot could not be kept in %s: %s", target.parent, error)


def _store(tables: tuple[pa.Table, ...], target: Path, instance: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    draft.mkdir()
    for name, table in zip(_TABLES, tables, strict=True):
        with (draft / f"{name}.parquet").open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
    try:
        draft.rename(target)
    except OSError:  # another process exported the same version first
        shutil.rmtree(draft)
    _remove_others(target, instance)


def _remove_others(target: Path, instance: str) -> None:
    """Removes this zoo's other versions, and drafts an hour old that a killed process left."""
    for folder in target.parent.glob(f"{instance}-*"):
        if folder != target:
            shutil.rmtree(folder, ignore_errors=True)
    for draft in target.parent.glob(f".{instance}-*"):
        with contextlib.suppress(FileNotFoundError):  # its writer has finished it
            if time.time() - draft.stat().st_mtime > 3600:
                shutil.rmtree(draft, ignore_errors=True)


# -- export


def _export(connection: Connection) -> tuple[pa.Table, ...]:
    models = _nodes(connection, queries.SNAPSHOT_MODELS, _MODELS)
    datasets = _nodes(connection, queries.SNAPSHOT_DATASETS, _DATASETS)
    model_index = _index_of(models)
    dataset_index = _index_of(datasets)
    sources = (
        (queries.SNAPSHOT_RESULT_COUNTS, queries.SNAPSHOT_RESULTS, _MEASURED, dataset_index),
        (queries.SNAPSHOT_PROXY_COUNTS, queries.SNAPSHOT_PROXIES, _PROXIES, dataset_index),
        (queries.SNAPSHOT_LINEAGE_COUNTS, queries.SNAPSHOT_LINEAGE, _LINEAGE, model_index),
        (queries.SNAPSHOT_PRETRAINED_COUNTS, queries.SNAPSHOT_PRETRAINED, _PRETRAINED, dataset_index),
    )
    measured, *others = (_relationships(connection, *source, model_index) for source in sources)
    given = (queries.SNAPSHOT_DISTANCE_COUNTS, queries.SNAPSHOT_DISTANCES, _DISTANCES, dataset_index)
    distances = _relationships(connection, *given, dataset_index)
    return models, datasets, _with_conditions(measured), *others, distances


def _with_conditions(measured: pa.Table) -> pa.Table:
    """Takes each distinct text of conditions apart once; an empty one is unknown."""
    encoded = measured["conditions"].combine_chunks().dictionary_encode()
    distinct = [text.split(_CUT) for text in encoded.dictionary.to_pylist()]
    columns = list(zip(*distinct, strict=True)) or [()] * len(_CONDITIONS)
    taken = measured.drop_columns(["conditions"])
    for values, (name, kind) in zip(columns, _CONDITIONS.items(), strict=True):
        known = pa.array([value or None for value in values], type=_TEXT).cast(kind)
        taken = taken.append_column(name, known.take(encoded.indices))
    return taken.cast(_RESULTS)


def _nodes(connection: Connection, query: str, schema: pa.Schema) -> pa.Table:
    rows: list[list[Any]] = []
    after = ""
    while page := connection.read(query, after=after, limit=_PAGE_NODES)[0]["rows"]:
        rows.extend(page)
        after = page[-1][0]
    rows.sort(key=lambda row: str(row[0]))
    return _table(rows, schema)


def _index_of(table: pa.Table) -> dict[str, int]:
    return {name: row for row, name in enumerate(table["id"].to_pylist())}


def _relationships(
    connection: Connection, counts: str, query: str, schema: pa.Schema, ends: dict[str, int], starts: dict[str, int]
) -> pa.Table:
    """Reads one kind of relationship, a few sources a page. An end created since the nodes were read is skipped:
    the version has moved then, and the export is done again."""
    rows: list[list[Any]] = []
    for sources in _pages(connection.read(counts)[0]):
        for row in connection.read(query, sources=sources, cut=_CUT):
            start, others = starts.get(row[schema.names[0]]), row[schema.names[1]]
            if start is not None:
                pairs = zip(others, row["rows"], strict=True)
                rows.extend([start, ends[end], *values] for end, values in pairs if end in ends)
    rows.sort(key=lambda row: (row[0], row[1], *map(str, row[2:4])))
    return _table(rows, schema)


def _pages(counts: dict[str, Any]) -> Iterator[list[str]]:
    """Yields ids in groups of at most `_PAGE_ROWS` relationships (one node may have more)."""
    page: list[str] = []
    size = 0
    for model, n in sorted(zip(counts["ids"], counts["n"], strict=True)):
        if page and size + n > _PAGE_ROWS:
            yield page
            page, size = [], 0
        page.append(model)
        size += n
    if page:
        yield page


def _table(rows: list[list[Any]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(list(column), type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
