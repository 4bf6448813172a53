"""A table of distances between datasets that a user knows: one row per pair."""

from collections.abc import Iterator, Mapping

from zoo_graph.aliases import key_of
from zoo_graph.errors import InputError
from zoo_graph.importers import cells, names
from zoo_graph.importers.cells import CellError
from zoo_graph.importers.layout import Draft, Layout
from zoo_graph.importers.long import refused
from zoo_graph.importers.mapping import ColumnMap
from zoo_graph.importers.properties import subject
from zoo_graph.importers.table import Table
from zoo_graph.records import Distance, Record, Rejected


def lay_out(table: Table, said: ColumnMap) -> Layout:
    """Finds where the two datasets and their distance stand.

    Raises:
        ImportFileError: no dataset, other dataset or distance, or a named column is missing.
    """
    draft = Draft(table, said, (*names.DATASET, *names.DISTANCE))
    for known in (names.DISTANCE, names.DATASET):
        draft.guess(known)
    for field, known_as in ({"dataset": names.DATASET["dataset"]} | dict(names.DISTANCE)).items():
        draft.require(field, known_as)
    draft.leave(list(draft.free), "no field of a distance")
    return draft.layout("distances", {}, ())


def count_diagonal(table: Table, layout: Layout) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns a sentence on the rows of a dataset and itself, which `read` passes over; nothing where there is none."""
    n_own = sum(isinstance(item, _Own) for item in _rows(table, layout))
    rows = "1 row of a dataset and itself is" if n_own == 1 else f"{n_own:,} rows of a dataset and itself are"
    return {}, (f"{rows} passed over",) if n_own else ()


def read(table: Table, layout: Layout, units: Mapping[str, str]) -> Iterator[Record | Rejected]:
    """Yields a Distance for every good row and each refused row; `units` is not used.

    A row of a dataset and itself, as on the diagonal of a matrix, tells nothing and is passed over.
    """
    for item in _rows(table, layout):
        if not isinstance(item, _Own):
            yield item


class _Own:
    """A row of a dataset and itself."""


def _rows(table: Table, layout: Layout) -> Iterator[Distance | Rejected | _Own]:
    dataset = subject(layout, "dataset")
    other, distance = layout.getter("other"), layout.getter("distance")
    for item in table.rows(layout.columns()):
        if isinstance(item, Rejected):
            yield item
            continue
        line, row = item
        column = "dataset"
        try:
            one = dataset(row)
            column = "other"
            second = cells.text(other(row)) if other else None
            if second is None:
                raise CellError("", "other is not empty")
            second = layout.identifier(second)
            column = "distance"
            apart = cells.number(distance(row)) if distance else None
            if apart is None or apart < 0:
                raise CellError(apart, "distance is 0 or more, and not empty")
        except (CellError, InputError) as error:
            yield refused(line, layout.column_of(column), error)
            continue
        yield Distance(one, second, apart) if key_of(one) != key_of(second) else _Own()
