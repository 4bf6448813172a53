"""The results that may be seen, as parallel arrays on one scale, and what is left of them when some are hidden.

Every number that link prediction derives from scores (history, communities, edges, statistics) is derived from these
arrays, after hiding: what is hidden leaves no trace.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zoo_graph.snapshot import Floats, Integers

Mask = npt.NDArray[np.bool_]

_SHRINKAGE = 3.0  # average results that a model's mean is shrunk by
_ROUNDS = 3
_GROUP_SHARE = 50  # at most one in so many datasets is hidden together with a target


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """N visible results: row numbers `model`, `dataset` (N,), `score` as given, `z` comparable between datasets.

    A column of z has standard deviation 1, and as mean the mean history of the models measured there, so a dataset
    that only strong models were tried on is not harder for it. A dataset with fewer than two results, or none that
    differ, says nothing and has no rows.
    """

    model: Integers
    dataset: Integers
    score: Floats
    z: Floats
    n_models: int
    n_datasets: int

    def __len__(self) -> int:
        return len(self.model)

    def keep(self, rows: Mask) -> "Results":
        """Returns the results of the given rows (N,) only, standardised anew."""
        return _standardised(self.model[rows], self.dataset[rows], self.score[rows], self.n_models, self.n_datasets)

    def hide(self, columns: Integers) -> "Results":
        """Returns the results without those of the given datasets, standardised anew."""
        return self.keep(~np.isin(self.dataset, columns))

    def of(self, columns: Integers) -> Integers:
        """Returns the rows of the results on the given datasets."""
        return np.flatnonzero(np.isin(self.dataset, columns))

    def counts(self) -> Floats:
        """Returns each model's number of results, (M,)."""
        return np.bincount(self.model, minlength=self.n_models).astype(np.float64)

    def sums(self) -> Floats:
        """Returns each model's sum of z, (M,)."""
        return np.asarray(np.bincount(self.model, self.z, minlength=self.n_models), dtype=np.float64)

    def informative(self) -> Integers:
        """Returns the datasets that have results, sorted."""
        return np.unique(self.dataset)


def read_results(scores: Floats) -> Results:
    """Returns the results of a score matrix (M, D), nan where not measured."""
    model, dataset = np.nonzero(np.isfinite(scores))
    return _standardised(model, dataset, scores[model, dataset], *scores.shape)


def _standardised(model: Integers, dataset: Integers, score: Floats, n_models: int, n_datasets: int) -> Results:
    n = np.maximum(np.bincount(dataset, minlength=n_datasets), 1)
    mean = np.bincount(dataset, score, minlength=n_datasets) / n
    centred = score - mean[dataset]
    spread = np.sqrt(np.bincount(dataset, centred**2, minlength=n_datasets) / n)
    tells = (n >= 2) & (spread > 1e-9 * np.maximum(1e-3, np.abs(mean)))
    kept = tells[dataset]
    model, dataset, score, centred = model[kept], dataset[kept], score[kept], centred[kept]
    z = centred / spread[dataset]
    for _ in range(_ROUNDS):
        history = np.bincount(model, z, minlength=n_models) / (np.bincount(model, minlength=n_models) + _SHRINKAGE)
        z = z + (np.bincount(dataset, history[model] - z, minlength=n_datasets) / n)[dataset]
    return Results(model, dataset, score, z, n_models, n_datasets)


def history(results: Results) -> Floats:
    """Returns each model's mean z, shrunk towards 0 as if by three average results, (M,)."""
    return np.asarray(results.sums() / (results.counts() + _SHRINKAGE))


def target_groups(columns: Integers, n_datasets: int) -> Iterator[Integers]:
    """Yields the target columns in groups that are hidden together: one by one, in large zoos 2 % of the datasets.

    A dataset's own results are hidden in any case; of the others more than that is never missed.
    """
    step = max(1, n_datasets // _GROUP_SHARE)
    for start in range(0, len(columns), step):
        yield columns[start : start + step]


def deal(columns: Integers, folds: int, seed: int | Sequence[int]) -> list[Integers]:
    """Deals the columns at random into at most `folds` folds of nearly equal size, each sorted; none is empty."""
    order = np.random.default_rng(seed).permutation(np.sort(columns))
    return [np.sort(order[start::folds]) for start in range(min(folds, len(order)))]
