"""How far each proxy score may be trusted, learnt by leaving out one past dataset at a time.

Two regimes are learnt apart: what a proxy adds to a model's history, and what it says of a model without any. A
proxy is only compared among the models of one dataset.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from selection.recall.ability import Ability
from selection.recall.evidence import BoolArray, FloatArray
from selection.recall.history import History
from selection.recall.nonnegative import solve
from selection.recall.shapes import MIN_MODELS, Shapes, standardise_proxy

MIN_DATASETS = 4
# Correlation of an untested proxy with the result: under the .4-.6 that single proxies reach on published zoos.
PRIOR_CORRELATION = 0.3
# In pseudo-datasets of pull towards zero weight.
_RIDGES = (0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True, slots=True)
class Regime:
    """Learnt weights: `solution` (2J + 2,) of the features, `left_out` those learnt without each dataset (where a
    dataset had no say the others' apply), and the share of the squared error that remains."""

    solution: FloatArray
    remaining: float
    left_out: Mapping[int, FloatArray]

    @property
    def weights(self) -> FloatArray:
        """What each proxy (J,) moves a model by for one of its units, the mean of above and below its middle."""
        above, below = np.split(self.solution[:-2], 2)
        return np.asarray(above + below / 2)


@dataclass(frozen=True, slots=True)
class Trust:
    """What the zoo taught about the proxies `names`; `with_history` and `without` are None where it could not."""

    names: tuple[str, ...]
    with_history: Regime | None
    without: Regime | None
    n_datasets: int

    @property
    def learnt(self) -> bool:
        """Whether weights come from the zoo rather than from the fixed prior."""
        return self.with_history is not None


@dataclass(frozen=True, slots=True)
class Belief:
    """Normal beliefs on the z-scale (M,): the mean and standard deviation of a result on one dataset."""

    mean: FloatArray
    sd: FloatArray


def learn_trust(history: History, past_proxies: Mapping[str, FloatArray], names: tuple[str, ...]) -> Trust:
    """Learns weights for those of `names` that have a past on at least `MIN_DATASETS` datasets.

    A dataset counts where at least `MIN_MODELS` models have both a result and the proxy.
    """
    z = history.columns.z
    if z.shape[1] < MIN_DATASETS:
        return Trust(names, None, None, 0)
    shapes = Shapes.of(z)
    usual = [shapes.usual(d) for d in range(z.shape[1])]
    past = {name: _past(past_proxies[name], z, usual) for name in names if name in past_proxies}
    learnable = tuple(name for name, values in past.items() if _datasets(values).sum() >= MIN_DATASETS)
    if not learnable:
        return Trust(names, None, None, 0)
    stacked = np.stack([past[name] for name in learnable])  # (J, M, D)
    n_datasets = int(_datasets(stacked).sum())
    with_history = _learn(stacked, z, [ability.mean for ability in history.left_out])
    without = _learn(stacked, z, [ability.prior for ability in history.left_out])
    return Trust(learnable, with_history, without, n_datasets)


def _past(values: FloatArray, z: FloatArray, usual: list[FloatArray]) -> FloatArray:
    """The proxy standardised per dataset over the models that also have a result; nan elsewhere."""
    paired = np.where(np.isnan(z), np.nan, values)
    columns = [standardise_proxy(column, shape) for column, shape in zip(paired.T, usual, strict=True)]
    thin = [(~np.isnan(column)).sum() < MIN_MODELS for column in columns]
    return np.stack([column * np.nan if few else column for column, few in zip(columns, thin, strict=True)], axis=1)


def _datasets(values: FloatArray) -> BoolArray:
    seen = ~np.isnan(values)
    return np.asarray((seen.any(axis=0) if values.ndim == 3 else seen).any(axis=0))


def _learn(proxies: FloatArray, z: FloatArray, beliefs: list[FloatArray]) -> Regime:
    """Nonnegative ridge of z - belief on `_features`, the ridge chosen by leave-one-dataset-out.

    Weights are kept only if they cut the left-out squared error by more than one standard error over datasets.
    """
    grams, pulls, energies, indices = [], [], [], []
    for d in np.flatnonzero(_datasets(proxies)):
        design, residual = _design(proxies[:, :, d], beliefs[d], z[:, d])
        grams.append(design.T @ design / len(residual))
        pulls.append(design.T @ residual / len(residual))
        energies.append(float(residual @ residual) / len(residual))
        indices.append(int(d))
    gram, pull, energy = np.stack(grams), np.stack(pulls), np.array(energies)
    trials = [_leave_one_out(gram, pull, ridge) for ridge in _RIDGES]
    gains = np.stack([energy - _errors(gram, pull, energy, weights) for weights in trials])
    best = int(gains.mean(axis=1).argmax())
    gain, deviation = gains[best].mean(), gains[best].std(ddof=1) / np.sqrt(len(energy))
    if gain <= deviation:
        return Regime(np.zeros(len(pull[0])), 1.0, {})
    solution = solve(gram.sum(axis=0), pull.sum(axis=0), _RIDGES[best])
    left_out = dict(zip(indices, trials[best], strict=True))
    return Regime(solution, max(0.05, float(1 - gain / energy.mean())), left_out)


def _features(proxies: FloatArray, belief: FloatArray) -> FloatArray:
    """(2J + 2, M): the proxies (J, M), again where below their middle, -belief, and again where above 0.

    A nonnegative combination is concave: a low proxy may warn of more than a high one promises, and what is believed
    to be far ahead may be held back more than what is believed to be behind.
    """
    return np.vstack([proxies, np.minimum(proxies, 0.0), -belief, -np.maximum(belief, 0.0)])


def _design(proxies: FloatArray, belief: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Features (rows, 2J + 2) of the models with any proxy (nan as 0, the mean), and z - belief, all centred."""
    rows = np.asarray((~np.isnan(proxies)).any(axis=0))
    columns = _features(np.nan_to_num(proxies[:, rows]), belief[rows])
    residual = z[rows] - belief[rows]
    return (columns - columns.mean(axis=1, keepdims=True)).T, residual - residual.mean()


def _leave_one_out(gram: FloatArray, pull: FloatArray, ridge: float) -> FloatArray:
    whole, target = gram.sum(axis=0), pull.sum(axis=0)
    return np.stack([solve(whole - one, target - part, ridge) for one, part in zip(gram, pull, strict=True)])


def _errors(gram: FloatArray, pull: FloatArray, energy: FloatArray, weights: FloatArray) -> FloatArray:
    quadratic = np.einsum("dj,djk,dk->d", weights, gram, weights)
    return np.asarray(energy - 2 * (weights * pull).sum(axis=1) + quadratic)


def apply_trust(belief: Belief, ability: Ability, proxies: FloatArray, trust: Trust, left_out: int | None) -> Belief:
    """Updates beliefs by the standardised proxies (J, M) in the order of `trust.names`.

    A model without proxies keeps its belief; those with are moved about their own mean, so having been
    probed is neither praise nor blame. `left_out` uses the weights learnt without that dataset.
    """
    rows = np.asarray((~np.isnan(proxies)).any(axis=0))
    if not rows.any():
        return belief
    if trust.with_history is None or trust.without is None:
        return _apply_prior(belief, proxies, rows)
    filled = np.nan_to_num(proxies)
    confident, ratio = _shift(belief.mean, filled, rows, trust.with_history, left_out)
    blind, blind_ratio = _shift(ability.prior, filled, rows, trust.without, left_out)
    share = ability.trust
    mean = belief.mean + share * confident + (1 - share) * blind
    sd = belief.sd * np.sqrt(np.where(rows, share * ratio + (1 - share) * blind_ratio, 1.0))
    return Belief(mean, sd)


def _shift(
    belief: FloatArray, proxies: FloatArray, rows: BoolArray, regime: Regime, left_out: int | None
) -> tuple[FloatArray, float]:
    solution = regime.solution if left_out is None else regime.left_out.get(left_out, regime.solution)
    move = solution @ _features(proxies, belief)
    shift = np.zeros(len(belief))
    shift[rows] = move[rows] - move[rows].mean()
    return shift, regime.remaining


def _apply_prior(belief: Belief, proxies: FloatArray, rows: BoolArray) -> Belief:
    """Bayes' rule for a composite proxy q = rho z + noise of variance 1 - rho^2, rho = `PRIOR_CORRELATION`.

    The more is known of a model already, the less an untested proxy moves it.
    """
    rho = PRIOR_CORRELATION
    average = np.nan_to_num(proxies).sum(axis=0) / np.maximum(1, (~np.isnan(proxies)).sum(axis=0))
    spread = float(average[rows].std())
    if spread <= 1e-9:
        return belief
    composite = (average - average[rows].mean()) / spread
    variance = belief.sd**2
    evidence = rho**2 * variance + 1 - rho**2
    centre = belief.mean[rows].mean()
    surprise = np.where(rows, composite - rho * (belief.mean - centre), 0.0)
    sd = np.where(rows, belief.sd * np.sqrt((1 - rho**2) / evidence), belief.sd)
    return Belief(belief.mean + variance * rho / evidence * surprise, sd)
