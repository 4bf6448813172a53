"""A backtest for people and programs: lines for a terminal, JSON records, a picture beside them."""

import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_graph.backtest import chart
from zoo_graph.backtest.quality import METRICS, RANKS
from zoo_graph.backtest.records import Record
from zoo_graph.backtest.summary import Mean, Paired, Results, Unit, results

SHOWN = ("pearson", "weighted_tau", "spearman", "ndcg10", "hit10", *(f"regret{k}" for k in RANKS), "coverage90")
COMPARED = tuple(name for name in METRICS if name not in ("coverage90", "tie_win_rate"))
_NAME = 32
_WIDTH, _WIDE = 9, 17
_SHORT = {"weighted_tau": "w. tau", "coverage90": "cover90"}
_NOTE = (
    "regret<k>: best true score less the best of the first k, over best less median; 0 is none, 1 no better than the "
    "median model"
)


@dataclass(frozen=True, slots=True)
class Group:
    """Matrices that are averaged together; `matrices` None takes all, `over` the unit of the mean."""

    name: str
    matrices: Collection[str] | None = None
    over: Unit = "targets"


def lines(
    records: Sequence[Record], groups: Sequence[Group], baseline: str = "history", first: Sequence[str] = ()
) -> Iterator[str]:
    """Yields a table of means, and one of differences from the baseline, for each regime and group.

    The rankers in `first` are shown above the others. Failures follow, each once with the number of targets.
    """
    for regime, found in results(records).items():
        for group in groups:
            rankers = sorted(found.rankers, key=lambda name: first.index(name) if name in first else len(first))
            yield from _means(regime, found, group, rankers)
            yield ""
            yield from _differences(found, group, rankers, baseline)
            yield ""
    yield _NOTE
    yield from _failures(records)


def _means(regime: str, found: Results, group: Group, rankers: Sequence[str]) -> Iterator[str]:
    yield _row(f"{group.name}, {regime}", "n", *(_SHORT.get(name, name) for name in SHOWN))
    for ranker in rankers:
        means = [found.mean(ranker, metric, group.matrices, group.over) for metric in SHOWN]
        n = max(one.n for one in means)
        if n:
            yield _row(ranker, str(n), *(_decimal(one.value) for one in means))


def _differences(found: Results, group: Group, rankers: Sequence[str], baseline: str) -> Iterator[str]:
    """How much less regret than the baseline, with p, and the gain in agreement with its standard error."""
    metrics = [*(f"regret{k}" for k in RANKS), "pearson", "weighted_tau"]
    yield _row(f"against {baseline}", "n", *(f"{_SHORT.get(name, name)}  p" for name in metrics), width=_WIDE)
    for ranker in rankers:
        if ranker != baseline:
            all_paired = [found.paired(ranker, metric, group.matrices, group.over, baseline) for metric in metrics]
            n = max(one.difference.n for one in all_paired)
            if n:
                yield _row(ranker, str(n), *map(_compared, metrics, all_paired), width=_WIDE)


def _compared(metric: str, paired: Paired) -> str:
    if not paired.difference.n:
        return "–"
    change = f"{paired.relative:+.0%}" if metric.startswith("regret") else f"{paired.difference.value:+.3f}"
    return f"{change}{' tie' if paired.is_tie else ''} {paired.p:.3f}"


def _row(name: str, n: str, *cells: str, width: int = _WIDTH) -> str:
    return f"{name[:_NAME]:{_NAME}}{n:>5}" + "".join(f"{cell:>{width}}" for cell in cells)


def _decimal(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _failures(records: Iterable[Record]) -> Iterator[str]:
    counted: dict[tuple[str, str | None], int] = {}
    for record in records:
        if record.state == "failed":
            key = record.ranker, record.reason
            counted[key] = counted.get(key, 0) + 1
    for (ranker, reason), n in counted.items():
        yield f"failed: {ranker} on {n} {'target' if n == 1 else 'targets'}: {reason}"


def measures(records: Sequence[Record], groups: Sequence[Group], baseline: str = "history") -> list[dict[str, Any]]:
    """`{measure, value, unit, n, stderr}` of each group, regime, ranker and metric, and of what it is above `baseline`.

    Measures are `recall/<group>/<regime>/<ranker>/<metric>`, with `_minus_<baseline>` for the paired difference and
    `_minus_<baseline>_p` for its p (see `summary.Paired`); `seconds` is a ranker's mean time for one target.
    """
    made = []
    for regime, found in results(records).items():
        for group in groups:
            for ranker in found.rankers:
                path = f"recall/{group.name}/{regime}/{ranker}"
                for metric in METRICS:
                    mean = found.mean(ranker, metric, group.matrices, group.over)
                    if mean.n:
                        made.append(_measure(f"{path}/{metric}", mean))
                if ranker != baseline:
                    made += _paired_measures(found, group, ranker, baseline, path)
    return [*made, *_seconds(records)]


def _paired_measures(found: Results, group: Group, ranker: str, baseline: str, path: str) -> Iterator[dict[str, Any]]:
    for metric in COMPARED:
        paired = found.paired(ranker, metric, group.matrices, group.over, baseline)
        if paired.difference.n:
            measure = f"{path}/{metric}_minus_{baseline}"
            yield _measure(measure, paired.difference)
            yield _measure(f"{measure}_p", Mean(paired.p, math.nan, paired.difference.n))


def _measure(measure: str, mean: Mean, unit: str = "1") -> dict[str, Any]:
    stderr = None if math.isnan(mean.stderr) else mean.stderr
    return {"measure": measure, "value": mean.value, "unit": unit, "n": mean.n, "stderr": stderr}


def _seconds(records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    spent: dict[str, list[float]] = {}
    for record in records:
        if record.state == "judged":
            spent.setdefault(f"recall/{record.matrix}/{record.regime}/{record.ranker}/seconds", []).append(
                record.seconds
            )
    for measure, seconds in spent.items():
        yield _measure(measure, Mean(sum(seconds) / len(seconds), math.nan, len(seconds)), "s")


def write(
    records: Sequence[Record], folder: Path, groups: Sequence[Group], head: Mapping[str, Any], baseline: str = "history"
) -> tuple[Path, ...]:
    """Writes `backtest.txt`, `backtest.json` (first `head`, then the measures), `backtest.png` and `backtest.svg`.

    The picture shows the first group, cold where that was run. Files appear whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = next(iter(results(records).values()), None)
    contents = {
        "backtest.txt": "\n".join(lines(records, groups, baseline)) + "\n",
        "backtest.json": json.dumps([dict(head), *measures(records, groups, baseline)], indent=1) + "\n",
    }
    written = [_replace(folder / name, text.encode()) for name, text in contents.items()]
    if found is not None:
        pictured = groups[0]
        written.append(_replace(folder / "backtest.png", chart.png(found, pictured.matrices, pictured.over, baseline)))
        drawing = chart.svg(found, pictured.matrices, pictured.over, baseline)
        written.append(_replace(folder / "backtest.svg", drawing.encode()))
    return tuple(written)


def _replace(path: Path, content: bytes) -> Path:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
    return path
