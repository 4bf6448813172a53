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

SHOWN = (
    tuple(f"regret{k}" for k in RANKS),
    ("pearson", "spearman", "weighted_tau", "ndcg10"),
    (*(f"hit{k}" for k in RANKS), "coverage90", "tie_win_rate"),
)
COMPARED = tuple(name for name in METRICS if name not in ("coverage90", "tie_win_rate"))
_IN_DIFFERENCES = (*SHOWN[0], "pearson", "weighted_tau")
_LEAST_NAME, _MOST_NAME, _WIDTH = 20, 40, 16
_SHORT = {
    **{f"{name}{k}": f"{name}@{k}" for name in ("regret", "hit") for k in RANKS},
    "weighted_tau": "weighted tau",
    "ndcg10": "NDCG@10",
    "coverage90": "in 90 % interval",
    "tie_win_rate": "first of a tie",
}
_NOTES = (
    "Means over n targets ± standard error. regret@k: best true score less the best of the first k, in units of best",
    "less median: 0 misses nothing, 1 is no better than the median model. Differences are paired, target by target;",
    "tie: at most one standard error; p: of a sign-flip test. in 90 % interval: share of true scores within; first of",
    "a tie: how often the first of two models called tied is the better one, .5 where ties are honest.",
)
_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Group:
    """Matrices that are averaged together; `matrices` None takes all, `over` the unit of the mean."""

    name: str
    matrices: Collection[str] | None = None
    over: Unit = "targets"


def lines(
    records: Sequence[Record],
    groups: Sequence[Group],
    baseline: str = "history",
    first: Sequence[str] = (),
    compared: Sequence[tuple[str, str]] = (),
) -> Iterator[str]:
    """Yields tables of means, and one of differences from the baseline, for each regime and group.

    The rankers in `first` are shown above the others; `compared` are further pairs (ranker, its own baseline).
    Failures follow, each once with the number of targets.
    """
    for regime, found in results(records).items():
        for group in groups:
            rankers = sorted(found.rankers, key=lambda name: first.index(name) if name in first else len(first))
            for metrics in SHOWN:
                yield from _means(regime, found, group, rankers, metrics)
            yield from _differences(regime, found, group, rankers, baseline)
            for ranker, other in compared:
                yield from _differences(regime, found, group, [ranker], other)
    yield from _NOTES
    yield from _failures(records)


def _means(regime: str, found: Results, group: Group, rankers: Sequence[str], metrics: Sequence[str]) -> Iterator[str]:
    rows = {ranker: [found.mean(ranker, name, group.matrices, group.over) for name in metrics] for ranker in rankers}
    shown = {ranker: means for ranker, means in rows.items() if any(one.n for one in means)}
    if not shown:
        return
    head = f"{group.name}, {regime}"
    name = _name_width([head, *shown])
    yield _row(head, "n", (_SHORT.get(metric, metric) for metric in metrics), name)
    for ranker, means in shown.items():
        yield _row(ranker, str(max(one.n for one in means)), map(_with_error, means), name)
    yield ""


def _differences(regime: str, found: Results, group: Group, rankers: Sequence[str], baseline: str) -> Iterator[str]:
    """How much less regret than the baseline in percent, and how much more agreement, each with tie and p."""
    rows = {
        ranker: [found.paired(ranker, name, group.matrices, group.over, baseline) for name in _IN_DIFFERENCES]
        for ranker in rankers
        if ranker != baseline
    }
    shown = {ranker: pairs for ranker, pairs in rows.items() if any(one.difference.n for one in pairs)}
    if not shown:
        return
    head = f"{group.name}, {regime}, less {baseline}"
    name = _name_width([head, *shown])
    yield _row(head, "n", (_SHORT.get(metric, metric) for metric in _IN_DIFFERENCES), name)
    for ranker, pairs in shown.items():
        n = str(max(one.difference.n for one in pairs))
        yield _row(ranker, n, map(_compared, _IN_DIFFERENCES, pairs), name)
    yield ""


def verdict(records: Sequence[Record], group: Group, ranker: str = "ours", baseline: str = "history") -> Iterator[str]:
    """Yields a sentence for each regime: at which k the ranker misses less than the baseline, or does not."""
    for regime, found in results(records).items():
        told: dict[str, list[str]] = {}
        for k in RANKS:
            paired = found.paired(ranker, f"regret{k}", group.matrices, group.over, baseline)
            if paired.difference.n:
                told.setdefault(_judged(paired), []).append(f"k={k}")
        if told:
            sides = "; ".join(f"{what} at {', '.join(ks)}" for what, ks in told.items())
            yield f"{regime}, {ranker} against {baseline}: {sides}"


def _judged(paired: Paired) -> str:
    if paired.is_tie:
        return "no difference to tell"
    side = "less regret" if paired.difference.value < 0 else "more regret"
    return side if paired.p < _SURE else f"{side}, perhaps by chance,"


def _compared(metric: str, paired: Paired) -> str:
    if not paired.difference.n:
        return "–"
    # In percent of the baseline, where there is anything to miss.
    relative = metric.startswith("regret") and math.isfinite(paired.relative)
    change = f"{paired.relative:+.0%}" if relative else f"{paired.difference.value:+.3f}"
    return f"{change} tie" if paired.is_tie else f"{change} p {_p(paired.p)}"


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _row(name: str, n: str, cells: Iterable[str], width: int) -> str:
    return f"{name[:width]:{width}}{n:>5}" + "".join(f"{cell:>{_WIDTH + 1}}" for cell in cells)


def _name_width(names: Iterable[str]) -> int:
    return min(_MOST_NAME, max(_LEAST_NAME, *map(len, names)))


def _with_error(mean: Mean) -> str:
    if not mean.n:
        return "–"
    return f"{mean.value:.3f}" + ("" if math.isnan(mean.stderr) else f" ± {mean.stderr:.3f}")


def _failures(records: Iterable[Record]) -> Iterator[str]:
    counted: dict[tuple[str, str | None], int] = {}
    for record in records:
        if record.state == "failed":
            key = record.ranker, record.reason
            counted[key] = counted.get(key, 0) + 1
    for (ranker, reason), n in counted.items():
        yield f"failed: {ranker} on {n} {'target' if n == 1 else 'targets'}: {reason}"


def rows(records: Sequence[Record], group: Group, baseline: str = "history") -> list[dict[str, Any]]:
    """A row of plain values for each regime, ranker and metric, None where undefined; see `Backtest.rows`."""
    made = []
    for regime, found in results(records).items():
        for ranker in found.rankers:
            for metric in METRICS:
                mean = found.mean(ranker, metric, group.matrices, group.over)
                if mean.n:
                    made.append({"regime": regime, "ranker": ranker, "metric": metric, **_plain(mean)})
                    made[-1] |= _plain_difference(found.paired(ranker, metric, group.matrices, group.over, baseline))
    return made


def _plain(mean: Mean) -> dict[str, Any]:
    return {"mean": mean.value, "stderr": None if math.isnan(mean.stderr) else mean.stderr, "n": mean.n}


def _plain_difference(paired: Paired) -> dict[str, Any]:
    difference = paired.difference
    if not difference.n:
        return dict.fromkeys(("difference", "difference_stderr", "p", "tie"))
    stderr = None if math.isnan(difference.stderr) else difference.stderr
    return {"difference": difference.value, "difference_stderr": stderr, "p": paired.p, "tie": paired.is_tie}


def measures(
    records: Sequence[Record],
    groups: Sequence[Group],
    baseline: str = "history",
    compared: Sequence[tuple[str, str]] = (),
) -> list[dict[str, Any]]:
    """`{measure, value, unit, n, stderr}` of each group, regime, ranker and metric, and of what it is above `baseline`.

    Measures are `recall/<group>/<regime>/<ranker>/<metric>`, with `_minus_<baseline>` for the paired difference and
    `_minus_<baseline>_p` for its p (see `summary.Paired`), and the same for the pairs `compared`; `seconds` is a
    ranker's mean time for one target.
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
                pairs = [(ranker, baseline)] if ranker != baseline else []
                for one, other in (*pairs, *(pair for pair in compared if pair[0] == ranker)):
                    made += _paired_measures(found, group, one, other, path)
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
    records: Sequence[Record],
    folder: Path,
    groups: Sequence[Group],
    head: Mapping[str, Any],
    baseline: str = "history",
    first: Sequence[str] = (),
    compared: Sequence[tuple[str, str]] = (),
) -> tuple[Path, ...]:
    """Writes `backtest.txt`, `backtest.json` (first `head`, then the measures), `backtest.png` and `backtest.svg`.

    The picture shows the first group, cold where that was run. Files appear whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = next(iter(results(records).values()), None)
    contents = {
        "backtest.txt": "\n".join(lines(records, groups, baseline, first, compared)) + "\n",
        "backtest.json": json.dumps([dict(head), *measures(records, groups, baseline, compared)], indent=1) + "\n",
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
