"""How good a model is, whatever the dataset: a shrunken mean of standardised results, with metadata as its prior.

The model of a standardised result: z_md = slope * size_m + family_f(m) + own_m + noise_md, a nested random-effects
model with variances learnt from the zoo itself. With no results it is the prior alone, so one code path serves the
empty zoo and the full one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selection.recall.columns import sums
from selection.recall.evidence import BoolArray, FloatArray, IntArray
from selection.records import Candidate

# Prior knowledge for zoos too small to tell; each gives way to data. Sizes: published rankings put larger models
# ahead on average, weakly (arXiv 2510.06448). Variances: of a z-score's unit variance, most is noise and specialism.
_SLOPE, _SLOPE_SD = 0.15, 0.15
_NOISE, _OWN, _FAMILY = 0.6, 0.3, 0.1
_NOISE_DEGREES = 10.0
_OWN_GRID = np.geomspace(0.01, 3.0, 15)
_FAMILY_GRID = np.geomspace(0.003, 2.0, 12)


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

    def of(self, rows: IntArray) -> "Ability":
        """Those of the models `rows`."""
        return Ability(
            self.mean[rows],
            self.variance[rows],
            self.prior[rows],
            self.trust[rows],
            self.n_results[rows],
            self.slope,
        )


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
    total, count = sums(z)
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
