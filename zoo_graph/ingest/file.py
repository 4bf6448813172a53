"""From a file to the graph: reads it with the importers, writes it as one run, reports."""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

from zoo_graph.errors import InputError
from zoo_graph.importers import ColumnMap, ImportFile, column_map, open_file, read_mapping
from zoo_graph.ingest.counts import Counts
from zoo_graph.ingest.rejects import RejectLog, RejectsFile, open_rejects
from zoo_graph.ingest.report import ImportReport
from zoo_graph.ingest.session import Track, ingest, preview
from zoo_graph.records import Record, Rejected, Run
from zoo_graph.store.connection import Connection

EXPORTED = ("models", "datasets", "results", "proxies", "distances")
"""The tables of an exported folder, in the order they are imported."""


def import_file(
    connection: Connection | None,
    path: str | Path,
    *,
    mapping: str | Path | ColumnMap | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    metrics: Mapping[str, str | None] | Iterable[str] | None = None,
    config: Iterable[str] | None = None,
    ignore: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
    slash: str | None = None,
    dry_run: bool = False,
    rejects: str | Path | RejectsFile | None = None,
    track: Track | None = None,
    **constants: str | int | None,
) -> ImportReport:
    """Imports a CSV or Parquet file: the good rows go in, every other one is reported; a second time changes nothing.

    `mapping` is a TOML file (or a ColumnMap); the keywords stand over it and mean what they mean in `column_map`.
    `constants` are fields that hold for every row: metric=, dataset=, split=, method=, source=, unit=, direction= ...
    With `dry_run` nothing is written, and the counts say what would be; where there is no zoo yet, without a
    connection. `rejects` is a CSV for all refused rows, written over only where it is an earlier one; opened with
    `open_rejects` it takes those of several files.

    Raises:
        ImportFileError: nothing of the file can be imported, or it breaks off (what was read before is in).
        InputError: a keyword that is not understood, `rejects` is no place for them, or there is no connection.
        StoreError: the store failed; the batches before are in, and the same call continues.
    """
    started = time.monotonic()
    said = column_map(
        format=format, columns=columns, metrics=metrics, config=config, ignore=ignore, rename=rename, slash=slash,
        **constants,
    )  # fmt: skip
    if mapping is not None:
        said = (mapping if isinstance(mapping, ColumnMap) else read_mapping(mapping)).but(said)
    file = open_file(path, said)
    run = import_run(file, said)
    with _rejects(rejects, path) as refused:
        log = RejectLog(str(path), refused)
        counts = _bring_in(connection, file, run, log, track, dry_run=dry_run)
    return ImportReport(
        path=str(path), run=run.id, format=file.layout.format, notes=file.notes, units=tuple(file.units.items()),
        counts=counts, n_rejected=sum(log.by_rule.values()), rejected=tuple(log.kept), rejected_by=log.groups(),
        seconds=time.monotonic() - started, dry_run=dry_run, rejects=None if refused is None else str(refused.path),
    )  # fmt: skip


def import_folder(connection: Connection, folder: str | Path, *, track: Track | None = None) -> list[ImportReport]:
    """Imports the tables that `export` wrote to a folder; those that are not there are left out.

    Raises:
        ImportFileError, InputError, StoreError: as `import_file`.
    """
    forms = {"results": "long"}
    present = [name for name in EXPORTED if (Path(folder) / f"{name}.csv").exists()]
    return [
        import_file(connection, Path(folder) / f"{name}.csv", format=forms.get(name, name), track=track)
        for name in present
    ]


def import_run(file: ImportFile, said: ColumnMap) -> Run:
    """Returns the run of a file's import: the same bytes read the same way are the same run."""
    digest = file.table.digest()
    text = f"{digest}\n{file.layout.format}\n{said.canonical()}"
    said_digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    parameters = {"file": file.table.path.name, "format": file.layout.format, "mapping": json.loads(said.canonical())}
    return replace(Run.begun("import", said_digest, parameters), input_digest=digest)


def _rejects(
    given: str | Path | RejectsFile | None, path: str | Path
) -> contextlib.AbstractContextManager[RejectsFile | None]:
    if given is None or isinstance(given, RejectsFile):
        return contextlib.nullcontext(given)
    return open_rejects(given, [path])


def _bring_in(
    connection: Connection | None, file: ImportFile, run: Run, log: RejectLog, track: Track | None, *, dry_run: bool
) -> Counts:
    records = _good(file.records(), log)
    first = next(records, None)
    if first is None:
        return Counts()
    whole = chain((first,), records)
    if dry_run:
        return preview(connection, whole, run)
    if connection is None:
        raise InputError("got no connection to import into; wanted an open zoo, or a dry run")
    total = _expected(file)
    return ingest(connection, whole, run, track=None if track is None else lambda done, _: track(done, total))


def _good(records: Iterable[Record | Rejected], log: RejectLog) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Rejected):
            log.add(record)
        else:
            yield record


def _expected(file: ImportFile) -> int | None:
    """About how many records the file holds, where its format tells."""
    rows = file.table.n_rows
    return None if rows is None else rows * max(len(file.layout.scores), 1)
