"""One file per format, each with `lay_out(table, said)` and `read(table, layout, units)`; none knows a database.

`open_file` is the way in: it guesses what was not said and tells what it guessed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo_graph.errors import ImportFileError, InputError
from zoo_graph.importers import datasets, distances, long, models, proxies, wide
from zoo_graph.importers.layout import Layout, guess_format
from zoo_graph.importers.mapping import ColumnMap, Format, column_map, read_mapping
from zoo_graph.importers.table import Table, open_table
from zoo_graph.records import Record, Rejected

__all__ = ["ColumnMap", "ImportFile", "column_map", "open_file", "read", "read_mapping"]

Units = Mapping[str, str]
_LAY_OUT: dict[Format, Callable[[Table, ColumnMap], Layout]] = {
    "long": long.lay_out,
    "wide": wide.lay_out,
    "models": models.lay_out,
    "datasets": datasets.lay_out,
    "proxies": proxies.lay_out,
    "distances": distances.lay_out,
}
_READ: dict[Format, Callable[[Table, Layout, Units], Iterator[Record | Rejected]]] = {
    "long": long.read,
    "wide": wide.read,
    "models": models.read,
    "datasets": datasets.read,
    "proxies": proxies.read,
    "distances": distances.read,
}
# What the values tell before they become records: units of metrics, names of proxies, rows that say nothing.
_INFER: dict[Format, Callable[[Table, Layout], tuple[dict[str, str], tuple[str, ...]]]] = {
    "long": long.infer_units,
    "wide": wide.infer_units,
    "proxies": proxies.infer_names,
    "distances": distances.count_diagonal,
}


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file understood and ready to be read; `notes` are the guesses made, to be shown to the user."""

    table: Table
    layout: Layout
    units: Units
    notes: tuple[str, ...]

    def records(self) -> Iterator[Record | Rejected]:
        """Yields every record of the file, and each refused row or cell in its place.

        Raises:
            ImportFileError: the file breaks off in the middle.
        """
        return _READ[self.layout.format](self.table, self.layout, self.units)


def open_file(path: str | Path, said: ColumnMap) -> ImportFile:
    """Opens a file, finds its format, columns and units, and notes every guess.

    Raises:
        ImportFileError: a file or mapping of which nothing can be imported.
    """
    table = open_table(path)
    form, why = guess_format(table, said)
    try:
        layout = _LAY_OUT[form](table, said)
        units, unit_notes = _INFER[form](table, layout) if form in _INFER else ({}, ())
    except ImportFileError:
        raise
    except InputError as error:
        raise ImportFileError(f"{path}: {error}") from error
    return ImportFile(table, layout, units, (*((why,) if why else ()), *layout.notes, *unit_notes))


def read(path: str | Path, said: ColumnMap) -> Iterator[Record | Rejected]:
    """Yields every record of a file, and each refused row or cell in its place.

    Raises:
        ImportFileError: a file or mapping of which nothing can be imported.
    """
    return open_file(path, said).records()
