"""How the numbers of a column are to be read: metric, unit, plausible range; and numbers to comparable scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo_graph.errors import InputError
from zoo_graph.importers import cells
from zoo_graph.importers.cells import CellError
from zoo_graph.metrics import (
    Metric,
    comparable,
    declared_metric,
    find_metric,
    infer_unit,
    plausible,
    range_text,
    unknown_metric,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How the numbers of one metric are to be read."""

    metric: Metric
    unit: str
    rule: str


def scale_of(name: str, unit: str | None, direction: str | None, units: Mapping[str, str]) -> Scale:
    """Returns how the numbers of a metric are read.

    Raises:
        InputError: an unknown metric without a direction, or one that contradicts the known direction.
    """
    metric = find_metric(name)
    if metric is None:
        if direction is None:
            raise InputError(unknown_metric(name))
        metric = declared_metric(name, direction)
    elif direction is not None and direction != metric.direction:
        raise InputError(f"{metric.name} is better when {metric.direction}, not {direction}")
    chosen = (unit or units.get(metric.name) or metric.unit).lower()
    if metric.unit == "fraction" and chosen not in ("fraction", "percent"):
        raise InputError(f"unit {chosen!r} of {metric.name}: wanted fraction or percent")
    return Scale(metric, chosen, f"{metric.name} in {chosen} is {range_text(metric, chosen)}")


def score_of(scale: Scale, value: float) -> float:
    """Returns the comparable score of a value.

    Raises:
        CellError: the metric cannot have this value.
    """
    if not plausible(scale.metric, value, scale.unit):
        raise CellError(f"{value:g}", scale.rule)
    return comparable(scale.metric, value, scale.unit)


def scale_of_cells(metric: object, unit: object, direction: object, units: Mapping[str, str]) -> Scale | CellError:
    """Returns how the numbers beside these cells are read, or (not raised: it is kept) what is wrong with them."""
    plain = cells.text(metric)
    if plain is None:
        return CellError(metric, "metric is not empty")
    try:
        return scale_of(plain, cells.text(unit), cells.text(direction), units)
    except InputError as error:
        return CellError(plain, str(error))


def units_of(by_metric: Mapping[str, Sequence[float]]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the unit of each metric, judged by all its values, and the sentences that say how.

    Raises:
        InputError: fractions and percentages are mixed.
    """
    merged: dict[Metric, list[float]] = {}
    for name, values in by_metric.items():
        known = find_metric(name)
        if known is not None:
            merged.setdefault(known, []).extend(values)
    inferred = {metric.name: infer_unit(metric, values) for metric, values in merged.items()}
    units = {name: unit for name, (unit, _) in inferred.items()}
    return units, tuple(note for _, note in inferred.values())
