"""From beliefs on the z-scale to scores on the target with intervals that keep their word on the zoo.

A cold target's level and spread are themselves uncertain; results measured on it fix them, and move the other
models as far as their past residuals went together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import norm, t

from selection.recall.columns import Columns
from selection.recall.evidence import BoolArray, FloatArray, IntArray
from selection.recall.stacking import Belief

# Repeated fine-tunes of one model differ by .0055 (SD) where datasets spread by about .06.
_REPEAT_SD = 0.1
# Pseudo-datasets of independence in the models' shared residuals: fewer let chance agreement carry surprises along.
_INDEPENDENCE = 20.0
# The level of a fraction on an unseen dataset where one other is known, at least (SD; .21 over the demo zoo's tasks).
_LEVEL_SD = 0.2
_MIN_LEVELS = 5
# Past datasets that widths are learnt from: more would change the third digit, and cost models x datasets each.
_REPLAYED = 200
_SPREAD_GRID = np.exp(np.linspace(-1.5, 1.5, 13))


@dataclass(frozen=True, slots=True)
class Unit:
    """The target's score of an average model, and of one unit of z, each with its uncertainty (variances)."""

    offset: float
    offset_variance: float
    spread: float
    spread_variance: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Results expected on the target (M,): on the z-scale, and in score units (`score`, `score_sd`)."""

    mean: FloatArray
    sd: FloatArray
    score: FloatArray
    score_sd: FloatArray


@dataclass(frozen=True, slots=True)
class Calibration:
    """Widths that held on the source datasets, in standard deviations: below and above a score, and of z."""

    low: float
    high: float
    z: float
    n_datasets: int


@dataclass(frozen=True, slots=True)
class Levels:
    """Each proxy's mean over the models it was computed for on the target: on past datasets (J, D), and there (J,).

    A probe's accuracy tells how hard a dataset is, however little it may tell of who wins there.
    """

    past: FloatArray
    target: FloatArray

    @classmethod
    def of(cls, proxies: Mapping[str, FloatArray], past_proxies: Mapping[str, FloatArray]) -> "Levels | None":
        """Means over the same models on every dataset, those with the longest past (nan where one has no score).

        None if no proxy has a past.
        """
        rows = {}
        for name in sorted({*proxies} & {*past_proxies}):
            seen = np.isfinite(past_proxies[name]).sum(axis=1) * np.isfinite(proxies[name])
            rows[name] = (seen == seen.max()) & (seen > 0)
        names = [name for name, computed in rows.items() if computed.any()]
        if not names:
            return None
        return cls(
            np.stack([past_proxies[name][rows[name]].mean(axis=0) for name in names]),
            np.array([proxies[name][rows[name]].mean() for name in names]),
        )


def learn_unit(
    columns: Columns, left_out: int | None = None, levels: Levels | None = None, comparable: BoolArray | None = None
) -> Unit | None:
    """Expects of a new dataset the mean offset and spread of the others; None without a usable dataset.

    Only `comparable` (D,) datasets count (None: all), those whose scores are in one unit.

    Where a proxy's level on past datasets told their offset better than the mean of the others did, each left out
    in turn, the offset is regressed on it.
    """
    usable = columns.usable if comparable is None else columns.usable & comparable
    usable = usable.copy()
    if left_out is not None:
        usable[left_out] = False
    offsets, spreads = columns.offset[usable], columns.scale[usable]
    if not len(offsets):
        return None
    inflation = 1 + 1 / len(offsets)
    offset, spread = float(offsets.mean()), float(spreads.mean())
    if len(offsets) == 1:
        floor = _LEVEL_SD if 0 <= offset <= 1 else 0.0
        return Unit(offset, max(2 * spread, floor) ** 2, spread, spread**2 / 4)
    spread_variance = float(spreads.var(ddof=1)) * inflation
    if levels is not None:
        here = levels.target if left_out is None else levels.past[:, left_out]
        found = _regressed(offsets, levels.past[:, usable], here)
        if found is not None:
            return Unit(*found, spread, spread_variance)
    return Unit(offset, float(offsets.var(ddof=1)) * inflation, spread, spread_variance)


def _regressed(offsets: FloatArray, past: FloatArray, here: FloatArray) -> tuple[float, float] | None:
    """The offset expected at the level `here` (J,) of the proxy that told the others' best, and its variance."""
    best, found = np.inf, None
    for x, at in zip(past, here, strict=True):
        known = np.isfinite(x)
        if not np.isfinite(at) or known.sum() < _MIN_LEVELS:
            continue
        centred, y = x[known] - x[known].mean(), offsets[known]
        squares = float(centred @ centred)
        if squares <= 1e-12:
            continue
        slope = float(centred @ y) / squares
        if (1 - 1 / len(y) - centred**2 / squares).min() < 1e-9:
            continue  # one dataset alone makes the slope: left out, there is none
        # Left-out residuals of a regression are its own over 1 - leverage (Allen's PRESS).
        missed = (y - y.mean() - slope * centred) / (1 - 1 / len(y) - centred**2 / squares)
        plain = (y - y.mean()) * len(y) / (len(y) - 1)
        error = float((missed**2).mean())
        if error < min(best, float((plain**2).mean())):
            step = float(at - x[known].mean())
            best, found = error, (float(y.mean()) + slope * step, error * (1 + step**2 / squares))
    return found


def shared_residuals(residuals: FloatArray) -> FloatArray:
    """Loadings L (M, D) with L L' the correlation that models share, from scaled residuals; nan counts as none."""
    filled = np.nan_to_num(residuals)
    return np.asarray(filled / np.sqrt((filled**2).sum(axis=1, keepdims=True) + _INDEPENDENCE))


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of one target: beliefs (M,), its unit, what models share (M, D), results on it (M,; nan = none)."""

    belief: Belief
    unit: Unit
    loadings: FloatArray
    measured: FloatArray

    @property
    def known(self) -> IntArray:
        """Indices of the k models measured on the target."""
        return np.flatnonzero(~np.isnan(self.measured))

    def shared(self) -> FloatArray:
        """Covariance (M, k) of every model's z with that of each known model."""
        known = self.known
        covariance = (self.loadings @ self.loadings[known].T) * self.belief.sd[:, None] * self.belief.sd[known]
        covariance[known, np.arange(len(known))] = self.belief.sd[known] ** 2
        return np.asarray(covariance)


def predict(target: Target) -> Prediction:
    """Predicts every model's result, given those measured on the target. Cost O(M D k) for k measured.

    Gaussian conditioning of score = offset + spread z, cov(z) = sd sd' * (L L' off the diagonal, 1 on it).
    The spread is the most probable of a grid under the sources' spread, the offset is integrated out.
    """
    belief, unit, known = target.belief, target.unit, target.known
    if not len(known):
        variance = unit.offset_variance + (unit.spread * belief.sd) ** 2 + unit.spread_variance * belief.mean**2
        return Prediction(belief.mean, belief.sd, unit.offset + unit.spread * belief.mean, np.sqrt(variance))
    shared = target.shared()
    spread = _most_probable_spread(target, shared[known])
    factor = cho_factor(_covariance(shared[known], unit, spread), lower=True)
    surprise = cho_solve(factor, target.measured[known] - unit.offset - spread * belief.mean[known])
    explained = spread**2 * (cho_solve(factor, shared.T).T * shared).sum(axis=1)
    joint = unit.offset_variance + spread**2 * shared
    variance = unit.offset_variance + (spread * belief.sd) ** 2 - (cho_solve(factor, joint.T).T * joint).sum(axis=1)
    return Prediction(
        mean=belief.mean + spread * shared @ surprise,
        sd=np.sqrt(np.maximum(belief.sd**2 - explained, _REPEAT_SD**2 / 2)),
        score=unit.offset + spread * belief.mean + joint @ surprise,
        score_sd=np.sqrt(np.maximum(variance, (spread * _REPEAT_SD) ** 2 / 2)),
    )


def draw(target: Target, n_draws: int, generator: np.random.Generator) -> FloatArray:
    """Draws (n_draws, M) joint z of all models from the posterior, by Matheron's rule. Cost O(n M (D + k))."""
    belief, loadings = target.belief, target.loadings
    own = np.sqrt(1 - (loadings**2).sum(axis=1))
    noise = generator.standard_normal((n_draws, len(own))) * own
    noise += generator.standard_normal((n_draws, loadings.shape[1])) @ loadings.T
    z = belief.mean + belief.sd * noise
    known = target.known
    if not len(known):
        return np.asarray(z)
    shared = target.shared()
    spread = _most_probable_spread(target, shared[known])
    offsets = target.unit.offset + np.sqrt(target.unit.offset_variance) * generator.standard_normal((n_draws, 1))
    repeats = z[:, known] + _REPEAT_SD * generator.standard_normal((n_draws, len(known)))
    factor = cho_factor(_covariance(shared[known], target.unit, spread), lower=True)
    surprise = target.measured[known] - offsets - spread * repeats
    return np.asarray(z + spread * cho_solve(factor, surprise.T).T @ shared.T)


def _covariance(shared: FloatArray, unit: Unit, spread: float) -> FloatArray:
    return unit.offset_variance + spread**2 * (shared + _REPEAT_SD**2 * np.eye(len(shared)))


def _most_probable_spread(target: Target, shared: FloatArray) -> float:
    unit, values, mean = target.unit, target.measured[target.known], target.belief.mean[target.known]
    log_sd = np.sqrt(np.log1p(unit.spread_variance / unit.spread**2) + 0.01)
    fits = []
    for factor in _SPREAD_GRID:
        spread = unit.spread * factor
        chol = cho_factor(_covariance(shared, unit, spread), lower=True)
        surprise = values - unit.offset - spread * mean
        misfit = np.log(np.diag(chol[0])).sum() + surprise @ cho_solve(chol, surprise) / 2
        fits.append(-misfit - (np.log(factor) / log_sd) ** 2 / 2)
    return float(unit.spread * _SPREAD_GRID[int(np.argmax(fits))])


def calibrate(
    beliefs: list[Belief],
    scores: FloatArray,
    columns: Columns,
    residuals: FloatArray,
    warm: FloatArray,
    level: float,
    levels: Levels | None = None,
    comparable: BoolArray | None = None,
) -> Calibration:
    """Replays the prediction on source datasets left out, at most 200, and takes the quantiles of what it missed by.

    `warm` (M,) says which models count as measured there, as on the target. Each dataset weighs the same, and the
    widths are enlarged by Student's over the normal quantile for the number of datasets: what must hold is a new
    dataset, not a new cell.
    """
    missed, missed_z, weights = [], [], []
    usable = np.flatnonzero(columns.usable if comparable is None else columns.usable & comparable)
    for d in usable[np.unique(np.linspace(0, len(usable) - 1, min(len(usable), _REPLAYED)).astype(int))]:
        unit = learn_unit(columns, int(d), levels, comparable)
        if unit is None:
            continue
        # What models share only matters where results on the target are to be carried from one to another.
        others = shared_residuals(np.delete(residuals, d, axis=1) if warm.any() else residuals[:, :0])
        shown = np.where(warm, scores[:, d], np.nan)
        seen = ~np.isnan(scores[:, d]) & np.isnan(shown)
        if not seen.any():
            continue
        prediction = predict(Target(beliefs[d], unit, others, shown))
        missed.append(((scores[:, d] - prediction.score) / prediction.score_sd)[seen])
        missed_z.append(((columns.z[:, d] - prediction.mean) / prediction.sd)[seen])
        weights.append(np.full(seen.sum(), 1 / seen.sum()))
    return _widths(missed, missed_z, weights, level)


def _widths(
    missed: list[FloatArray], missed_z: list[FloatArray], weights: list[FloatArray], level: float
) -> Calibration:
    tail, normal = (1 - level) / 2, float(norm.ppf((1 + level) / 2))
    n_datasets = len(missed)
    small = float(t.ppf((1 + level) / 2, max(2, n_datasets - 1)))
    if n_datasets < 2:
        return Calibration(small, small, 1.0, n_datasets)
    weight, all_missed = np.concatenate(weights), np.concatenate(missed)
    low, high = (_quantile(sign * all_missed, weight, 1 - tail) for sign in (-1, 1))
    z = _quantile(np.abs(np.concatenate(missed_z)), weight, level)
    scale = small / normal
    return Calibration(max(low, 0.1) * scale, max(high, 0.1) * scale, max(z, 0.1) * scale / normal, n_datasets)


def _quantile(values: FloatArray, weights: FloatArray, level: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level)), len(values) - 1)])
