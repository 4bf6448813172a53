"""Trends to compare ours with: 2PS's clusters of past runs, and the power law through a curve's own points."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import least_squares

from selection.records import Clusters
from selection.trends import Curve, FloatArray, at_shares


def learn_clusters(curves: Sequence[Curve], shares: Sequence[float], n_clusters: int = 4) -> Clusters:
    """2PS's trends: for each model and share, 1-D k-means of its past fields by validation score at that share.

    A trend is (mean validation score, mean final score) of a cluster (2PS, section 4.1, K = 4; fewer where a model has
    fewer fields).
    """
    by_model: dict[str, list[Curve]] = {}
    for one in curves:
        by_model.setdefault(one.model, []).append(one)
    return {
        model: tuple(_stage([(at_shares(one, [share])[0], one.final) for one in runs], n_clusters) for share in shares)
        for model, runs in sorted(by_model.items())
    }


def clustered_final(clusters: Clusters, model: str, place: int, score: float) -> float:
    """The final score of the trend nearest to `score` at the share in this place; nan for a model without trends."""
    trends = clusters[model][place] if model in clusters else ()
    return min(trends, key=lambda trend: abs(trend[0] - score))[1] if trends else math.nan


def power_law_final(shares: Sequence[float], scores: Sequence[float]) -> float:
    """The score at share 1 of the power law a - b share^-c through a curve; its last score where points are under four.

    b and c are not negative: such a curve never falls (Hestness et al., arXiv 1712.00409; Domhan et al. 2015, pow3).
    """
    at, known = np.asarray(shares, dtype=float), np.asarray(scores, dtype=float)
    if len(at) < 4:
        return float(known[-1]) if len(known) else math.nan
    start = [known[-1] + 0.05, max(known[-1] - known[0], 0.01), 0.5]
    bounds = ([-np.inf, 0.0, 0.0], [np.inf, np.inf, 5.0])
    found = least_squares(
        lambda p: p[0] - p[1] * at ** -p[2] - known, start, bounds=bounds, loss="soft_l1", f_scale=0.02
    )
    return float(found.x[0] - found.x[1])


def _stage(points: Sequence[tuple[float, float]], n_clusters: int) -> tuple[tuple[float, float], ...]:
    """The trends of one stage: contiguous clusters of sorted scores with the least sum of squares (exact in 1-D)."""
    known = sorted((score, final) for score, final in points if math.isfinite(score) and math.isfinite(final))
    cuts = _best_cuts(np.array([score for score, _ in known]), min(n_clusters, len({score for score, _ in known})))
    parts = [known[low:high] for low, high in pairwise(cuts)]
    return tuple((sum(s for s, _ in part) / len(part), sum(f for _, f in part) / len(part)) for part in parts)


def _best_cuts(scores: FloatArray, k: int) -> list[int]:
    """Ends of the k clusters of sorted scores that k-means would find at best, by dynamic programming."""
    n = len(scores)
    if n == 0:
        return []
    sums, squares = np.r_[0.0, np.cumsum(scores)], np.r_[0.0, np.cumsum(scores**2)]

    def cost(low: int, high: int) -> float:
        return float(squares[high] - squares[low] - (sums[high] - sums[low]) ** 2 / (high - low))

    best: list[tuple[float, list[int]]] = [(cost(0, high), [0, high]) for high in range(1, n + 1)]
    for used in range(2, k + 1):
        best = [
            min(
                (best[middle - 1][0] + cost(middle, high), [*best[middle - 1][1], high])
                for middle in range(used - 1, high)
            )
            if high >= used
            else (math.inf, [])
            for high in range(1, n + 1)
        ]
    return best[-1][1]
