"""A table of models: one row per model, with what is known of it."""

from collections.abc import Iterator, Mapping

from zoo_graph.errors import InputError
from zoo_graph.importers import names
from zoo_graph.importers.cells import CellError
from zoo_graph.importers.layout import Draft, Layout
from zoo_graph.importers.long import refused
from zoo_graph.importers.mapping import ColumnMap
from zoo_graph.importers.properties import Properties, leave_unstated_count, subject
from zoo_graph.importers.table import Table
from zoo_graph.records import Dataset, Model, Record, Rejected

_IDS = {"model": ("id", *names.MODEL["model"]), "dataset": ("id", *names.DATASET["dataset"], "name")}
_PROPERTIES = {"model": names.MODEL_PROPERTIES, "dataset": names.DATASET_PROPERTIES}


def lay_out(table: Table, said: ColumnMap, node: str = "model") -> Layout:
    """Finds where the id and each property of a model (or dataset) stand.

    Raises:
        ImportFileError: no id column, or a named column is missing.
    """
    properties = _PROPERTIES[node]
    plain = {name: f"{node}.{name}" for name in properties if name != "kind"}
    columns = {plain.get(field, field): column for field, column in said.columns.items()}
    constants = {plain.get(field, field): value for field, value in said.constants.items()}
    said = ColumnMap(said.format, columns, constants, {}, None, said.ignore, said.rename, said.slash)
    revision = "revision" if node == "model" else "dataset_revision"
    draft = Draft(table, said, (node, revision, "dataset_config", "kind", *plain.values()))
    draft.guess({node: _IDS[node]})
    draft.guess({revision: names.MODEL["revision"]})
    draft.require(node, _IDS[node])
    draft.guess({name: known for name, known in properties.items() if name != "kind"}, f"{node}.")
    leave_unstated_count(draft)
    if f"{node}.derived_from" in draft.sources:
        draft.guess({"kind": names.MODEL_PROPERTIES["kind"]})
    draft.leave(list(draft.free), f"no property of a {node}")
    return draft.layout("models" if node == "model" else "datasets", {}, ())


def read(table: Table, layout: Layout, units: Mapping[str, str]) -> Iterator[Record | Rejected]:
    """Yields a record for every row with an id, and each cell or row that is refused; `units` is not used."""
    node = "model" if layout.format == "models" else "dataset"
    find, properties = subject(layout, node), Properties(node, layout)
    for item in table.rows(layout.columns()):
        if isinstance(item, Rejected):
            yield item
            continue
        line, row = item
        try:
            identifier = find(row)
        except (CellError, InputError) as error:
            yield refused(line, layout.column_of(node), error)
            continue
        known = identifier in properties.told
        found = list(properties.read(line, row, identifier))
        if not known and all(isinstance(record, Rejected) for record in found):
            yield Model(identifier) if node == "model" else Dataset(identifier)
        yield from found
