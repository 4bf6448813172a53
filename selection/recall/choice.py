"""Which way of making the list to trust, found out on the zoo itself: every past dataset is left out in turn.

No way is best everywhere: a list that covers gains where winners differ in kind and loses where they do not. So each
is tried on past datasets, and departs from history only as far as it helped there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selection.recall.evidence import FloatArray, IntArray
from selection.recall.lists import POLICIES, Board, Policy, make_lists

# Expected share of history's regret that a way saves for more than one pick, and how far zoos differ (one standard
# deviation). From published zoos of 4 to 100 datasets (text embeddings other than classification, multilingual
# retrieval), none of them among the benchmark's 181 targets, but many among its further 234. For one pick less.
_USUAL_GAIN: Mapping[Policy, float] = {"expected": 0.08, "upside": 0.12, "tail": 0.1, "cover": 0.15}
_USUAL_GAIN_OF_ONE: Mapping[Policy, float] = {"expected": 0.05, "upside": 0.08, "tail": 0.0, "cover": 0.0}
_ZOOS_DIFFER = 0.3
# Regret on one dataset is heavy-tailed: none counts more than this, and some variance is never ruled out.
_WORST, _DATASETS_DIFFER = 2.0, 0.3
_LEAST_REGRET = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """A past dataset as it would have been recalled for: its board, and the scores (M,) found there (nan unknown)."""

    board: Board
    scores: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The list chosen: all models (M,), picks first, by which policy, and the share of history's regret that it is
    believed to save (`gain`, with its standard deviation), judged on `n_datasets` past ones."""

    order: IntArray
    policy: Policy
    gain: float
    deviation: float
    n_datasets: int


def regret(order: IntArray, scores: FloatArray, k: int) -> float:
    """(best - best of the first k) / (best - median) among the models with a score; nan where all are equal.

    A model without a score takes no place.
    """
    known = scores[order]
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return float("nan")
    best, middle = float(known.max()), float(np.median(known))
    return (best - float(known[:k].max())) / (best - middle) if best > middle else float("nan")


def choose(board: Board, past: Sequence[Replay], ks: Sequence[int], seed: int = 0) -> dict[int, Choice]:
    """Chooses for each number of picks in `ks` the policy believed to save most of history's regret.

    The belief starts at what the policy gained on other zoos and moves to what it gains on this one's datasets, as
    fast as those agree. Equal policies: the one earlier in `POLICIES`.
    """
    lists = make_lists(board, seed)
    tried, share = _try(past, ks, seed), _measured_share(board)
    found = {}
    for place, k in enumerate(ks):
        beliefs = {policy: _gain(policy, tried[:, :, place], _usual_gain(policy, k, share)) for policy in POLICIES}
        best = max(POLICIES, key=lambda policy: round(beliefs[policy][0], 9))
        same: tuple[Policy, ...] = ("history", "expected")
        best = next((policy for policy in same if np.array_equal(lists[best][:k], lists[policy][:k])), best)
        judged = len(tried) if k < len(lists[best]) else 0  # who picks all has nothing to choose
        found[k] = Choice(lists[best], best, *beliefs[best], n_datasets=judged)
    return found


def _try(past: Sequence[Replay], ks: Sequence[int], seed: int) -> FloatArray:
    """Regrets (N, policies, ks) of every policy on the past datasets that tell any."""
    rows = []
    for replay in past:
        lists = make_lists(replay.board, seed)
        row = [[regret(lists[policy], replay.scores, k) for k in ks] for policy in POLICIES]
        if not np.isnan(row).any():
            rows.append(row)
    return np.asarray(np.minimum(np.array(rows).reshape(len(rows), len(POLICIES), len(ks)), _WORST))


def _measured_share(board: Board) -> float:
    """Share of the cells known, of models with any result on datasets that count."""
    seen = board.profiles.seen[:, board.weights > 0]
    seen = seen[seen.any(axis=1)]
    return float(seen.mean()) if seen.size else 0.0


def _usual_gain(policy: Policy, k: int, measured: float) -> float:
    """What models reach at best, and where, is only known as far as they were measured on the same datasets."""
    usual = (_USUAL_GAIN if k > 1 else _USUAL_GAIN_OF_ONE).get(policy, 0.0)
    return usual if policy == "expected" else usual * measured**0.5


def _gain(policy: Policy, regrets: FloatArray, usual: float) -> tuple[float, float]:
    """Posterior mean and standard deviation of the share of history's regret that a policy saves, from regrets (N,
    policies): normal, about the gain `usual` on other zoos.

    It is learnt as a share of the mean of both regrets, which neither a loss nor a gain can blow up.
    """
    if policy == "history":
        return 0.0, 0.0
    precision = _ZOOS_DIFFER**-2
    pull = precision * usual / (1 - usual / 2)
    if len(regrets) > 1:
        history = regrets[:, POLICIES.index("history")]
        other = regrets[:, POLICIES.index(policy)]
        saved = (history - other) / max(float(history.mean() + other.mean()) / 2, _LEAST_REGRET)
        sure = len(saved) / (float(saved.var(ddof=1)) + _DATASETS_DIFFER)
        precision, pull = precision + sure, pull + sure * float(saved.mean())
    gain = max(pull / precision, -1.0)
    return gain / (1 + gain / 2), precision**-0.5 / (1 + gain / 2) ** 2
