"""What the visible results say of every model before any graph: the base that the network only corrects.

Two bases: plain history, or the mixed model, which also reads metadata. Which one is left to the zoo: history stands
unless the mixed model is better on left-out datasets by more than one standard error.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo_graph.link_prediction.mixed import Design, Variances, fit_effects, learn_variances
from zoo_graph.link_prediction.results import Mask, Results, deal, history
from zoo_graph.snapshot import Floats

Kind = Literal["history", "mixed"]

_FOLDS = 8


@dataclass(frozen=True, slots=True)
class Base:
    """How models are judged before the network: the kind, and the mixed model's variances."""

    kind: Kind
    variances: Variances


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Each model's base prediction and the variance of a result about it, its number of results and the mean and
    spread of what they leave, all (M,)."""

    mean: Floats
    variance: Floats
    count: Floats
    left: Floats
    spread: Floats


def stand(results: Results, design: Design, base: Base) -> Standing:
    """Returns where every model stands by the visible results."""
    effects = fit_effects(results, design, base.variances)
    mean = history(results) if base.kind == "history" else effects.mean
    count = results.counts()
    many = np.maximum(count, 1)
    residual = results.z - mean[results.model]
    left = np.bincount(results.model, residual, minlength=results.n_models) / many
    spread = np.sqrt(np.bincount(results.model, residual**2, minlength=results.n_models) / many)
    return Standing(mean, effects.variance, count, left, spread)


def choose_base(results: Results, design: Design, seed: int) -> Base:
    """Returns the base that predicts left-out datasets better, the simpler within a standard error. Cost: 9 fits."""
    variances = learn_variances(results, design)
    folds = deal(results.informative(), _FOLDS, [seed, 1])
    gains = []
    for fold in folds:
        visible = results.hide(fold)
        mixed = fit_effects(visible, design, learn_variances(visible, design)).mean
        truth = results.keep(np.isin(results.dataset, fold))
        gains.append(squared_errors(truth, history(visible)[truth.model]) - squared_errors(truth, mixed[truth.model]))
    each = np.concatenate(gains) if gains else np.zeros(0)
    if len(each) < 2 or each.mean() <= each.std(ddof=1) / np.sqrt(len(each)):
        return Base("history", variances)
    return Base("mixed", variances)


def squared_errors(truth: Results, predicted: Floats) -> Floats:
    """Returns the mean squared error of each dataset that has results, (K,); an offset per dataset costs nothing."""
    n = np.bincount(truth.dataset, minlength=truth.n_datasets)
    error = truth.z - predicted
    mean = np.bincount(truth.dataset, error, minlength=truth.n_datasets) / np.maximum(n, 1)
    squares = np.bincount(truth.dataset, (error - mean[truth.dataset]) ** 2, minlength=truth.n_datasets)
    return np.asarray(squares[n > 0] / n[n > 0])


def thinned(results: Results, generator: np.random.Generator) -> Results:
    """Returns the results as a sparser zoo would have them: half to 95 % hidden, or 30 % of the models left with one.

    In either case a tenth of the models have none, as if they were new.
    """
    rows: Mask = generator.random(results.n_models)[results.model] >= 0.1
    if generator.random() < 0.5:
        rows &= generator.random(len(results)) >= generator.uniform(0.5, 0.95)
    else:
        order = generator.permutation(len(results))
        first = np.zeros(len(results), dtype=np.bool_)
        first[order[np.unique(results.model[order], return_index=True)[1]]] = True
        rows &= first | (generator.random(results.n_models)[results.model] >= 0.3)
    return results.keep(rows)
