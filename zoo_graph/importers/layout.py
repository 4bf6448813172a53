"""Where each field of a table stands: what the user said, completed by guesses from the column names.

Every guess becomes a note for the report. A column that is named but not there is an error with close matches.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_graph.aliases import clean_id
from zoo_graph.errors import ImportFileError
from zoo_graph.importers import names
from zoo_graph.importers.cells import COUNT_UNITS, text
from zoo_graph.importers.mapping import ColumnMap, Format
from zoo_graph.importers.table import Cells, Table
from zoo_graph.metrics import find_metric

_TEMPLATE = re.compile(r"\{([^{}]+)\}")

Getter = Callable[[Cells], Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where one field comes from: columns (in a template, where it has one), or a constant. `unit` is of counts."""

    columns: tuple[str, ...] = ()
    template: str | None = None
    constant: str | int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """A table understood: the source of each field, the score columns with their metric (None: told by a field)."""

    format: Format
    sources: Mapping[str, Source]
    scores: Mapping[str, str | None]
    config: tuple[str, ...]
    said: ColumnMap
    notes: tuple[str, ...]

    def columns(self) -> tuple[str, ...]:
        """Returns every column that is read, each once."""
        used = [column for source in self.sources.values() for column in source.columns]
        return tuple(dict.fromkeys((*used, *self.scores, *self.config)))

    def has(self, field: str) -> bool:
        """Tells whether a field has a source."""
        return field in self.sources

    def column_of(self, field: str) -> str:
        """Returns the column(s) a field is read from, as a report names them."""
        source = self.sources.get(field)
        return "+".join(source.columns) if source and source.columns else field

    def getter(self, field: str) -> Getter | None:
        """Returns the function from the cells of `columns()` to a field's cell; None where it has no source."""
        source = self.sources.get(field)
        return None if source is None else _getter(source, self.columns())

    def properties(self, node: str) -> tuple[str, ...]:
        """Returns the properties of `model` or `dataset` that the table holds."""
        return tuple(field.split(".", 1)[1] for field in self.sources if field.startswith(f"{node}."))

    def identifier(self, name: str) -> str:
        """Returns the id that a written name stands for, after `slash` and `rename`."""
        name = unicodedata.normalize("NFC", name)
        renamed = self.said.rename.get(name)
        return renamed if renamed is not None else clean_id(name, slash=self.said.slash)


class Draft:
    """A layout while it is being put together: what is taken, what is free, what was guessed."""

    def __init__(self, table: Table, said: ColumnMap, fields: Iterable[str]) -> None:
        self.table, self.said = table, said
        self.fields = tuple(fields)
        self.sources: dict[str, Source] = {}
        self.notes: list[str] = []
        self.free = [column for column in table.columns if not names.is_index(column)]
        index = [column for column in table.columns if names.is_index(column)]
        if index:
            self.notes.append(f"left out {_listed(index)}: a row number")
        for column in (*said.ignore, *(said.config or ()), *said.metrics):
            self.take(column)
        self.place_said()

    def take(self, column: str) -> None:
        """Marks a column as used.

        Raises:
            ImportFileError: the table has no such column.
        """
        if column not in self.table.columns:
            raise no_column(self.table, column)
        if column in self.free:
            self.free.remove(column)

    def place_said(self) -> None:
        """Places the columns and constants the user named."""
        for field, said in self.said.columns.items():
            if field not in self.fields:
                close = difflib.get_close_matches(field, self.fields, n=3, cutoff=0.4) or self.fields[:12]
                raise ImportFileError(f"no field {field!r} to map column {said!r} to: wanted one of {', '.join(close)}")
            self.sources[field] = source = _said_source(self.table, said)
            for column in source.columns:
                self.take(column)
        for field, value in self.said.constants.items():
            self.sources.setdefault(field, Source(constant=value))

    def guess(self, table: Mapping[str, tuple[str, ...]], prefix: str = "") -> None:
        """Places each field still without a source at the first free column of a name it is known by."""
        for field, known in table.items():
            if prefix + field in self.sources:
                continue
            column = self.first(known)
            if column is not None:
                template = f"mteb {{{column}}}" if names.plain(column) == "mteb_version" else None
                unit = names.count_unit(column) if field == "n_parameters" else ""
                self.sources[prefix + field] = Source((column,), template, unit=unit)
                self.take(column)
                self.notes.append(f"{prefix + field} from column {column!r}")

    def first(self, known: Sequence[str]) -> str | None:
        """Returns the free column with the first of these names."""
        by_name = {names.plain(column): column for column in reversed(self.free)}
        return next((by_name[name] for name in known if name in by_name), None)

    def require(self, field: str, known: Sequence[str]) -> None:
        """Checks that a field has a source.

        Raises:
            ImportFileError: it has none.
        """
        if field not in self.sources:
            raise self.missing(field, known)

    def missing(self, field: str, known: Sequence[str]) -> ImportFileError:
        """Returns the error for a field that no column holds."""
        return ImportFileError(
            f"{self.table.path}: no column for {field}; found columns {_listed(self.table.columns)}; "
            f"wanted one named {', '.join(known[:4])} ..., or say columns={{{field!r}: COLUMN}} or {field}=VALUE "
            f"(on the command line --columns {field}=COLUMN or --set {field}=VALUE)"
        )

    def leave(self, columns: Sequence[str], reason: str) -> None:
        """Leaves columns out, and says so."""
        for column in columns:
            self.take(column)
        if columns:
            self.notes.append(f"left out {_listed(columns)}: {reason}")

    def layout(self, form: Format, scores: Mapping[str, str | None], config: Iterable[str]) -> Layout:
        """Returns the finished layout."""
        return Layout(form, dict(self.sources), dict(scores), tuple(config), self.said, tuple(self.notes))


def no_column(table: Table, column: str) -> ImportFileError:
    """Returns the error for a column that is named but not there."""
    close = difflib.get_close_matches(column, table.columns, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(map(repr, close))}? " if close else ""
    return ImportFileError(f"{table.path} has no column {column!r}: {hint}found {_listed(table.columns)}")


def guess_format(table: Table, said: ColumnMap) -> tuple[Format, str | None]:
    """Returns the format a table most likely has, and the sentence that says why (None: the user said it)."""
    if said.format is not None:
        return said.format, None
    plain = {names.plain(column) for column in table.columns if column not in said.ignore}

    def has(field: str, known: Iterable[str]) -> bool:
        return field in said.columns or field in said.constants or not plain.isdisjoint(known)

    model = has("model", names.MODEL["model"])
    dataset = has("dataset", names.DATASET["dataset"])
    proxy = has("proxy", ("proxy", "proxy_name", "transferability"))
    score = bool(said.metrics) or has("score", names.SCORE) or any(find_metric(name) for name in plain)
    if model and dataset and proxy:
        return "proxies", "read as proxies: it has a model, a dataset and a proxy column"
    if model and dataset and score:
        return "long", "read as long: it has a model, a dataset and a score"
    if dataset and not model and all(has(field, known) for field, known in names.DISTANCE.items()):
        return "distances", "read as distances: it has two datasets and a distance"
    if _describes(plain, names.DATASET_PROPERTIES) and dataset and not plain & set(names.MODEL["model"][:-1]):
        return "datasets", "read as datasets: it describes datasets and holds no score"
    if _describes(plain, names.MODEL_PROPERTIES) and model and "metric" not in said.constants:
        return "models", "read as models: it describes models and holds no dataset"
    if model and not dataset:
        return "wide", "read as wide: one row per model, one column per dataset"
    raise ImportFileError(
        f"{table.path}: cannot tell its format from columns {_listed(table.columns)}: wanted a model, a dataset and "
        "a score column, or say which is which with columns={'model': ..., 'dataset': ..., 'score': ...} or format=... "
        "(on the command line --columns model=COLUMN,dataset=COLUMN,score=COLUMN or --format)"
    )


def _describes(plain: set[str], properties: Mapping[str, tuple[str, ...]]) -> bool:
    telling = (known for field, known in properties.items() if field not in ("name", "source", "kind", "task"))
    return any(not plain.isdisjoint(known) for known in telling)


def _said_source(table: Table, said: str) -> Source:
    if said in table.columns:
        return Source((said,), unit=names.count_unit(said))
    if "{" in said:
        columns = tuple(dict.fromkeys(_TEMPLATE.findall(said)))
        for column in columns:
            if column not in table.columns:
                raise no_column(table, column)
        return Source(columns, said)
    column, colon, unit = said.rpartition(":")
    if colon and column in table.columns and unit.lower() in COUNT_UNITS:
        return Source((column,), unit=unit)
    raise no_column(table, said)


def _getter(source: Source, columns: Sequence[str]) -> Getter:
    if source.constant is not None:
        constant = source.constant
        return lambda cells: constant
    if source.template is None:
        place = columns.index(source.columns[0])
        return lambda cells: cells[place]
    parts = [(columns.index(part) if odd % 2 else part) for odd, part in enumerate(_TEMPLATE.split(source.template))]

    def fill(cells: Cells) -> str | None:
        filled = [part if isinstance(part, str) else text(cells[part]) for part in parts]
        return None if None in filled else "".join(part for part in filled if part is not None)

    return fill


def _listed(columns: Sequence[str]) -> str:
    shown = [repr(column) for column in columns[:12]]
    return ", ".join(shown) + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
