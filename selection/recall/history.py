"""What the zoo's results say of every model, with each dataset left out in turn: what all calibration stands on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selection.recall.ability import Ability, Metadata, Variances, fit_ability, learn_variances, read_metadata
from selection.recall.columns import Columns, recentre, standardise, sums
from selection.recall.evidence import BoolArray, FloatArray
from selection.records import Candidate

# From this median number of results on, whether metadata help is left to the zoo; below, it cannot tell.
_MANY_RESULTS = 5


@dataclass(frozen=True, slots=True)
class History:
    """What the zoo's results say: abilities from all datasets, and again with each of the D datasets left out.

    `described` tells whether size and family count for models that have results, or only for those without.
    """

    columns: Columns
    metadata: Metadata
    variances: Variances
    ability: Ability
    left_out: tuple[Ability, ...]
    described: bool


def learn_history(scores: FloatArray, candidates: Sequence[Candidate]) -> History:
    """Learns abilities from scores (M, D), nan where not measured. Cost O(M D).

    Size and family are a prior for all models, unless models have many results and the left-out datasets'
    regret is no better for it: among models measured everywhere a prior only blurs the top.
    """
    metadata = read_metadata(candidates)
    with_prior = _learn(scores, metadata)
    counts = with_prior.ability.n_results
    if not (counts > 0).any() or float(np.median(counts[counts > 0])) < _MANY_RESULTS:
        return with_prior
    models = len(candidates)
    alone = _learn(
        scores, Metadata(np.zeros(models), np.ones(models, dtype=np.bool_), np.zeros(models, dtype=np.int64))
    )
    if _mean_regret(scores, with_prior) < _mean_regret(scores, alone):
        return with_prior
    left_out = tuple(map(_where_measured, alone.left_out, with_prior.left_out))
    ability = _where_measured(alone.ability, with_prior.ability)
    return History(alone.columns, metadata, alone.variances, ability, left_out, described=False)


def _learn(scores: FloatArray, metadata: Metadata) -> History:
    columns = standardise(scores)
    for _ in range(3):
        variances = learn_variances(columns.z, metadata)
        ability = fit_ability(*sums(columns.z), metadata, variances)
        columns = recentre(columns, ability.mean)
    total, count = sums(columns.z)
    ability = fit_ability(total, count, metadata, variances)
    seen = ~np.isnan(columns.z)
    filled = np.where(seen, columns.z, 0.0)
    left_out = tuple(
        fit_ability(total - filled[:, d], count - seen[:, d], metadata, variances) for d in range(scores.shape[1])
    )
    return History(columns, metadata, variances, ability, left_out, described=True)


def _mean_regret(scores: FloatArray, history: History) -> float:
    """Regret after the best 1, 3, 5 and 10 by left-out ability, in units of best - median, mean over datasets."""
    regrets = [
        _regret(history.left_out[d].mean, scores[:, d], ~np.isnan(scores[:, d]))
        for d in np.flatnonzero(history.columns.usable)
    ]
    return round(float(np.mean(regrets)), 9)


def _regret(ability: FloatArray, scores: FloatArray, seen: BoolArray) -> float:
    found = scores[seen][np.argsort(-ability[seen], kind="stable")]
    best = float(found.max())
    reached = np.array([found[:k].max() for k in (1, 3, 5, 10)])
    return float((best - reached).mean()) / max(best - float(np.median(found)), 1e-9 * max(abs(best), 1e-3))


def _where_measured(measured: Ability, unmeasured: Ability) -> Ability:
    """The first for models with results, the second for those without."""
    has = measured.n_results > 0

    def choose(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.where(has, a, b)

    return Ability(
        mean=choose(measured.mean, unmeasured.mean),
        variance=choose(measured.variance, unmeasured.variance),
        prior=choose(measured.prior, unmeasured.prior),
        trust=choose(measured.trust, unmeasured.trust),
        n_results=measured.n_results,
        slope=unmeasured.slope,
    )
