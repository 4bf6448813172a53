"""How good a model is, whatever the dataset: a shrunken mean of standardised results, with metadata as its prior.

The model of a standardised result: z_md = slope * size_m + family_f(m) + own_m + noise_md, a nested random-effects
model with variances learnt from the zoo itself. With no results it is the prior alone, so one code path serves the
empty zoo and the full one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selection.recall.evidence import BoolArray, FloatArray, IntArray
from selection.records import Candidate

# Prior knowledge for zoos too small to tell; each gives way to data. Sizes: published rankings put larger models
# ahead on average, weakly (arXiv 2510.06448). Variances: of a z-score's unit variance, most is noise and specialism.
_SLOPE, _SLOPE_SD = 0.15, 0.15
_NOISE, _OWN, _FAMILY = 0.6, 0.3, 0.1
_NOISE_DEGREES = 10.0
# From this median number of results on, whether metadata help is left to the zoo; below, it cannot tell.
_MANY_RESULTS = 5
_OWN_GRID = np.geomspace(0.01, 3.0, 15)
_FAMILY_GRID = np.geomspace(0.003, 2.0, 12)


@dataclass(frozen=True, slots=True)
class Columns:
    """Scores standardised per dataset: z (M, D), and the score of an average model and one unit of z (D,).

    A dataset with fewer than two results, or none that differ, tells nothing: its column is nan throughout.
    """

    z: FloatArray
    offset: FloatArray
    scale: FloatArray

    @property
    def usable(self) -> BoolArray:
        """Which datasets (D,) tell anything."""
        return ~np.isnan(self.scale)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known of the models before any result: size in spreads of log10 n_parameters, and a family code."""

    size: FloatArray
    size_known: BoolArray
    family: IntArray


@dataclass(frozen=True, slots=True)
class Variances:
    """Variances on the z-scale: of a result about the model's ability, of models in a family, of families."""

    noise: float = _NOISE
    own: float = _OWN
    family: float = _FAMILY


@dataclass(frozen=True, slots=True)
class Ability:
    """Posterior of each model's ability (M,) on the z-scale; `trust` is the share of it that own results decide,
    the rest being `prior`, which knows nothing of them."""

    mean: FloatArray
    variance: FloatArray
    prior: FloatArray
    trust: FloatArray
    n_results: FloatArray
    slope: float


def standardise(scores: FloatArray) -> Columns:
    """Standardises each column over the models measured there: mean 0, standard deviation 1."""
    seen = ~np.isnan(scores)
    count = seen.sum(axis=0)
    total = np.where(seen, scores, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.zeros(scores.shape[1]), where=count > 0)
    centred = np.where(seen, scores - mean, 0.0)
    spread = np.sqrt(np.divide((centred**2).sum(axis=0), count, out=np.zeros(scores.shape[1]), where=count > 0))
    tells = (count >= 2) & (spread > 1e-9 * np.maximum(1e-3, np.abs(mean)))
    scale = np.where(tells, spread, np.nan)
    return Columns(np.where(seen, centred, np.nan) / scale, np.where(tells, mean, np.nan), scale)


def recentre(columns: Columns, ability: FloatArray) -> Columns:
    """Corrects for who was measured: a dataset that only strong models were tried on is not harder for that.

    Moves each column so that its mean is the mean ability of the models measured there.
    """
    seen = ~np.isnan(columns.z)
    count = np.maximum(1, seen.sum(axis=0))
    plain = np.where(seen, columns.z, 0.0).sum(axis=0) / count
    shift = np.where(seen, ability[:, None], 0.0).sum(axis=0) / count - plain
    return Columns(columns.z + shift, columns.offset - shift * columns.scale, columns.scale)


def read_metadata(candidates: Sequence[Candidate]) -> Metadata:
    """Codes the candidates' size and family; an unknown family is a family of its own."""
    logs = np.array([np.log10(c.n_parameters) if c.n_parameters else np.nan for c in candidates])
    known = ~np.isnan(logs)
    size = np.zeros(len(logs))
    if known.any():
        # A spread below a factor of two is not blown up to a whole unit.
        size[known] = np.clip((logs[known] - logs[known].mean()) / max(0.3, float(logs[known].std())), -2.5, 2.5)
    names = [candidate.family.casefold() if candidate.family else None for candidate in candidates]
    codes = {name: code for code, name in enumerate(sorted({name for name in names if name}))}
    family = [codes[name] if name else len(codes) + index for index, name in enumerate(names)]
    return Metadata(size, known, np.unique(np.array(family, dtype=np.int64), return_inverse=True)[1].reshape(-1))


def learn_variances(z: FloatArray, metadata: Metadata) -> Variances:
    """Learns the variances by maximum a posteriori: noise from repeats of a model, the others by grid over the
    marginal likelihood of the models' means, with weak log-normal priors that decide in a tiny zoo. Cost O(M D)."""
    total, count = _sums(z)
    has = count > 0
    if not has.any():
        return Variances()
    y = total[has] / count[has]
    squares = float(np.nansum((z[has] - y[:, None]) ** 2))
    noise = (squares + _NOISE_DEGREES * _NOISE) / (float((count[has] - 1).sum()) + _NOISE_DEGREES)
    size, family = metadata.size[has], metadata.family[has]
    best, found = -np.inf, Variances(noise=noise)
    for own in _OWN_GRID:
        fit = _log_posterior(y, own + noise / count[has], size, family) - np.log(own / _OWN) ** 2 / 2
        if fit.max() > best:
            best = float(fit.max())
            found = Variances(noise, float(own), float(_FAMILY_GRID[int(fit.argmax())]))
    return found


def _log_posterior(y: FloatArray, variance: FloatArray, size: FloatArray, family: IntArray) -> FloatArray:
    """log p(y) at each value of `_FAMILY_GRID` (Sherman-Morrison per family), with the prior on it."""
    weight = 1 / variance
    residual = y - _slope(weight, size, y)[0] * size
    per_family = np.bincount(family, weight)
    pulls = np.bincount(family, weight * residual)
    grid = _FAMILY_GRID[:, None]
    inflation = 1 + grid * per_family
    fixed = np.log(variance).sum() + (weight * residual**2).sum()
    by_family = (np.log(inflation) - grid * pulls**2 / inflation).sum(axis=1)
    return np.asarray(-(fixed + by_family) / 2 - np.log(_FAMILY_GRID / _FAMILY) ** 2 / 2)


def _slope(weight: FloatArray, size: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Posterior mean and variance of the effect of one unit of size."""
    precision = float((weight * size**2).sum()) + _SLOPE_SD**-2
    return (float((weight * size * y).sum()) + _SLOPE * _SLOPE_SD**-2) / precision, 1 / precision


def fit_ability(total: FloatArray, count: FloatArray, metadata: Metadata, variances: Variances) -> Ability:
    """Fits every model's ability (M,) from the sum and number of its standardised results.

    The best linear unbiased prediction of the nested model, written as a prior that size and the *other* models
    of the family give, and the share (`trust`) by which a model's own mean replaces it. Grows with `total`.
    """
    y = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    weight = count / (count * variances.own + variances.noise)
    slope, slope_variance = _slope(weight, metadata.size, y)
    by_size = slope * metadata.size
    pull = weight * (y - by_size)
    precision = np.bincount(metadata.family, weight)[metadata.family] - weight + 1 / variances.family
    prior = by_size + (np.bincount(metadata.family, pull)[metadata.family] - pull) / precision
    doubt = variances.own + 1 / precision + slope_variance * metadata.size**2
    doubt = doubt + np.where(metadata.size_known, 0.0, slope**2)
    trust = count * doubt / (count * doubt + variances.noise)
    return Ability(prior + trust * (y - prior), doubt * (1 - trust), prior, trust, count, slope)


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
        ability = fit_ability(*_sums(columns.z), metadata, variances)
        columns = recentre(columns, ability.mean)
    total, count = _sums(columns.z)
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


def _sums(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.nansum(z, axis=1), (~np.isnan(z)).sum(axis=1).astype(np.float64)
