"""Means over targets and over matrices, and paired tests against a baseline.

A target on which a measure is undefined (nan), or that a ranker is silent or failed on, is left out of that ranker's
mean, and of both sides where two rankers are compared.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo_graph.backtest.quality import METRICS, FloatArray
from zoo_graph.backtest.records import Record

Unit = Literal["targets", "matrices"]
_EXACT = 14  # from this many differences on (2^14 sign vectors) the test draws them at random
_N_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over n targets or matrices with its standard error (nan for one)."""

    value: float
    stderr: float
    n: int


@dataclass(frozen=True, slots=True)
class Paired:
    """A ranker less the baseline, on what both were judged on; `relative` is that in parts of the baseline's mean.

    `p` is two-sided, of a sign-flip test of the mean difference (Fisher's randomisation test; exact up to 14
    differences that are not 0, else by 20,000 random flips of a fixed seed): the differences need not be normal.
    """

    difference: Mean
    relative: float
    p: float

    @property
    def is_tie(self) -> bool:
        """Whether the difference is at most one standard error, or none is known."""
        return not abs(self.difference.value) > self.difference.stderr


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """The judged values of one regime: ranker -> metric -> (matrix, target) -> value; nan are left out."""

    regime: str
    values: Mapping[str, Mapping[str, Mapping[tuple[str, str], float]]]

    @property
    def rankers(self) -> tuple[str, ...]:
        """The rankers that were judged on anything."""
        return tuple(self.values)

    @property
    def matrices(self) -> tuple[str, ...]:
        """The matrices anything was judged on, in the order of the records."""
        keys = (key for metrics in self.values.values() for cells in metrics.values() for key in cells)
        return tuple(dict.fromkeys(matrix for matrix, _ in keys))

    def mean(self, ranker: str, metric: str, matrices: Collection[str] | None = None, over: Unit = "targets") -> Mean:
        """The ranker's mean over the targets of the given matrices (None: all), or over the matrices' means."""
        return mean_of(_units(self._cells(ranker, metric, matrices), over))

    def paired(
        self,
        ranker: str,
        metric: str,
        matrices: Collection[str] | None = None,
        over: Unit = "targets",
        baseline: str = "history",
    ) -> Paired:
        """The ranker less the baseline; over matrices, each matrix's mean difference is one."""
        ranked, plain = self._cells(ranker, metric, matrices), self._cells(baseline, metric, matrices)
        shared = [key for key in ranked if key in plain]
        differences = _units({key: ranked[key] - plain[key] for key in shared}, over)
        level = mean_of(_units({key: plain[key] for key in shared}, over)).value
        difference = mean_of(differences)
        return Paired(difference, difference.value / level if level else np.nan, sign_flip_p(differences))

    def _cells(self, ranker: str, metric: str, matrices: Collection[str] | None) -> Mapping[tuple[str, str], float]:
        cells = self.values.get(ranker, {}).get(metric, {})
        return {key: value for key, value in cells.items() if matrices is None or key[0] in matrices}


def results(records: Iterable[Record]) -> dict[str, Results]:
    """The records by regime, cold first."""
    found: dict[int, dict[str, dict[str, dict[tuple[str, str], float]]]] = defaultdict(dict)
    regimes: dict[int, str] = {}
    for record in records:
        if record.state == "judged":
            regimes[record.n_evaluated] = record.regime
            metrics = found[record.n_evaluated].setdefault(record.ranker, {name: {} for name in METRICS})
            for name, value in record.metrics.items():
                if np.isfinite(value):
                    metrics[name][record.matrix, record.target] = value
    return {regimes[n]: Results(regimes[n], found[n]) for n in sorted(found)}


def _units(cells: Mapping[tuple[str, str], float], over: Unit) -> FloatArray:
    """The values, or the mean of each matrix, in the order of the cells."""
    if over == "targets":
        return np.array(list(cells.values()))
    by_matrix: dict[str, list[float]] = defaultdict(list)
    for (matrix, _), value in cells.items():
        by_matrix[matrix].append(value)
    return np.array([float(np.mean(values)) for values in by_matrix.values()])


def mean_of(values: FloatArray) -> Mean:
    """Mean and standard error; nan of nothing."""
    n = len(values)
    stderr = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return Mean(float(values.mean()) if n else np.nan, stderr, n)


def sign_flip_p(differences: FloatArray) -> float:
    """Chance of a mean at least as far from 0 where each difference's sign is a coin's; 1 where all are 0, nan of none.

    >>> sign_flip_p(np.array([1.0, 2.0, 3.0]))
    0.25
    """
    if not len(differences):
        return np.nan
    # Sorted: workers bring their results in any order, and p must not depend on it.
    moved = np.sort(differences[differences != 0])
    if not len(moved):
        return 1.0
    observed = abs(float(moved.sum())) * (1 - 1e-12)
    if len(moved) <= _EXACT:
        signs = 1 - 2 * ((np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1)
        return float((np.abs(signs @ moved) >= observed).mean())
    # A fixed seed: the same differences always have the same p.
    signs = 1 - 2 * np.random.default_rng(0).integers(0, 2, size=(_N_DRAWS, len(moved)), dtype=np.int8)
    return float((1 + (np.abs(signs @ moved) >= observed).sum()) / (1 + _N_DRAWS))
