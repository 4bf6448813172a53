"""The wide format: a matrix with one row per model and one column per dataset (or the other way round)."""

from collections.abc import Iterator, Mapping
from typing import Any

from zoo_graph.errors import ImportFileError, InputError
from zoo_graph.importers import cells, names
from zoo_graph.importers.cells import CellError
from zoo_graph.importers.layout import Draft, Layout, Source
from zoo_graph.importers.long import FIELDS, condition_reader, number_or_nan, refused, said_text
from zoo_graph.importers.mapping import ColumnMap
from zoo_graph.importers.properties import Properties, guess_beside_results, subject
from zoo_graph.importers.scales import Scale, scale_of, score_of, units_of
from zoo_graph.importers.table import Table
from zoo_graph.metrics import find_metric
from zoo_graph.records import Record, Rejected, Result

_SAMPLE_ROWS = 200


def lay_out(table: Table, said: ColumnMap) -> Layout:
    """Finds the id column of a matrix and the columns that hold numbers.

    Raises:
        ImportFileError: no id column, no numbers, no metric said, or a named column is missing.
        InputError: a metric that is not known.
    """
    draft = Draft(table, said, FIELDS)
    if "dataset" not in said.columns:
        draft.guess(names.MODEL)
        draft.require("model", names.MODEL["model"])
    guess_beside_results(draft)
    summaries = [column for column in draft.free if names.SUMMARY.match(names.plain(column))]
    draft.leave(summaries, "it sums up others")
    draft.leave(_without_numbers(draft), "no numbers in it")
    scores = {**dict.fromkeys(draft.free), **said.metrics}
    if not scores:
        raise ImportFileError(
            f"{table.path}: no column holds numbers; wanted one column per dataset, "
            "of numbers with a decimal point (0.5, not 0,5)"
        )
    _check_metrics(draft, scores)
    across = "model" if "dataset" in said.columns else "dataset"
    draft.notes.append(f"one {across} per column: {len(scores)}")
    ordered = {column: scores[column] for column in table.columns if column in scores}
    return draft.layout("wide", ordered, said.config or ())


def read(table: Table, layout: Layout, units: Mapping[str, str]) -> Iterator[Record | Rejected]:
    """Yields a Result for every good cell, what a row tells of its model, and each refused cell."""
    down = "model" if layout.has("model") else "dataset"
    find, conditions = subject(layout, down), condition_reader(layout)
    beside = Properties(down, layout)
    scales = {column: _scale(layout, metric, units) for column, metric in layout.scores.items()}
    places = [(column, layout.columns().index(column), layout.identifier(column)) for column in layout.scores]
    for item in table.rows(layout.columns()):
        if isinstance(item, Rejected):
            yield item
            continue
        line, row = item
        column = layout.column_of(down)
        try:
            identifier = find(row)
            column = "conditions"
            shared = conditions(row)
        except (CellError, InputError) as error:
            yield refused(line, column, error)
            continue
        yield from beside.read(line, row, identifier)
        for column, place, across in places:
            model, dataset = (identifier, across) if down == "model" else (across, identifier)
            found = _result(line, column, row[place], model, dataset, scales[column], shared)
            if found is not None:
                yield found


def infer_units(table: Table, layout: Layout) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the unit of each metric of the matrix, judged over all its columns; reads the numbers once.

    Raises:
        InputError: fractions and percentages are mixed.
    """
    if layout.has("unit"):
        return {}, ()
    by_metric: dict[str, list[float]] = {}
    named = [_metric_name(layout, metric) for metric in layout.scores.values()]
    for item in table.rows(tuple(layout.scores)):
        if not isinstance(item, Rejected):
            for name, cell in zip(named, item[1], strict=True):
                by_metric.setdefault(name, []).append(number_or_nan(cell))
    return units_of(by_metric)


def _result(
    line: int, column: str, cell: object, model: str, dataset: str, scale: Scale, shared: Mapping[str, Any]
) -> Result | Rejected | None:
    try:
        value = cells.number(cell)
        if value is None:
            return None
        score = score_of(scale, value)
    except CellError as error:
        return refused(line, column, error)
    return Result(model, dataset, scale.metric.name, value, score, scale.unit, **shared)


def _without_numbers(draft: Draft) -> list[str]:
    """Free columns none of whose first rows holds a number, though some hold text."""
    found, filled = set[str](), set[str]()
    for item, _ in zip(draft.table.rows(draft.free), range(_SAMPLE_ROWS), strict=False):
        if isinstance(item, Rejected):
            continue
        for column, cell in zip(draft.free, item[1], strict=True):
            if not cells.is_empty(cell):
                filled.add(column)
                if number_or_nan(cell) == number_or_nan(cell):
                    found.add(column)
    return [column for column in draft.free if column in filled and column not in found]


def _metric_name(layout: Layout, metric: str | None) -> str:
    return metric or str(layout.sources["metric"].constant)


def _check_metrics(draft: Draft, scores: Mapping[str, str | None]) -> None:
    metric = draft.sources.get("metric", Source()).constant
    if metric is None and None in scores.values():
        raise ImportFileError(
            f"{draft.table.path}: which metric are the numbers of this matrix ({', '.join(list(scores)[:5])} ...)? "
            "say metric=accuracy (--metric accuracy), or format=... (--format) if it is no matrix "
            "of models and datasets"
        )
    layout = draft.layout("wide", scores, ())
    for name in set(scores.values()):
        _scale(layout, name, {})


def _scale(layout: Layout, metric: str | None, units: Mapping[str, str]) -> Scale:
    name = _metric_name(layout, metric)
    direction = None if find_metric(name) else said_text(layout.sources, "direction")
    return scale_of(name, said_text(layout.sources, "unit"), direction, units)
