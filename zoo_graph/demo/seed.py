"""The committed table of the demo zoo: what `zoo measure` found, as the CSV tables that `zoo export` writes.

A held-out target leaves no trace in a zoo that is made without its rows: not in results, proxies, similarities,
communities or tuning.
"""

import csv
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from statistics import fmean

from zoo_graph.demo.tasks import SOURCES
from zoo_graph.errors import UnknownNameError
from zoo_graph.ingest import ImportReport, import_folder
from zoo_graph.store.connection import Connection

TABLES = ("models", "datasets", "results", "proxies")


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean test score over seeds by (model, dataset)."""

    scores: dict[tuple[str, str], float]

    @property
    def models(self) -> list[str]:
        """Model ids, sorted."""
        return sorted({model for model, _ in self.scores})

    @property
    def datasets(self) -> list[str]:
        """Dataset ids, sorted."""
        return sorted({dataset for _, dataset in self.scores})


def seed_folder() -> Path:
    """The folder with the committed tables."""
    return Path(str(resources.files("zoo_graph.demo") / "seed"))


def group_of(dataset: str) -> tuple[str, ...]:
    """The tasks that are held out with this one: those of the same source, whose texts or labels they share.

    Raises:
        UnknownNameError: the demo has no such task.
    """
    source = next((one.source for one in SOURCES if one.id == dataset), None)
    if source is None:
        raise UnknownNameError("task", dataset, [one.id for one in SOURCES])
    return tuple(one.id for one in SOURCES if one.source == source)


def write_without(datasets: Collection[str], folder: Path) -> Path:
    """Copies the tables to `folder` without the rows of these datasets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        with (seed_folder() / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or ())
            rows = [row for row in reader if row.get("dataset") not in datasets]
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def load_without(connection: Connection, datasets: Collection[str], folder: Path) -> list[ImportReport]:
    """Imports the tables without these datasets; `folder` keeps what was imported, to be looked at.

    Raises:
        StoreError: the store failed; the same call continues.
    """
    return import_folder(connection, write_without(datasets, folder))


def read_measured() -> Measured:
    """The table's test scores."""
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    with (seed_folder() / "results.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            pair = row["model"], row["dataset"]
            scores[pair].append(float(row["value"]))
    means = {pair: fmean(values) for pair, values in scores.items()}
    return Measured(means)
