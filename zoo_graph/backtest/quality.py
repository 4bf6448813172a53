"""How good a ranking was, once the truth is known: agreement, regret of what was picked, coverage of intervals.

Pure arrays. A model without a true score (nan) is not judged. Knows nothing of where rankings come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import comb

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

RANKS = (1, 3, 5, 10)
_NDCG_RANK = 10
METRICS = (
    "pearson",
    "spearman",
    "weighted_tau",
    "ndcg10",
    *(f"hit{k}" for k in RANKS),
    *(f"regret{k}" for k in RANKS),
    "coverage90",
    "tie_win_rate",
)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """What a ranker says of M models on one target.

    `order` are model indices, best first, each at most once; models it leaves out come last, in no order it is
    judged by. None: no preference, every order is as likely as another. `score` (M,) larger is better, nan where
    nothing is said; it need not agree with `order`, which says what to try. `lists` gives k -> the order to try where k
    models are tried, if another than `order`. `low` and `high` (M,) bound the true score at 90 %, in its unit. `tie`
    (M,) numbers groups of models said to be equal, -1 for none.
    """

    order: IntArray | None
    score: FloatArray | None = None
    low: FloatArray | None = None
    high: FloatArray | None = None
    tie: IntArray | None = None
    lists: Mapping[int, IntArray] = field(default_factory=dict)


def by_score(score: FloatArray) -> Ranking:
    """The ranking by descending score; equal ones in the order given, nan last; no preference where all are equal."""
    known = score[~np.isnan(score)]
    if not len(known) or bool((known == known[0]).all()):
        return Ranking(None, score)
    return Ranking(np.argsort(-score, kind="stable"), score)


def quality(ranking: Ranking, truth: FloatArray, shown: BoolArray | None = None) -> dict[str, float]:
    """Judges a ranking by the true scores (M,), nan where unknown; the measures are `METRICS`, nan where undefined.

    Correlations, NDCG and coverage are over the models not `shown`: the ranker was told those results. `regret<k>` and
    `hit<k>` are of the best among the shown ones *and* the k models it puts first of the others, by its list for k
    where it has one. With fewer than k models to judge, all count as tried.
    """
    hidden = np.zeros(len(truth), dtype=np.bool_) if shown is None else shown & ~np.isnan(truth)
    judged = np.flatnonzero(~np.isnan(truth) & ~hidden)
    found = dict.fromkeys(METRICS, np.nan)
    if not len(judged):
        return found
    told = float(truth[hidden].max()) if hidden.any() else -np.inf
    found |= _agreement(ranking.score, truth, judged) | _picks(ranking, truth, judged, told)
    # Regret is in units of the whole column: what is shown does not change what a good model is worth.
    best, middle = float(np.nanmax(truth)), float(np.nanmedian(truth))
    for k in RANKS:
        found[f"regret{k}"] = found[f"regret{k}"] / (best - middle) if best > middle else np.nan
    found["coverage90"] = coverage(ranking.low, ranking.high, truth, judged)
    found["tie_win_rate"] = tie_win_rate(ranking, truth, judged)
    return found


def _agreement(score: FloatArray | None, truth: FloatArray, judged: IntArray) -> dict[str, float]:
    rows = judged[~np.isnan(score[judged])] if score is not None else judged
    x, y = (np.zeros(len(rows)) if score is None else score[rows]), truth[rows]
    if len(rows) < 2 or np.ptp(y) == 0:
        return {}
    if np.ptp(x) == 0:
        return {"pearson": 0.0, "spearman": 0.0, "weighted_tau": 0.0}  # nothing is said: nothing agrees
    return {"pearson": pearson(x, y), "spearman": spearman(x, y), "weighted_tau": weighted_tau(x, y)}


def pearson(x: FloatArray, y: FloatArray) -> float:
    """Pearson's correlation of two vectors that vary."""
    a, b = x - x.mean(), y - y.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Pearson's correlation of the ranks, ties at their mean rank."""
    return pearson(_mean_ranks(x), _mean_ranks(y))


def _mean_ranks(values: FloatArray) -> FloatArray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return np.asarray((ends - (count - 1) / 2)[place.reshape(-1)])


def weighted_tau(x: FloatArray, y: FloatArray) -> float:
    """Kendall's tau with hyperbolic weights, the mean of ranking by either (Vigna 2015), as scipy has it."""
    from scipy.stats import weightedtau

    return float(weightedtau(x, y).statistic)


def _picks(ranking: Ranking, truth: FloatArray, judged: IntArray, told: float) -> dict[str, float]:
    """NDCG, hits, and the best score still missed by the first k, not normalised."""
    best = float(np.nanmax(truth))
    if ranking.order is None:
        return _picks_at_random(truth[judged], best, told)
    found = {"ndcg10": ndcg(truth[_in_order(ranking.order, truth, judged)])}
    for k in RANKS:
        tried = truth[_in_order(ranking.lists.get(k, ranking.order), truth, judged)[:k]]
        reached = max(float(tried.max()), told)
        found |= {f"hit{k}": float(reached >= best), f"regret{k}": best - reached}
    return found


def _in_order(order: IntArray, truth: FloatArray, judged: IntArray) -> IntArray:
    """The judged models as the order has them, those it leaves out last."""
    place = np.full(len(truth), len(truth))
    place[order] = np.arange(len(order))
    return np.asarray(judged[np.argsort(place[judged], kind="stable")])


def ndcg(tried: FloatArray, rank: int = _NDCG_RANK) -> float:
    """NDCG of true scores in the order tried: gains are scores scaled to [0, 1] on the target, so linear; nan if equal.

    Järvelin and Kekäläinen 2002, discount 1 / log2(1 + place).
    """
    if np.ptp(tried) == 0:
        return np.nan
    gains = (tried - tried.min()) / np.ptp(tried)
    discount = _discounts(len(gains), rank)
    return float(gains[: len(discount)] @ discount / (np.sort(gains)[::-1][: len(discount)] @ discount))


def _discounts(n: int, rank: int) -> FloatArray:
    return np.asarray(1 / np.log2(np.arange(2, 2 + min(n, rank))))


def _picks_at_random(tried: FloatArray, best: float, told: float) -> dict[str, float]:
    """The exact expectation over all orders: place i (from 0) is the best of k with chance C(n-1-i, k-1) / C(n, k)."""
    ranked = np.sort(tried)[::-1]
    n = len(ranked)
    found = {}
    if np.ptp(ranked):
        gains = (ranked - ranked[-1]) / np.ptp(ranked)
        discount = _discounts(n, _NDCG_RANK)
        found["ndcg10"] = float(gains.mean() * discount.sum() / (gains[: len(discount)] @ discount))
    reached = np.maximum(ranked, told)
    for k in RANKS:
        k_tried = min(k, n)
        chance = np.array([comb(n - 1 - i, k_tried - 1) / comb(n, k_tried) for i in range(n)])
        found |= {f"hit{k}": float(chance @ (reached >= best)), f"regret{k}": best - float(chance @ reached)}
    return found


def coverage(low: FloatArray | None, high: FloatArray | None, truth: FloatArray, judged: IntArray) -> float:
    """Share of the judged models whose true score lies within its interval (ends included); nan without intervals."""
    if low is None or high is None:
        return np.nan
    rows = judged[np.isfinite(low[judged]) & np.isfinite(high[judged])]
    inside = (truth[rows] >= low[rows]) & (truth[rows] <= high[rows])
    return float(inside.mean()) if len(rows) else np.nan


def tie_win_rate(ranking: Ranking, truth: FloatArray, judged: IntArray) -> float:
    """How often the model tried first of two said to be equal is truly better; a true tie counts half.

    About .5 where ties are honest; nan where no two are said to be equal.
    """
    if ranking.tie is None or ranking.order is None:
        return np.nan
    kept = np.zeros(len(truth), dtype=np.bool_)
    kept[judged] = True
    order = ranking.order[kept[ranking.order]]
    won = pairs = 0.0
    for group in np.unique(ranking.tie[order]):
        members = truth[order[ranking.tie[order] == group]]
        if group >= 0 and len(members) > 1:
            first, second = np.triu_indices(len(members), 1)
            won += float((members[first] > members[second]).sum() + (members[first] == members[second]).sum() / 2)
            pairs += len(first)
    return won / pairs if pairs else np.nan
