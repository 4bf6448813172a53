"""Ways to make a list of picks from past results: by history, by what a model reaches at its best, or to cover.

A list that covers holds a good model for each of the ways the target may turn out, rather than the k best means.
Knows nothing of which way is best; `choice` finds that out on the zoo itself.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from selection.recall.ability import Ability
from selection.recall.evidence import FloatArray, IntArray
from selection.recall.profiles import LEVEL_UNIT, Profiles

Policy = Literal["history", "expected", "upside", "tail", "cover"]

POLICIES: tuple[Policy, ...] = ("history", "expected", "upside", "tail", "cover")
MAX_COVER = 10
_POOL = 100
_DRAWS = 480
# Noise of a draw about the past dataset it starts from, in that dataset's own spread.
_NOISE = (0.1, 0.25, 0.5)
_OWN_SPREAD = 5.0
_BOLDNESS = 0.3
# Once all draws are covered, the better model goes first.
_UNCOVERED = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """What lists for one target are made from, of the models that may be picked.

    `profiles` (M, D) of the past datasets, the `weights` (D,) by which each counts, and the `chances` (D,) that the
    target turns out like it, in any unit; `ability` (M,) learnt from them, `expected` (M,) the mean believed of each
    model's z on the target, all evidence counted, and `moved` (M,) how far other evidence moved it from history.
    """

    profiles: Profiles
    weights: FloatArray
    chances: FloatArray
    ability: Ability
    expected: FloatArray
    moved: FloatArray


def make_lists(board: Board, seed: int = 0) -> dict[Policy, IntArray]:
    """Every policy's ranking (M,) of the board's models, best first; a list of k picks is its first k.

    history: the shrunken mean of past results. expected: all evidence. upside: expected, and what the model reaches
    at its best. tail: that alone. cover: greedily who lowers the expected regret of the best pick most.
    Equals are ranked as expected, then in the order given. Cost O(M D), plus drawing and covering.
    """
    expected = board.expected
    found: dict[Policy, IntArray] = {
        "history": _ranked(board.ability.mean, expected),
        "expected": _ranked(expected, expected),
    }
    if np.count_nonzero(board.weights[board.profiles.seen.any(axis=0)]) < 2:
        return {policy: found["history" if policy == "history" else "expected"] for policy in POLICIES}
    terms = _weighted_terms(board)
    moved = board.moved / max(float(terms[0].std()), 1e-9)
    standard = _standard(terms)
    upside = _standard(expected) + standard[3] + moved
    tail = _standard(standard.sum(axis=0)) + moved
    draws = _draw_targets(board, _ranked(tail, expected)[:_POOL], seed)
    covering = _covering(draws, upside, tail, _ranked(standard[1] + moved, expected))
    return found | {"upside": _ranked(upside, expected), "tail": _ranked(tail, expected), "cover": covering}


def _ranked(score: FloatArray, expected: FloatArray) -> IntArray:
    # Rounded, so that the order of summation never decides between equals.
    return np.lexsort((-np.round(expected, 9), -np.round(score, 9)))


def _standard(values: FloatArray) -> FloatArray:
    """Mean 0 and standard deviation 1 over the last axis; what does not differ becomes 0."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.maximum(values.std(axis=-1, keepdims=True), 1e-9))


def _weighted_terms(board: Board) -> FloatArray:
    """Each term's weighted mean over datasets (4, M), shrunk as far as the ability is to what is expected of it."""
    terms, seen, weights = board.profiles.terms, board.profiles.seen, board.weights
    weight = seen @ weights
    means = np.divide(terms @ weights, weight, out=np.zeros(terms.shape[:2]), where=weight > 0)
    slopes = board.profiles.along @ (weights > 0) / max(int(seen[:, weights > 0].sum()), 1)
    return np.asarray(board.ability.trust * means + np.outer(slopes, (1 - board.ability.trust) * board.ability.prior))


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Possible targets: the regret (P, S), at most 1, of the pool's models (P,) on each, and its weight (S,)."""

    pool: IntArray
    regret: FloatArray
    weight: FloatArray


def _draw_targets(board: Board, pool: IntArray, seed: int) -> _Draws:
    """Draws possible targets: a past dataset's levels with noise, where a level is missing the one expected."""
    cols, chances = _starts(np.flatnonzero(board.weights), board.chances)
    weights, seen = board.weights[cols], board.profiles.seen[:, cols]
    level = np.where(seen, board.profiles.level[:, cols], 0.0)
    count = seen.sum(axis=1)
    known = np.divide(level.sum(axis=1), count, out=np.zeros(len(count)), where=count > 0)
    trust = board.ability.trust
    usual = trust * known + (1 - trust) * (board.ability.prior / LEVEL_UNIT + level[seen].mean())
    level = np.where(seen, level, usual[:, None])
    left = level - (level @ weights / weights.sum())[:, None]
    left -= left.mean(axis=0)
    spread = left.std(axis=0)
    own = np.sqrt((((left / np.maximum(spread, 1e-9)) ** 2).sum(axis=1) + _OWN_SPREAD) / (len(cols) + _OWN_SPREAD))
    repeats = max(1, _DRAWS // (len(cols) * len(_NOISE)))
    start = np.tile(np.arange(len(cols)), repeats * len(_NOISE))
    noise = np.repeat(_NOISE, repeats * len(cols)) * spread[start]
    normal = np.random.default_rng(seed).standard_normal((len(pool), len(start)))
    drawn = level[pool][:, start] + board.moved[pool, None] / LEVEL_UNIT + own[pool, None] * noise * normal
    best = drawn.max(axis=0)
    # A level of 0 is the median of all models, the pool or not.
    regret = np.minimum(1.0, (best - drawn) / np.maximum(best, 1e-6))
    weight = chances[start]
    return _Draws(pool, regret, weight / weight.sum())


def _starts(cols: IntArray, chances: FloatArray) -> tuple[IntArray, FloatArray]:
    """The past datasets that draws start from, and their chances: of very many a systematic sample by chance."""
    most = _DRAWS // len(_NOISE)
    if len(cols) <= most:
        return cols, chances[cols]
    reached = np.cumsum(chances[cols])
    hit = np.searchsorted(reached, reached[-1] * (np.arange(most) + 0.5) / most)
    taken, count = np.unique(hit, return_counts=True)
    return cols[taken], count.astype(np.float64)


def _covering(draws: _Draws, first: FloatArray, tail: FloatArray, rest: IntArray) -> IntArray:
    """Greedy cover: the best by `first`, then who lowers the expected least regret most; the rest as ranked."""
    boldness = np.exp(_BOLDNESS * tail[draws.pool])
    left = np.ones(draws.regret.shape[1])
    picks = [int(first[draws.pool].argmax())]
    while True:
        left = np.minimum(left, draws.regret[picks[-1]])
        if len(picks) == min(MAX_COVER, len(draws.pool)):
            break
        gain = (np.maximum(left - draws.regret, 0) @ draws.weight + _UNCOVERED) * boldness
        gain[picks] = -1.0
        picks.append(int(gain.argmax()))
    covering = draws.pool[picks]
    return np.concatenate([covering, rest[~np.isin(rest, covering)]])
