"""A table of distances between datasets that a user knows: one row per pair."""

from collections.abc import Iterator, Mapping

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


def read(table: Table, layout: Layout, units: Mapping[str, str]) -> Iterator[Record | Rejected]:
    """Yields a Distance for every good row and each refused row; `units` is not used.

    A row of a dataset and itself, as on the diagonal of a matrix, tells nothing and is passed over.
    """
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
        if one != second:
            yield Distance(one, second, apart)
