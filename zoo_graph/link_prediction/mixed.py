"""The linear mixed model of a model's standardised results, as a ranker: what metadata say of models with few results.

A standardised result is z_md = sum_k x_mk w_k + own_m + noise_md with w_k ~ N(0, s_g(k)), own ~ N(0, s_own), noise ~
N(0, s_noise): one variance for each group g of columns (sizes, families, name tokens, what it was pretrained on,
...). Best linear unbiased prediction by Henderson's equations (1975); variances by expectation-maximisation of the
restricted likelihood, each pulled by a weak prior, so that a tiny zoo has one too. It ranks models the same for every
target but for the target's own results, which are hidden.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve

from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.prediction import Calibration, Prediction, calibrate, with_interval
from zoo_graph.link_prediction.results import Results, read_results, target_groups
from zoo_graph.snapshot import Floats, Integers

_MOST_COLUMNS = 256
_ROUNDS = 30
_TOLERANCE = 1e-2
# Of a z-score's unit variance most is noise and specialism; a metadata effect is small until the zoo says otherwise.
_NOISE, _OWN, _EFFECT = 0.6, 0.3, 0.05
_PRIOR_DEGREES = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Columns of metadata, sparse (M, P), and the group of each, (P,), a place in `groups`."""

    matrix: sp.csr_array
    group: Integers
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variances:
    """Variances on the z-scale: of the columns of each group, of a model's own effect, and of a result about it."""

    groups: Mapping[str, float]
    own: float = _OWN
    noise: float = _NOISE


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Posterior of each model's ability (M,), and `prior`, what metadata alone say of it; `variance` of a result."""

    mean: Floats
    variance: Floats
    prior: Floats


def design_of(graph: ZooGraph) -> Design:
    """Returns the columns: numbers (standardised, clipped, unknown 0), labels, pretraining datasets and bases.

    A label counts where at least two models share it; of more than 256 the commonest. The order of models and the
    names of datasets do not matter.
    """
    numbers = [(name, column) for name, values in sorted(graph.model_numbers.items()) for column in _scaled(values)]
    shared = _shared_labels(graph)
    names = [name for name, _ in numbers] + [kind for kind, _ in shared]
    groups = tuple(sorted(set(names)))
    rows = np.concatenate([members for _, members in shared]) if shared else np.zeros(0, dtype=np.int64)
    columns = np.repeat(np.arange(len(shared)), [len(members) for _, members in shared])
    said = sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(graph.models), len(shared)))
    dense = sp.csr_array(np.column_stack([c for _, c in numbers]) if numbers else np.zeros((len(graph.models), 0)))
    matrix = sp.csr_array(sp.hstack([dense, said], format="csr"))
    return Design(matrix, np.array([groups.index(name) for name in names], dtype=np.int64), groups)


def _scaled(values: Floats) -> list[Floats]:
    columns = values.T if values.ndim == 2 else values[None]
    return [scaled for column in columns if (scaled := _standard(column)) is not None]


def _standard(column: Floats) -> Floats | None:
    known = np.isfinite(column)
    spread = float(column[known].std()) if known.any() else 0.0
    if spread <= 1e-9:
        return None
    return np.where(known, np.clip((column - column[known].mean()) / spread, -2.5, 2.5), 0.0)


def _shared_labels(graph: ZooGraph) -> list[tuple[str, Integers]]:
    """Returns (kind, the models that carry the label) for labels shared by some but not all models, commonest first."""
    members: dict[tuple[str, str | int], list[int]] = {}
    for kind, nodes in graph.model_labels.items():
        for row, texts in enumerate(nodes):
            for text in set(texts):
                members.setdefault((kind, text), []).append(row)
    for row, dataset in np.unique(graph.pretrained_on, axis=0).tolist():
        members.setdefault(("pretrained_on", dataset), []).append(row)
    for row, base in np.unique(graph.derived_from, axis=0).tolist():
        members.setdefault(("derived_from", base), []).append(row)
    shared = [(kind, str(text), rows) for (kind, text), rows in members.items() if 1 < len(rows) < len(graph.models)]
    shared.sort(key=lambda label: (-len(label[2]), label[:2]))
    return [(kind, np.array(rows)) for kind, _, rows in shared[:_MOST_COLUMNS]]


def learn_variances(results: Results, design: Design) -> Variances:
    """Returns the variances by expectation-maximisation on the models' means. Cost: up to 30 times O(P^3 + M P)."""
    variances = Variances(dict.fromkeys(design.groups, _EFFECT))
    if not len(results):
        return variances
    variances = replace(variances, noise=_noise(results))
    seen = results.counts() > 0
    for _ in range(_ROUNDS):
        before, variances = variances, _step(results, design, variances, seen)
        if _moved(before, variances) < _TOLERANCE:
            break
    return variances


def _noise(results: Results) -> float:
    counts = results.counts()
    mean = results.sums() / np.maximum(counts, 1)
    squares = float(((results.z - mean[results.model]) ** 2).sum())
    degrees = len(results) - int((counts > 0).sum())
    return (squares + _PRIOR_DEGREES * _NOISE) / (degrees + _PRIOR_DEGREES)


def _moved(one: Variances, other: Variances) -> float:
    pairs = [(one.own, other.own), *((one.groups[name], other.groups[name]) for name in one.groups)]
    return max(abs(math.log(after / before)) for before, after in pairs)


def _step(results: Results, design: Design, variances: Variances, seen: np.ndarray) -> Variances:
    solved = _solve(results, design, variances)
    squares = solved.weights**2 + np.diag(solved.covariance)
    group_squares = np.bincount(design.group, squares, minlength=len(design.groups))
    sizes = np.bincount(design.group, minlength=len(design.groups))
    groups = (group_squares + _PRIOR_DEGREES * _EFFECT) / (sizes + _PRIOR_DEGREES)
    own = (solved.trust * solved.surprise) ** 2 + variances.own * (1 - solved.trust) + solved.trust**2 * solved.doubt
    return Variances(
        dict(zip(design.groups, groups.tolist(), strict=True)),
        float((own[seen].sum() + _PRIOR_DEGREES * _OWN) / (seen.sum() + _PRIOR_DEGREES)),
        variances.noise,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Solution:
    """Henderson's equations solved: column weights (P,) and covariance (P, P); and by model (M,) what metadata say,
    the variance of that, what its own mean adds, and the share of that which counts."""

    weights: Floats
    covariance: Floats
    prior: Floats
    doubt: Floats
    surprise: Floats
    trust: Floats


def _solve(results: Results, design: Design, variances: Variances) -> _Solution:
    counts = results.counts()
    mean = results.sums() / np.maximum(counts, 1)
    precision = counts / (counts * variances.own + variances.noise)
    weighted = design.matrix.multiply(precision[:, None]).tocsr()
    prior_precision = 1 / np.array([variances.groups[name] for name in design.groups])[design.group]
    normal = (design.matrix.T @ weighted).toarray() + np.diag(prior_precision)
    n_columns = len(normal)
    covariance = cho_solve(cho_factor(normal, lower=True), np.eye(n_columns)) if n_columns else np.zeros((0, 0))
    weights = covariance @ (weighted.T @ mean)
    prior = design.matrix @ weights
    doubt = np.asarray(design.matrix.multiply(design.matrix @ covariance).sum(axis=1)).reshape(-1)
    surprise = np.where(counts > 0, mean - prior, 0.0)
    trust = counts * variances.own / (counts * variances.own + variances.noise)
    return _Solution(weights, covariance, prior, doubt, surprise, trust)


def fit_effects(results: Results, design: Design, variances: Variances) -> Effects:
    """Returns every model's ability by best linear unbiased prediction; a model without results has its prior."""
    solved = _solve(results, design, variances)
    variance = variances.own * (1 - solved.trust) + (1 - solved.trust) ** 2 * solved.doubt
    return Effects(solved.prior + solved.trust * solved.surprise, variance + variances.noise, solved.prior)


@dataclass(frozen=True, slots=True, eq=False)
class MixedPredictor:
    """The mixed model as a ranker; every prediction is refitted to the graph's visible results, in closed form."""

    variances: Variances
    calibration: Calibration

    def predict(self, graph: ZooGraph, targets: Sequence[str]) -> Prediction:
        """Predicts every model on the targets, each one's own results unseen. Cost O(P^3 + results) a group."""
        mean, sd = _means(graph, graph.columns(targets), self.variances)
        return with_interval(graph, targets, mean, sd, self.calibration)


def train(graph: ZooGraph) -> MixedPredictor:
    """Learns variances and intervals from the graph's results."""
    results = read_results(graph.scores)
    variances = learn_variances(results, design_of(graph))
    return MixedPredictor(variances, calibrate(*_means(graph, np.arange(len(graph.datasets)), variances), results))


def out_of_fold(graph: ZooGraph) -> Floats:
    """Returns predictions (M, D) for every dataset from all others; the variances too are learnt without it."""
    design, results = design_of(graph), read_results(graph.scores)
    found = np.zeros(graph.scores.shape)
    for group in target_groups(np.arange(len(graph.datasets)), len(graph.datasets)):
        visible = results.hide(group)
        found[:, group] = fit_effects(visible, design, learn_variances(visible, design)).mean[:, None]
    return found


def _means(graph: ZooGraph, columns: Integers, variances: Variances) -> tuple[Floats, Floats]:
    design, results = design_of(graph), read_results(graph.scores)
    known = {name: variances.groups.get(name, _EFFECT) for name in design.groups}
    mean, sd = (np.zeros((len(graph.models), len(columns))) for _ in range(2))
    for group in target_groups(np.arange(len(columns)), len(graph.datasets)):
        effects = fit_effects(results.hide(columns[group]), design, replace(variances, groups=known))
        mean[:, group], sd[:, group] = effects.mean[:, None], np.sqrt(effects.variance)[:, None]
    return mean, sd
