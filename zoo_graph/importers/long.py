"""The long format: one row per result (several where several score columns are named). No database here."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from zoo_graph.errors import ImportFileError, InputError
from zoo_graph.importers import cells, names
from zoo_graph.importers.cells import CellError, Scalar
from zoo_graph.importers.layout import Draft, Layout, Source
from zoo_graph.importers.mapping import ColumnMap
from zoo_graph.importers.properties import Properties, guess_beside_results, subject
from zoo_graph.importers.scales import Scale, scale_of, scale_of_cells, score_of, units_of
from zoo_graph.importers.table import Cells, Table
from zoo_graph.metrics import METRICS, find_metric, split_of
from zoo_graph.records import Record, Rejected, Result

FIELDS = (
    *names.MODEL, *names.DATASET, *names.RESULT, "score",
    *(f"model.{name}" for name in names.MODEL_PROPERTIES), "kind",
    *(f"dataset.{name}" for name in names.DATASET_PROPERTIES),
)  # fmt: skip
_CONDITIONS: Mapping[str, Callable[[Any], Any]] = {
    "split": cells.text,
    "n_shot": cells.size,
    "method": cells.text,
    "seed": cells.whole,
    "source": cells.text,
    "harness": cells.text,
    "date": cells.text,
}


def lay_out(table: Table, said: ColumnMap) -> Layout:
    """Finds where each field of a long table stands.

    Raises:
        ImportFileError: no model, dataset, score or metric, or a named column is missing.
        InputError: a metric that is not known.
    """
    draft = Draft(table, said, FIELDS)
    for known in (names.MODEL, names.DATASET, names.RESULT):
        draft.guess(known)
    scores = _score_columns(draft)
    guess_beside_results(draft)
    draft.require("model", names.MODEL["model"])
    draft.require("dataset", names.DATASET["dataset"])
    told = {column: _metric_of(draft, column, metric) for column, metric in scores.items()}
    _split_from_name(draft, tuple(told))
    return draft.layout("long", told, _conditions_left(draft))


def read(table: Table, layout: Layout, units: Mapping[str, str]) -> Iterator[Record | Rejected]:
    """Yields a Result for every good row, Models and Datasets for what it tells of them, and each refused row."""
    row_of, beside = _row_reader(layout, units), [Properties(node, layout) for node in ("model", "dataset")]
    beside = [properties for properties in beside if properties.getters]
    for item in table.rows(layout.columns()):
        if isinstance(item, Rejected):
            yield item
            continue
        line, row = item
        found = list(row_of(line, row))
        yield from found
        first = next((result for result in found if isinstance(result, Result)), None)
        if first is not None:
            for properties in beside:
                yield from properties.read(line, row, first.model if properties.node == "model" else first.dataset)


def infer_units(table: Table, layout: Layout) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the unit of each metric, and the sentences saying how they were inferred; reads the scores once.

    Raises:
        InputError: a column holds fractions and percentages mixed.
    """
    if layout.has("unit"):
        return {}, ()
    by_metric: dict[str, list[float]] = {}
    columns = [*layout.scores, *layout.sources["metric"].columns] if layout.has("metric") else [*layout.scores]
    for item in table.rows(columns):
        if isinstance(item, Rejected):
            continue
        for place, metric in enumerate(layout.scores.values()):
            name = metric or layout.sources["metric"].constant or item[1][-1]
            value = number_or_nan(item[1][place])
            if name is not None and not math.isnan(value):
                by_metric.setdefault(str(name), []).append(value)
    return units_of(by_metric)


def said_text(sources: Mapping[str, Source], field: str) -> str | None:
    """Returns the text that a field has in every row, or None."""
    constant = sources.get(field, Source()).constant
    return None if constant is None else str(constant)


Row = Callable[[int, Cells], Iterator[Result | Rejected]]


def _row_reader(layout: Layout, units: Mapping[str, str]) -> Row:
    """Returns the function from a row to its results, or to why it has none."""
    parts, scored = _part_readers(layout), _score_reader(layout, units)

    def read_row(line: int, row: Cells) -> Iterator[Result | Rejected]:
        shared: dict[str, Any] = {}
        for column, part in parts:
            try:
                shared.update(part(row))
            except (CellError, InputError) as error:
                yield refused(line, column, error)
                return
        yield from scored(line, row, shared)

    return read_row


def _part_readers(layout: Layout) -> list[tuple[str, Callable[[Cells], dict[str, Any]]]]:
    """What all results of a row share, each part with the column to blame and as keywords of Result."""
    model, dataset = subject(layout, "model"), subject(layout, "dataset")
    parts: list[tuple[str, Callable[[Cells], dict[str, Any]]]] = [
        (layout.column_of("model"), lambda row: {"model": model(row)}),
        (layout.column_of("dataset"), lambda row: {"dataset": dataset(row)}),
        ("conditions", condition_reader(layout)),
    ]
    seconds = layout.getter("seconds")
    if seconds is not None:
        parts.append((layout.column_of("seconds"), lambda row: {"seconds": cells.seconds(seconds(row))}))
    if layout.has("curve"):
        parts.append((layout.column_of("curve"), _curve_reader(layout)))
    return parts


def _score_reader(
    layout: Layout, units: Mapping[str, str]
) -> Callable[[int, Cells, Mapping[str, Any]], Iterator[Result | Rejected]]:
    scale = _scale_reader(layout, units)
    places = [(column, layout.columns().index(column), name) for column, name in layout.scores.items()]
    curve_column = layout.column_of("curve")

    def read_scores(line: int, row: Cells, shared: Mapping[str, Any]) -> Iterator[Result | Rejected]:
        filled = False
        for column, place, name in places:
            blamed = column
            try:
                value = cells.number(row[place])
                if value is None:
                    continue
                filled = True
                read_as = scale(row, name)
                score = score_of(read_as, value)
                blamed = curve_column
                curve = tuple(score_of(read_as, point) for point in shared.get("curve", ()))
            except CellError as error:
                filled = True
                yield refused(line, blamed, error)
                continue
            told = {**shared, "curve": curve}
            yield Result(metric=read_as.metric.name, value=value, score=score, unit=read_as.unit, **told)
        if not filled:
            yield Rejected(line, "+".join(layout.scores), "", "score is not empty")

    return read_scores


def _scale_reader(layout: Layout, units: Mapping[str, str]) -> Callable[[Cells, str | None], Scale]:
    metric, unit, direction = (layout.getter(field) for field in ("metric", "unit", "direction"))
    scales: dict[tuple[Any, ...], Scale | CellError] = {}

    def read_scale(row: Cells, name: str | None) -> Scale:
        told = (name or (metric(row) if metric else None), unit(row) if unit else None)
        key = (*told, direction(row) if direction else None)
        found = scales.get(key)
        if found is None:
            scales[key] = found = scale_of_cells(*key, units)
        if isinstance(found, CellError):
            raise found
        return found

    return read_scale


def refused(line: int, column: str, error: CellError | InputError) -> Rejected:
    """Returns the record of a cell that was refused."""
    value = error.value if isinstance(error, CellError) else ""
    return Rejected(line, column, value, error.rule if isinstance(error, CellError) else str(error))


def condition_reader(layout: Layout) -> Callable[[Cells], dict[str, Any]]:
    """Returns the function from a row to the conditions of its results, as keywords of Result."""
    getters = [(name, convert, layout.getter(name)) for name, convert in _CONDITIONS.items()]
    fields = [(name, convert, getter) for name, convert, getter in getters if getter is not None]
    columns = layout.columns()
    places = [(column, columns.index(column)) for column in layout.config]
    whole_config = layout.getter("config")
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def read_conditions(row: Cells) -> dict[str, Any]:
        raw = (*(getter(row) for _, _, getter in fields), *(row[place] for _, place in places))
        key = (*raw, whole_config(row) if whole_config else None)
        found = known.get(key)
        if found is None:
            found = {name: _named(name, convert, value) for (name, convert, _), value in zip(fields, raw, strict=False)}
            config = _config(dict(zip(layout.config, raw[len(fields) :], strict=True)), key[-1])
            found = {name: value for name, value in found.items() if value is not None}
            if config:
                found["config"] = config
            if len(known) < 100_000:
                known[key] = found
        return found

    return read_conditions


def _config(raw: Mapping[str, object], whole: object) -> dict[str, Scalar]:
    config = {column: value for column, cell in raw.items() if (value := cells.scalar(cell)) is not None}
    if whole is not None:
        told = cells.json_object(whole)
        value = cells.scalar(whole) if told is None else None
        config |= told or ({} if value is None else {"config": value})
    return config


def _curve_reader(layout: Layout) -> Callable[[Cells], dict[str, Any]]:
    curve, steps = layout.getter("curve"), layout.getter("curve_steps")

    def read_curve(row: Cells) -> dict[str, Any]:
        points = cells.numbers(curve(row)) if curve else ()
        at = _steps(steps(row)) if steps else ()
        if at and len(at) != len(points):
            raise CellError(f"{len(points)} points, {len(at)} steps", "curve has one step for each point")
        return {"curve": points, "curve_steps": at}

    return read_curve


def _steps(value: object) -> tuple[int, ...]:
    steps = [cells.size(step) for step in cells.numbers(value)]
    return tuple(step for step in steps if step is not None)


def _named(name: str, convert: Callable[[Any], Any], value: object) -> Any:
    try:
        return convert(value)
    except CellError as bad:
        raise CellError(bad.value, f"{name} {bad.rule}") from bad


def _score_columns(draft: Draft) -> dict[str, str | None]:
    said = draft.sources.pop("score", None)
    if draft.said.metrics:
        return dict(draft.said.metrics)
    if said is not None:
        return dict.fromkeys(said.columns)
    column = draft.first(names.SCORE) or next((name for name in draft.free if find_metric(name)), None)
    if column is None:
        raise draft.missing("score", names.SCORE)
    draft.take(column)
    draft.notes.append(f"score from column {column!r}")
    return {column: None}


def _metric_of(draft: Draft, column: str, metric: str | None) -> str | None:
    by_header = find_metric(column)
    listed = metric or (column if column in draft.said.metrics and by_header else None)
    if listed is None and "metric" in draft.sources:
        constant = draft.sources["metric"].constant
        if constant is not None:
            _check_metric(draft, str(constant))
        return None
    if listed is None and by_header is None:
        raise ImportFileError(
            f"{draft.table.path}: which metric is column {column!r}? say metric=accuracy (or another of "
            f"{', '.join(list(METRICS)[:8])} ...), or name the column that holds it with columns={{'metric': COLUMN}} "
            "(on the command line --metric accuracy, or --columns metric=COLUMN)"
        )
    if listed is None:
        draft.notes.append(f"metric {by_header.name if by_header else column}, from the column's name")
    _check_metric(draft, listed or column)
    return listed or column


def _check_metric(draft: Draft, name: str) -> None:
    direction = draft.sources.get("direction", Source())
    if not direction.columns:
        scale_of(name, said_text(draft.sources, "unit"), said_text(draft.sources, "direction"), {})


def _split_from_name(draft: Draft, columns: tuple[str, ...]) -> None:
    split = split_of(columns[0]) if len(columns) == 1 else None
    if split and "split" not in draft.sources:
        draft.sources["split"] = Source(constant=split)
        draft.notes.append(f"split {split}, from the name of column {columns[0]!r}")


def _conditions_left(draft: Draft) -> tuple[str, ...]:
    timing = names.RESULT["seconds"]
    draft.leave([column for column in draft.free if names.plain(column) in timing], "another time")
    measured = [column for column in draft.free if find_metric(column) or names.plain(column) in names.SCORE]
    draft.leave(measured, f"other scores; take them with metrics={measured} (--metrics {','.join(measured)})")
    if draft.said.config is not None:
        draft.leave(list(draft.free), "not named in config")
        return draft.said.config
    if draft.free:
        draft.notes.append(
            f"kept as conditions (config): {', '.join(map(repr, draft.free))}; leave them out with ignore=[...] "
            "(--ignore COLUMN,...)"
        )
    return tuple(draft.free)


def number_or_nan(cell: object) -> float:
    """Returns the cell's number, nan where it has none."""
    try:
        value = cells.number(cell)
    except CellError:
        return math.nan
    return math.nan if value is None else value
