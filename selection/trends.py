"""How a run will end: from recall, a probe and a partial validation curve to its final score, with an interval.

One Gaussian model of how all of these go together, learnt from every finished run of the zoo: within a dataset, each
candidate's deviations from the others' mean, in units of the spread of final scores. So it needs no equal scales, and
what every candidate shares (an easy dataset, a slow recipe) decides little. Knows plain records; knows no training,
no files and no graph. 2PS's trends and the power law, to compare with, stand in `other_trends`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from selection.records import Trend

FloatArray = NDArray[np.float64]

# Columns of a trend before those of the curve.
FINAL, RECALLED, PROBE, CURVE = 0, 1, 2, 3
# What is held where there is no history: as much as this many runs say, so that few runs change little.
PRIOR_RUNS = 16.0
# Guessed variances of what is seen minus the final score, in units of the spread of final scores: of a curve's point
# at the very start (it falls linearly to the end), of one validation score, of a probe, of recall.
_EARLY, _NOISE, _PROBE, _RECALLED = 3.0, 0.2, 2.0, 1.5
# Guessed rise of all curves of a dataset from the start to the end, as uncertain as it is high; how far the level of
# probes, or of all validation scores, may be from that of final scores, and how far each point's own from its curve.
_RISE, _PROBE_SD, _LEVEL_SD, _POINT_SD = 0.2, 0.1, 0.03, 0.01
# As many fields the guess stands for: of how much gains vary, and of how they do so together.
_PRIOR_FIELDS, _PRIOR_TOGETHER = 4.0, 16.0
# The metrics that a ridge probe is scored by: by another one a score may be anywhere beside a probe.
PROBED_METRICS = frozenset({"accuracy", "r2"})
_ANYWHERE_SD = 10.0
# A dataset with fewer candidates than this says nothing of spread.
_FEWEST = 3
# Spreads tried for a dataset, in standard deviations of the logarithm around the typical one.
_SPREADS = np.linspace(-2.5, 2.5, 9)
_OUTLIER = 4.0
# A candidate less likely than this beside what the others and the past let expect is taken for an exception.
_EXCEPTION = 0.01


@dataclass(frozen=True, slots=True)
class Curve:
    """A finished run: validation scores at shares of its length (ascending, in (0, 1]) and the score it ended with.

    Runs are compared within one `field`: a dataset, metric, recipe and seed. `recalled` is what recall would have said
    of the model there, without having seen the dataset (any scale within a zoo), `probe` a linear probe's score.
    """

    model: str
    field: str
    shares: tuple[float, ...]
    scores: tuple[float, ...]
    final: float
    recalled: float = math.nan
    probe: float = math.nan


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a candidate so far: as in `Curve`, without the end."""

    model: str
    shares: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    recalled: float = math.nan
    probe: float = math.nan


@dataclass(frozen=True, slots=True)
class Forecast:
    """Final scores of K candidates: a mixture of Gaussians, one for each spread the dataset may have.

    `weights` (G,), `means` (G, K), `covariances` (G, K, K). Where no score that tells the level was seen of any
    candidate (`in_units` is False), only their differences say anything.
    """

    models: tuple[str, ...]
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    in_units: bool

    @property
    def mean(self) -> FloatArray:
        """(K,) expected scores."""
        return np.asarray(self.weights @ self.means)

    @property
    def sd(self) -> FloatArray:
        """(K,) standard deviations of the scores."""
        second = np.diagonal(self.covariances, axis1=1, axis2=2) + self.means**2
        return np.sqrt(np.maximum(self.weights @ second - self.mean**2, 0.0))

    def draws(self, n: int, rng: np.random.Generator) -> FloatArray:
        """(n, K) joint draws of the scores."""
        counts = rng.multinomial(n, self.weights)
        return np.vstack(
            [
                _gaussian(mean, covariance, count, rng)
                for mean, covariance, count in zip(self.means, self.covariances, counts, strict=True)
            ]
        )


def learn_trend(
    curves: Sequence[Curve],
    shares: Sequence[float],
    communities: Mapping[str, str] | None = None,
    metric: str = "accuracy",
) -> Trend:
    """How runs end, learnt from `curves`, at `shares` (ascending, in (0, 1]) of a run's length.

    Covariances are over all fields with three candidates or more, each cell over the runs that have both; they are
    shrunk towards `default_trend` as if that stood for 16 runs. Without curves it is `default_trend`, whose intervals
    are wide. Slow starters: each model's own mean deviation of a point from what its final score lets expect, shrunk
    towards its community's (`communities` by model) by how much such means vary between models and between communities;
    a model of a community that never ran is taken for an average one of it. Gains vary together (a hard test part
    moves all of them): over fields, their variances are shrunk to the guess as if that were four fields, their
    correlations as if sixteen; of a column that no field knows, the guess is all. A probe starts nowhere: a model whose
    probes lie above what its noisy final scores let expect is a good one, so its probe is left as it is.
    """
    fields = [one for one in _fields(curves, shares) if one is not None]
    if not fields:
        return default_trend(shares, metric)
    values = np.vstack([one.values for one in fields])
    names = [name for one in fields for name in one.models]
    first = _covariance(values, shares)
    shifts = _shifts(values, names, first, communities or {})
    covariance = _covariance(values - np.array([shifts[name] for name in names]), shares)
    spreads = np.log([one.spread for one in fields])
    gains = np.array([one.gains for one in fields])
    guess = default_trend(shares)
    typical = float(np.exp(spreads.mean()))
    usual, gain_covariance = _gains(gains, guess, typical / guess.spread)
    return Trend(
        shares=tuple(shares),
        covariance=_rows(covariance),
        shifts={name: tuple(map(float, row)) for name, row in shifts.items() if row.any()},
        spread=typical,
        spread_log_sd=max(0.3, float(spreads.std())),
        gains=tuple(map(float, usual)),
        gain_covariance=_rows(gain_covariance),
        n_runs=len(values),
        n_fields=len(fields),
    )


def default_trend(shares: Sequence[float], metric: str = "accuracy") -> Trend:
    """What is held without any finished run: early points tell little, later ones more; a guess, and a wide one.

    By a `metric` that probes are not scored by they tell the order of the finals, and nothing of their level.
    """
    at = np.asarray(shares, dtype=float)
    gains = np.r_[np.zeros(CURVE), _RISE * (1.0 - at)]
    varied = np.zeros((len(gains), len(gains)))
    varied[PROBE, PROBE] = (_PROBE_SD if metric in PROBED_METRICS else _ANYWHERE_SD) ** 2
    varied[CURVE:, CURVE:] = _LEVEL_SD**2 + _RISE**2 * (1.0 - np.maximum.outer(at, at)) + _POINT_SD**2 * np.eye(len(at))
    return Trend(tuple(shares), _rows(_guess(shares)), {}, 0.05, 1.0, tuple(map(float, gains)), _rows(varied), 0, 0)


def forecast(trend: Trend, seen: Sequence[Seen]) -> Forecast:
    """The final scores of these candidates, by what is seen of each; points that are no share of the trend's are left.

    The dataset's own level has a flat prior, what it gains from one point to the end the usual one, its spread a
    log-normal one: so candidates are compared where they were seen alike, and one seen alone is compared with what is
    usual. An exception (a run that broke) tells little of the level, and its own end is as uncertain as it is far off.
    Cost O(K S^3).
    """
    held = _held(trend, seen)
    return _as_forecast(held, [one.covariance for one in held.grid])


def lookahead(trend: Trend, seen: Sequence[Seen], shares: Sequence[float]) -> list[Forecast]:
    """For each of these shares of a run what will be expected of the final scores, once all are seen up to there.

    The mean is that of `forecast`. Covariances are of the expectations then, as deviations from the candidates' mean:
    today's of the final scores less what will still be open (a Gaussian's does not hang on what is seen). So noise that
    no curve resolves promises nothing.
    """
    held = _held(trend, seen)
    now = _as_forecast(held, [one.covariance for one in held.grid])
    centring = np.eye(len(seen)) - 1.0 / len(seen)
    covariance = np.array(trend.covariance)
    found = []
    for share in shares:
        values = held.values.copy()
        n_points = CURVE + sum(at <= share + 1e-9 for at in trend.shares)
        values[:, CURVE:n_points] = np.nan_to_num(values[:, CURVE:n_points])
        open_then = [_conditional(values, trend, s, covariance, held.doubts).covariance for s in held.spreads]
        told = [centring @ (one.covariance - then) @ centring for one, then in zip(held.grid, open_then, strict=True)]
        found.append(replace(now, means=np.tile(now.mean, (len(told), 1)), covariances=np.stack(told)))
    return found


def simulate(trend: Trend, seen: Sequence[Seen], rng: np.random.Generator) -> tuple[list[Seen], FloatArray]:
    """Runs to the end as they may turn out, given what is seen: the candidates with whole curves, and finals (K,).

    The level is that of the probes where there are any (else 0), and gains are the usual ones.
    """
    values = np.array([_row(one, trend) for one in seen])
    spread = trend.spread * float(np.exp(trend.spread_log_sd * rng.standard_normal()))
    covariance = np.array(trend.covariance)
    scaled = _scaled(values, spread)
    level = _mean(scaled)
    drawn = np.empty_like(values)
    for place, row in enumerate(scaled - level):
        known = np.isfinite(row)
        gain = np.linalg.solve(covariance[np.ix_(known, known)], covariance[known]) if known.any() else None
        mean = row[known] @ gain if gain is not None else np.zeros(len(row))
        rest = covariance - covariance[:, known] @ gain if gain is not None else covariance
        drawn[place] = _gaussian(mean, rest, 1, rng)[0]
    end = _mean(values)[PROBE] + trend.gains[PROBE]
    shifts = np.array([_shift(one.model, trend) for one in seen])
    raw = end - np.array(trend.gains) + spread * drawn + trend.spread * shifts
    runs = [
        Seen(one.model, trend.shares, tuple(map(float, row[CURVE:])), one.recalled, one.probe)
        for one, row in zip(seen, raw, strict=True)
    ]
    return runs, raw[:, FINAL]


# -- learning


@dataclass(frozen=True, slots=True)
class _Field:
    """Runs that compete: standardised deviations (K, q), their models, the spread of finals, gains (q,) or nan."""

    values: FloatArray
    models: tuple[str, ...]
    spread: float
    gains: FloatArray = field(repr=False)


def _fields(curves: Sequence[Curve], shares: Sequence[float]) -> list[_Field | None]:
    grouped: dict[str, dict[str, Curve]] = {}
    for one in curves:
        if math.isfinite(one.final):
            grouped.setdefault(one.field, {})[one.model] = one
    return [_field(list(runs.values()), shares) for _, runs in sorted(grouped.items())]


def _field(runs: Sequence[Curve], shares: Sequence[float]) -> _Field | None:
    """The field's runs side by side; None where they are too few or all end alike."""
    raw = np.array([[one.final, one.recalled, one.probe, *at_shares(one, shares)] for one in runs])
    if len(raw) < _FEWEST or np.ptp(raw[:, FINAL]) <= 1e-9 * np.abs(raw[:, FINAL]).max():
        return None
    spread = float(raw[:, FINAL].std())
    scaled = _scaled(raw, spread)
    values = np.clip(scaled - _mean(scaled), -_OUTLIER, _OUTLIER)
    both = raw[:, [FINAL]] + 0.0 * raw  # finals where the column is known
    gains = np.where(np.isfinite(raw).any(axis=0), _mean(both - raw), np.nan)
    return _Field(values, tuple(one.model for one in runs), spread, gains)


def at_shares(one: Curve, shares: Sequence[float]) -> FloatArray:
    """Scores at the shares, linear between points; nan before the first and after the last."""
    if not one.shares:
        return np.full(len(shares), np.nan)
    return np.asarray(np.interp(shares, one.shares, one.scores, left=np.nan, right=np.nan))


def _gains(gains: FloatArray, guess: Trend, scale: float) -> tuple[FloatArray, FloatArray]:
    """(q,), (q, q): the usual gains of these fields (F, q), how they vary together; `scale` is the guess's."""
    known = np.isfinite(gains)
    usual = np.where(known.any(axis=0), _mean(gains), np.array(guess.gains))
    apart = np.nan_to_num(gains - usual)
    n = known.T.astype(float) @ known
    more = np.maximum(n - 1.0, 0.0)
    guessed = scale**2 * np.array(guess.gain_covariance)
    wide = np.diagonal(guessed)
    variance = (_PRIOR_FIELDS * wide + (apart**2).sum(axis=0)) / (_PRIOR_FIELDS + np.diagonal(more))
    ratio = np.sqrt(variance / np.where(wide > 0.0, wide, 1.0))
    target = guessed * np.outer(ratio, ratio)
    varied = (_PRIOR_TOGETHER * target + apart.T @ apart) / (_PRIOR_TOGETHER + more)
    return usual, _positive(varied, 1e-6 * float(variance.max()))


def _covariance(values: FloatArray, shares: Sequence[float]) -> FloatArray:
    """(q, q) second moments of what both columns know, shrunk to the guess and made positive definite.

    A column that no run has goes with the others as the guess's regression on them has it.
    """
    known = np.isfinite(values).astype(float)
    filled = np.nan_to_num(values)
    n, guess = known.T @ known, _guess(shares)
    mixed = (PRIOR_RUNS * guess + filled.T @ filled) / (PRIOR_RUNS + n)
    has = np.diagonal(n) > 0
    learnt = _positive(mixed[np.ix_(has, has)], 1e-3)
    slope = np.eye(len(n))[:, has]
    slope[~has] = guess[np.ix_(~has, has)] @ np.linalg.inv(guess[np.ix_(has, has)])
    return np.asarray(guess + slope @ (learnt - guess[np.ix_(has, has)]) @ slope.T)


def _positive(matrix: FloatArray, least: float) -> FloatArray:
    """The symmetric matrix with no eigenvalue below `least`: cells over different runs need not fit together."""
    roots, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(roots, least)) @ vectors.T)


def _guess(shares: Sequence[float]) -> FloatArray:
    """The covariance held without history: the final score plus noise that shrinks along the curve."""
    at = np.asarray(shares, dtype=float)
    n = CURVE + len(at)
    found = np.ones((n, n))
    found[CURVE:, CURVE:] += _EARLY * (1.0 - np.maximum.outer(at, at)) + _NOISE * np.eye(len(at))
    found[PROBE, PROBE] += _PROBE
    found[RECALLED, RECALLED] += _RECALLED
    return found


def _shifts(
    values: FloatArray, names: Sequence[str], covariance: FloatArray, communities: Mapping[str, str]
) -> dict[str, FloatArray]:
    """(q,) by model: how its points stand beside what its final score lets expect, on average; shrunk.

    A model's mean is its community's effect, its own and an error; variances are by moments, of pairs within a
    community the first's (empirical Bayes, a nested random effect). Also for models of `communities` without a run.
    """
    slope = covariance[FINAL] / covariance[FINAL, FINAL]
    rest = values - values[:, [FINAL]] * slope
    rest[:, :CURVE] = 0.0
    ran, owner = np.unique(names, return_inverse=True)
    models = [*map(str, ran), *sorted(set(communities) - set(ran))]
    counts = np.array([np.isfinite(rest[owner == place]).sum(axis=0) for place in range(len(models))])
    means = np.array([_mean(rest[owner == place]) for place in range(len(models))])
    freedom = counts.sum(axis=0) - (counts > 0).sum(axis=0)
    error = np.nansum((rest - means[owner]) ** 2, axis=0) / np.maximum(freedom, 1) / np.maximum(counts, 1)
    between = np.maximum(_mean(np.where(counts > 0, means**2 - error, np.nan)), 0.0)
    groups = np.unique([communities.get(model, f"model {model}") for model in models], return_inverse=True)[1]
    shared = np.minimum(np.maximum(_within(means, counts > 0, groups), 0.0), between)
    own = between - shared
    weights = (counts > 0) / np.maximum(own + error, 1e-12)
    effects = shared * _totals(weights * means, groups) / (1.0 + shared * _totals(weights, groups))  # (G, q)
    shrunk = effects[groups] + own * weights * (means - effects[groups])
    return dict(zip(models, shrunk, strict=True))


def _within(means: FloatArray, known: NDArray[np.bool_], groups: NDArray[np.intp]) -> FloatArray:
    """(q,) mean product of two models' means (M, q) over the pairs within a community; 0 where there is none."""
    sums, squares, n = (_totals(values, groups) for values in (known * means, known * means**2, known.astype(float)))
    pairs = (n * (n - 1)).sum(axis=0)
    return np.asarray((sums**2 - squares).sum(axis=0) / np.maximum(pairs, 1))


def _totals(values: FloatArray, groups: NDArray[np.intp]) -> FloatArray:
    """(G, q) sums of the rows of each group."""
    found = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(found, groups, values)
    return found


# -- forecasting


@dataclass(frozen=True, slots=True)
class _Conditional:
    mean: FloatArray
    covariance: FloatArray
    log_likelihood: float


def _row(one: Seen, trend: Trend) -> FloatArray:
    """(q,) what is seen, less the model's own shift; nan where it is not. The shift stays in units of spread."""
    at = {round(share, 9): score for share, score in zip(one.shares, one.scores, strict=True)}
    curve = [at.get(round(share, 9), math.nan) for share in trend.shares]
    return np.array([math.nan, one.recalled, one.probe, *curve]) - trend.spread * _shift(one.model, trend)


def _shift(model: str, trend: Trend) -> FloatArray:
    return np.array(trend.shifts.get(model, (0.0,) * len(trend.gains)))


def _scaled(values: FloatArray, spread: float) -> FloatArray:
    """In units of the spread, but for recall, which has its own."""
    scale = np.full(values.shape[1], spread)
    scale[RECALLED] = 1.0
    return np.asarray(values / scale)


@dataclass(frozen=True, slots=True)
class _Held:
    """What is held of the finals: for each of the `spreads` (G,) its `grid` place and weight (G,); by `values` (K, q)
    seen and their `doubts` (K,)."""

    models: tuple[str, ...]
    values: FloatArray
    doubts: FloatArray
    spreads: tuple[float, ...]
    grid: list[_Conditional]
    weights: FloatArray
    in_units: bool


def _held(trend: Trend, seen: Sequence[Seen]) -> _Held:
    values = np.array([_row(one, trend) for one in seen])
    spreads = tuple(map(float, trend.spread * np.exp(trend.spread_log_sd * _SPREADS)))
    grid, weights = _mixture(values, trend, spreads, np.ones(len(values)))
    doubts = _doubts(values, trend, spreads[int(np.argmax(weights))])
    if (doubts > 1.0).any():
        grid, weights = _mixture(values, trend, spreads, doubts)
    probe_tells = trend.n_runs > 0 or trend.gain_covariance[PROBE][PROBE] < _ANYWHERE_SD**2
    known = np.isfinite(values[:, PROBE if probe_tells else CURVE :])
    return _Held(tuple(one.model for one in seen), values, doubts, spreads, grid, weights, in_units=bool(known.any()))


def _as_forecast(held: _Held, covariances: Sequence[FloatArray]) -> Forecast:
    return Forecast(
        models=held.models,
        weights=held.weights,
        means=np.stack([one.mean for one in held.grid]),
        covariances=np.stack(covariances),
        in_units=held.in_units,
    )


def _mixture(
    values: FloatArray, trend: Trend, spreads: Sequence[float], doubts: FloatArray
) -> tuple[list[_Conditional], FloatArray]:
    """The finals for each spread (G,), and how likely each is (G,)."""
    covariance = np.array(trend.covariance)
    grid = [_conditional(values, trend, spread, covariance, doubts) for spread in spreads]
    log_weight = np.array([one.log_likelihood for one in grid]) - 0.5 * _SPREADS**2
    weights = np.exp(log_weight - log_weight.max())
    return grid, weights / weights.sum()


def _conditional(
    values: FloatArray, trend: Trend, spread: float, covariance: FloatArray, doubts: FloatArray
) -> _Conditional:
    """Final scores given what is seen, were this the dataset's spread: generalised least squares for the levels.

    A column's level is the final score's less the usual gain, as far as gains vary; the final score's is unknown.
    `doubts` (K,) multiply the candidates' covariances.
    """
    scaled = _scaled(values, spread)
    k, q = scaled.shape
    precision, moment, fit, log_det = _levels(trend, values, spread)
    n_scores = int(np.isfinite(np.delete(values, RECALLED, axis=1)).sum())
    gains = np.zeros((k, q))
    patterns, owner = np.unique(np.isfinite(scaled), axis=0, return_inverse=True)
    for place, known in enumerate(patterns):  # candidates seen alike share everything but their values
        members = np.flatnonzero(owner.ravel() == place)
        rows, sure = scaled[np.ix_(members, known)], 1.0 / doubts[members]
        inverse = np.linalg.inv(covariance[np.ix_(known, known)])
        gains[np.ix_(members, known)] = covariance[FINAL, known] @ inverse
        precision[np.ix_(known, known)] += sure.sum() * inverse
        moment[known] += inverse @ (sure @ rows)
        fit += float(np.einsum("k,ki,ij,kj->", sure, rows, inverse, rows))
        log_det += len(members) * float(np.linalg.slogdet(inverse)[1]) + known.sum() * float(np.log(sure).sum())
    used = np.diagonal(precision) > 0
    inner = precision[np.ix_(used, used)]
    spent = np.zeros((q, q))
    spent[np.ix_(used, used)] = np.linalg.inv(inner)
    level = spent @ moment
    mean = level[FINAL] + np.nansum(gains * np.where(np.isfinite(scaled), scaled - level, 0.0), axis=1)
    own = doubts * (covariance[FINAL, FINAL] - np.einsum("kq,qp,kp->k", gains, covariance, gains))
    carried = np.eye(q)[FINAL] - gains
    joint = np.diag(own) + carried @ spent @ carried.T
    log_likelihood = 0.5 * (log_det - fit + moment @ level - np.linalg.slogdet(inner)[1])
    log_likelihood -= (n_scores - used[FINAL]) * math.log(spread)
    return _Conditional(spread * mean, spread**2 * joint, float(log_likelihood))


def _levels(trend: Trend, values: FloatArray, spread: float) -> tuple[FloatArray, FloatArray, float, float]:
    """What is held of the columns' levels before: precision (q, q), moment (q,), and their part of the likelihood."""
    q = values.shape[1]
    precision, moment = np.zeros((q, q)), np.zeros(q)
    seen = np.asarray(np.isfinite(values).any(axis=0))
    seen[[FINAL, RECALLED]] = False
    if not seen.any():
        return precision, moment, 0.0, 0.0
    gains = np.array(trend.gains)[seen] / spread
    inverse = np.linalg.inv(np.array(trend.gain_covariance)[np.ix_(seen, seen)] / spread**2)
    apart = np.zeros((int(seen.sum()), q))  # the final score's level less each column's
    apart[:, FINAL], apart[:, seen] = 1.0, -np.eye(len(gains))
    precision += apart.T @ inverse @ apart
    moment += apart.T @ inverse @ gains
    return precision, moment, float(gains @ inverse @ gains), float(np.linalg.slogdet(inverse)[1])


def _doubts(values: FloatArray, trend: Trend, spread: float) -> FloatArray:
    """(K,) 1, and of an exception how much further off it is than what the others and the past let expect."""
    covariance = np.array(trend.covariance)
    scaled = _scaled(values, spread)
    precision, moment = _levels(trend, values, spread)[:2]
    precision = precision + 1e-6 * np.eye(len(moment))  # a level that nothing tells may be anywhere
    patterns, owner = np.unique(np.isfinite(scaled), axis=0, return_inverse=True)
    own = np.zeros((len(patterns), *precision.shape))
    for place, known in enumerate(patterns):
        own[place][np.ix_(known, known)] = np.linalg.inv(covariance[np.ix_(known, known)])
    owner = owner.ravel()
    told = np.einsum("kij,kj->ki", own[owner], np.nan_to_num(scaled))
    rest = np.linalg.inv(precision + own[owner].sum(axis=0) - own[owner])  # (K, q, q), of all others
    off = scaled - np.einsum("kij,kj->ki", rest, moment + told.sum(axis=0) - told)
    found = np.ones(len(values))
    for place, known in enumerate(patterns):
        members = np.flatnonzero(owner == place)
        spread_of = covariance[np.ix_(known, known)] + rest[np.ix_(members, known, known)]
        distance = np.einsum(
            "ki,kij,kj->k", off[np.ix_(members, known)], np.linalg.inv(spread_of), off[np.ix_(members, known)]
        )
        n = max(int(known.sum()), 1)
        found[members] = np.where(distance > chdtri(n, _EXCEPTION), distance / n, 1.0)
    return found


def _gaussian(mean: FloatArray, covariance: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    if not n:
        return np.empty((0, len(mean)))
    roots, vectors = np.linalg.eigh(covariance)
    return np.asarray(mean + rng.standard_normal((n, len(mean))) @ (vectors * np.sqrt(np.maximum(roots, 0.0))).T)


def _mean(values: FloatArray) -> FloatArray:
    """Column means of what is known; 0 where nothing is."""
    n = np.isfinite(values).sum(axis=0)
    return np.asarray(np.nansum(values, axis=0) / np.maximum(n, 1))


def _rows(matrix: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)
