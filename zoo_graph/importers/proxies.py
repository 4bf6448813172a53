"""A table of proxy scores: one row per model, dataset and proxy."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from zoo_graph.errors import InputError
from zoo_graph.importers import cells, names
from zoo_graph.importers.cells import CellError
from zoo_graph.importers.layout import Draft, Layout
from zoo_graph.importers.long import refused
from zoo_graph.importers.mapping import ColumnMap
from zoo_graph.importers.properties import subject
from zoo_graph.importers.table import Cells, Table
from zoo_graph.records import Proxy, Record, Rejected

T = TypeVar("T")
FIELDS = (*names.MODEL, *names.DATASET, *names.PROXY)


def lay_out(table: Table, said: ColumnMap) -> Layout:
    """Finds where the fields of a table of proxy scores stand.

    Raises:
        ImportFileError: no model, dataset, proxy or score, or a named column is missing.
    """
    draft = Draft(table, said, FIELDS)
    for known in (names.MODEL, names.DATASET, names.PROXY):
        draft.guess(known)
    for field, known_as in (("model", names.MODEL["model"]), ("dataset", names.DATASET["dataset"])):
        draft.require(field, known_as)
    for field in ("proxy", "score"):
        draft.require(field, names.PROXY[field])
    draft.leave(list(draft.free), "no field of a proxy score")
    return draft.layout("proxies", {}, ())


def infer_names(table: Table, layout: Layout) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns our names of proxies that the file writes otherwise, and the sentences saying so; reads that column once.

    What the user renames keeps the name meant.
    """
    source = layout.sources["proxy"]
    rows = table.rows(source.columns) if source.columns else ()
    written = {cells.text(item[1][0]) for item in rows if not isinstance(item, Rejected)} | {source.constant}
    ours = {name: names.proxy_score(name) for name in map(str, written - {None, *layout.said.rename})}
    taken = {name: known for name, known in sorted(ours.items()) if name != known}
    return taken, tuple(f"proxy {name!r} is taken for {known}" for name, known in taken.items())


def read(table: Table, layout: Layout, ours: Mapping[str, str]) -> Iterator[Record | Rejected]:
    """Yields a Proxy for every good row and each refused row; `ours`: name as written -> name that is known here."""
    model, dataset = subject(layout, "model"), subject(layout, "dataset")
    getters = {name: layout.getter(name) for name in names.PROXY}

    def cell(row: Cells, name: str) -> object:
        getter = getters[name]
        return None if getter is None else getter(row)

    for item in table.rows(layout.columns()):
        if isinstance(item, Rejected):
            yield item
            continue
        line, row = item
        column = "model"
        try:
            identifier = model(row)
            column = "dataset"
            target = dataset(row)
            column = "proxy"
            proxy = _needed(cells.text(cell(row, column)), column)
            column = "score"
            score = _needed(cells.number(cell(row, column)), column)
            column = "seconds"
            spent = cells.seconds(cell(row, column)) or 0.0
            column = "n_samples"
            n_samples = cells.size(cell(row, column)) or 0
        except (CellError, InputError) as error:
            yield refused(line, layout.column_of(column), error)
            continue
        digest = cells.text(cell(row, "sample_digest")) or ""
        yield Proxy(
            identifier, target, layout.said.rename.get(proxy, ours.get(proxy, proxy)), score, spent, digest, n_samples
        )


def _needed(value: T | None, field: str) -> T:
    if value is None:
        raise CellError("", f"{field} is not empty")
    return value
