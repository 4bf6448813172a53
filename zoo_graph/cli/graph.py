"""Subcommands that fill the graph and ask it: init, import, forget, export, refresh, query, status."""

import contextlib
import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo_graph.cli.options import MAX_SEED, ZooOption, listed, open_or_make_zoo, open_zoo, pairs
from zoo_graph.cli.output import FAILED, UNUSABLE, as_csv, as_jsonl, say, show, table, track

if TYPE_CHECKING:
    from zoo_graph.importers import ColumnMap
    from zoo_graph.ingest import ImportReport, RejectsFile
    from zoo_graph.store import Connection


class Layout(StrEnum):
    """How a file is laid out."""

    LONG = "long"
    WIDE = "wide"
    MODELS = "models"
    DATASETS = "datasets"
    PROXIES = "proxies"
    DISTANCES = "distances"


def init(
    where: Annotated[
        str | None, typer.Argument(help="A folder, or bolt://, neo4j:// (default: $ZOO, else zoo.db).")
    ] = None,
) -> None:
    """Make a zoo (or bring the schema of an existing one up to date)."""
    with open_zoo(where, create=True) as zoo:
        show([f"{zoo.status()['zoo']}: ready"])


def import_(
    files: Annotated[list[Path], typer.Argument(help="CSV or Parquet files.")],
    zoo: ZooOption = None,
    columns: Annotated[list[str], typer.Option(help="field=column,..., e.g. model=name,score=top1.")] = [],  # noqa: B006
    metric: Annotated[str | None, typer.Option(help="The metric of every score, e.g. accuracy.")] = None,
    metrics: Annotated[list[str], typer.Option(help="Score columns (column or column=metric,...).")] = [],  # noqa: B006
    dataset: Annotated[str | None, typer.Option(help="The dataset of every row.")] = None,
    split: Annotated[str | None, typer.Option(help="The split of every row, e.g. test.")] = None,
    unit: Annotated[
        str | None, typer.Option(help="fraction, percent or raw (default: told by metric and values).")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="larger or smaller: declares a metric not known here.")] = None,
    constant: Annotated[list[str], typer.Option("--set", help="field=value for every row, e.g. method=full.")] = [],  # noqa: B006
    config: Annotated[
        list[str] | None, typer.Option(help="Columns kept as conditions (default: all not used).")
    ] = None,
    ignore: Annotated[list[str], typer.Option(help="Columns to leave out.")] = [],  # noqa: B006
    slash: Annotated[str | None, typer.Option(help="Text that stands for / in model ids, e.g. --.")] = None,
    layout: Annotated[
        Layout | None, typer.Option("--format", help="How the file is laid out (default: guessed).")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="A TOML file with the same keys.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Write every rejected row of all files to this CSV.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and report; write nothing.")] = False,
) -> None:
    """Import results, models, datasets, proxies or distances; a second time changes nothing."""
    from zoo_graph.importers import column_map, read_mapping
    from zoo_graph.ingest import open_rejects

    named = listed(metrics)
    said_of_all: dict[str, Any] = _constants(pairs(constant, "--set"), metric, dataset, split, unit, direction)
    said = column_map(
        format=layout.value if layout else None,
        columns=pairs(columns, "--columns"),
        metrics={name.split("=")[0]: name.partition("=")[2] or None for name in named} if named else None,
        config=None if config is None else listed(config),
        ignore=listed(ignore),
        slash=slash,
        **said_of_all,
    )
    if mapping is not None:
        said = read_mapping(mapping).but(said)
    with contextlib.ExitStack() as opened:
        refused = None if rejects is None else opened.enter_context(open_rejects(rejects, files))
        connection = opened.enter_context(_target(zoo, dry_run))
        found = [_import_one(connection, file, said, refused, dry_run) for file in files]
    _end(found)


@contextlib.contextmanager
def _target(zoo: str | None, dry_run: bool) -> "Iterator[Connection | None]":
    """The store to import into; a dry run makes none where there is none."""
    folder = _folder(zoo)
    if dry_run and folder is not None and not folder.exists():
        say(f"zoo: there is no zoo at {folder} yet: everything counts as new")
        yield None
        return
    with open_zoo(zoo) if dry_run else open_or_make_zoo(zoo) as opened:
        yield opened.connection


def _folder(zoo: str | None) -> Path | None:
    """The folder of the zoo that the options or the environment name; None where it is on a server."""
    from zoo_graph.settings import read_settings

    where = zoo or read_settings().zoo
    return None if "://" in where else Path(where).expanduser()


def _import_one(
    connection: "Connection | None", file: Path, said: "ColumnMap", refused: "RejectsFile | None", dry_run: bool
) -> "ImportReport | None":
    """One file's report, shown; None (and why, said) where the file cannot be used: the others go on."""
    from zoo_graph.errors import InputError
    from zoo_graph.ingest import import_file

    try:
        with track(f"importing {file.name}") as advance:
            report = import_file(connection, file, mapping=said, dry_run=dry_run, rejects=refused, track=advance)
    except InputError as error:
        told = str(error)
        say(f"zoo: {told if str(file) in told else f'{file}: {told}'}")
        return None
    show(report.lines())
    return report


def _end(found: "list[ImportReport | None]") -> None:
    """Ends with 2 where no file could be used, with 1 where one could not or gave nothing but rejected rows."""
    reports = [report for report in found if report is not None]
    if not reports:
        raise typer.Exit(UNUSABLE)
    nothing = all(report.empty for report in reports)
    if nothing:
        say("zoo: nothing was imported: see what was rejected, and how the file was read")
    if nothing or len(reports) < len(found) or any(report.empty and report.n_rejected for report in reports):
        raise typer.Exit(FAILED)


def _constants(
    given: dict[str, str],
    metric: str | None,
    dataset: str | None,
    split: str | None,
    unit: str | None,
    direction: str | None,
) -> dict[str, str]:
    said = {"metric": metric, "dataset": dataset, "split": split, "unit": unit, "direction": direction}
    return given | {name: value for name, value in said.items() if value is not None}


def forget(
    run: Annotated[str, typer.Argument(help="The run, e.g. import-1a2b3c (see zoo status).")], zoo: ZooOption = None
) -> None:
    """Take an import (or a measurement) back out of the graph."""
    with open_zoo(zoo) as opened:
        counts = opened.forget(run)
    show(
        [
            f"{run} is forgotten",
            *(f"  {line}" for line in counts.lines("removed", "kept, as other runs brought them too")),
        ]
    )


def export(folder: Annotated[Path, typer.Argument(help="Where the CSV tables go.")], zoo: ZooOption = None) -> None:
    """Write everything imported or measured as CSV tables, which import reads back."""
    with open_zoo(zoo) as opened:
        counts = opened.export(folder)
    show([f"{folder}: " + ", ".join(f"{n:,} {name}" for name, n in counts.items())])


def refresh(
    zoo: ZooOption = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of community detection.")] = 0,
    exclude: Annotated[list[str], typer.Option(help="Datasets to hold out of everything derived.")] = [],  # noqa: B006
    links: Annotated[
        bool, typer.Option("--links", help="Also train link prediction (minutes); recall then weighs it.")
    ] = False,
) -> None:
    """Bring scores, similarities and communities up to date (only what its inputs changed)."""
    with open_zoo(zoo) as opened:
        show(opened.refresh(seed=seed, exclude_datasets=listed(exclude), links=links).lines())


def query(
    cypher: Annotated[str, typer.Argument(help="A reading Cypher statement.")],
    zoo: ZooOption = None,
    param: Annotated[list[str], typer.Option("--param", "-p", help="name=value; JSON values are understood.")] = [],  # noqa: B006
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many rows.")] = 1000,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds the statement may take.")] = 10,
) -> None:
    """Ask the graph in Cypher (read only)."""
    parameters = {name: _value(text) for name, text in (_pair(text) for text in param)}
    with open_zoo(zoo) as opened:
        rows = opened.query(cypher, seconds=timeout, max_rows=limit, **parameters)
    columns = list(rows.columns or (rows[0] if len(rows) else ()))
    values = [[row[name] for name in columns] for row in rows]
    if jsonl:
        show(as_jsonl(rows))
    elif csv:
        show([as_csv(columns, values)])
    else:
        show([*table(columns, values), f"({len(rows)} row{'s' if len(rows) != 1 else ''})"])
    if rows.cut:
        say(f"cut after {limit:,} rows: raise --limit for more")


def status(zoo: ZooOption = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What the zoo holds, and its newest runs."""
    with open_zoo(zoo) as opened:
        found = opened.status()
    if as_json:
        show([json.dumps(found, default=str)])
        return
    counts = ", ".join(f"{n:,} {name}" for name, n in found["counts"].items())
    show([f"{found['zoo']} (graph version {found['version']:,})", counts])
    show([f"cached features: {found['feature_cache_bytes'] / 1e6:,.1f} MB"])
    if found["runs"]:
        columns = ("id", "kind", "status", "started", "counts")
        rows = [[*(run[name] for name in columns[:-1]), _short(run["counts"])] for run in found["runs"]]
        show(["", *table(columns, rows)])


def _short(counts: str | None) -> str:
    """A run's counts on one line, its notes left out."""
    told = json.loads(counts) if counts else {}
    return ", ".join(f"{value:,} {name}" for name, value in told.items() if isinstance(value, int))


def _pair(text: str) -> tuple[str, str]:
    # Not split at commas, as other options are: a value may hold them.
    ((name, value),) = pairs([text.replace(",", "\0")], "--param").items()
    return name, value.replace("\0", ",")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


COMMANDS = (init, import_, forget, export, refresh, query, status)
