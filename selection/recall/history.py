"""What the zoo's results say of every model, with each dataset left out in turn: what all calibration stands on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from selection.recall.ability import Ability, Metadata, Variances, fit_ability, learn_variances, read_metadata
from selection.recall.columns import Columns, recentre, standardise, sums
from selection.recall.evidence import BoolArray, FloatArray, IntArray
from selection.recall.similarity import Relations
from selection.records import Candidate

# From this median number of results on, whether metadata help is left to the zoo; below, it cannot tell.
_MANY_RESULTS = 5
# How strongly datasets may be preferred that should rank models as the target does.
_STRENGTHS = (0.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class History:
    """What the zoo's results say: abilities from all datasets, and again with each of the D datasets left out.

    `described` tells whether size and family count for models that have results, or only for those without.
    `strength` is how far datasets like the target count more (`Relations.emphasised`); None: all count the same.
    """

    columns: Columns
    metadata: Metadata
    variances: Variances
    ability: Ability
    left_out: tuple[Ability, ...]
    described: bool
    strength: float | None = None


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
    alone = _learn(scores, undescribed(len(candidates)))
    if _mean_regret(scores, with_prior) < _mean_regret(scores, alone):
        return with_prior
    left_out = tuple(map(_where_measured, alone.left_out, with_prior.left_out))
    ability = _where_measured(alone.ability, with_prior.ability)
    return History(alone.columns, metadata, alone.variances, ability, left_out, described=False)


def weigh_history(history: History, relations: Relations) -> History:
    """The history with its datasets weighted by `relations`, if left-out datasets were told better that way.

    The gain in squared error on z must pass one standard error over datasets; the best of the strengths tried is taken.
    """
    usable = np.flatnonzero(history.columns.usable)
    if len(usable) < _MANY_RESULTS:
        return history
    plain = _errors(history, usable)
    best, found = 0.0, history
    for strength in _STRENGTHS:
        weighted = _weighted(history, relations, strength)
        saved = plain - _errors(weighted, usable)
        if float(saved.mean()) > max(best, float(saved.std(ddof=1)) / np.sqrt(len(saved))):
            best, found = float(saved.mean()), weighted
    return found


def _weighted(history: History, relations: Relations, strength: float) -> History:
    """Every ability again, from weighted sums: a mean counts as the (sum of weights)^2 / sum of squares of results."""
    rows = range(len(relations.weight))
    weights = np.stack([relations.emphasised(strength, row) for row in rows], axis=1)  # (D, D + 1)
    seen = ~np.isnan(history.columns.z)
    weight, squares = seen @ weights, seen @ weights**2
    count = np.divide(weight**2, squares, out=np.zeros_like(weight), where=squares > 0)
    total = np.divide(
        np.where(seen, history.columns.z, 0.0) @ weights, weight, out=np.zeros_like(weight), where=weight > 0
    )
    fitted = [
        _refit(history, old, total[:, row] * count[:, row], count[:, row])
        for row, old in enumerate((*history.left_out, history.ability))
    ]
    return replace(history, ability=fitted[-1], left_out=tuple(fitted[:-1]), strength=strength)


def _refit(history: History, old: Ability, total: FloatArray, count: FloatArray) -> Ability:
    """Refits the models that have results; what was believed of the others stands."""
    metadata = history.metadata if history.described else undescribed(len(total))
    fitted = fit_ability(total, count, metadata, history.variances)
    return _where_measured(replace(fitted, n_results=old.n_results), old)


def _errors(history: History, usable: IntArray) -> FloatArray:
    """Mean squared error of z on each usable dataset left out, its level apart."""
    missed = history.columns.z - np.stack([ability.mean for ability in history.left_out], axis=1)
    return np.asarray(np.nanvar(missed[:, usable], axis=0))


def undescribed(models: int) -> Metadata:
    """Metadata that tells nothing: one size, one family."""
    return Metadata(np.zeros(models), np.ones(models, dtype=np.bool_), np.zeros(models, dtype=np.int64))


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
