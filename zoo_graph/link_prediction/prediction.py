"""What every ranker answers: a mean and an interval for each (model, dataset), and how intervals are calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np

from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.results import Results
from zoo_graph.snapshot import Floats

LEVEL = 0.9
_HIGHEST = 0.98
_MIN_DATASETS = 5  # with fewer, a dataset's quantile tells less than the normal distribution


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What M models reach on T targets, on the z-scale: an average model of the zoo is 0, its spread there 1.

    `mean`, `sd`, `low`, `high` (M, T); between `low` and `high` lie 90 % of the results of an average dataset.
    """

    models: tuple[str, ...]
    targets: tuple[str, ...]
    mean: Floats
    sd: Floats
    low: Floats
    high: Floats

    def in_units(self, graph: ZooGraph) -> "Prediction":
        """Returns the prediction in the units of the targets' scores, nan for a target with fewer than two of them.

        Takes offset and scale from the results on the target, and nothing else; a target without results has
        neither.
        """
        scores = graph.scores[:, graph.columns(self.targets)]
        offset, scale = _units(scores, self.mean)
        moved = (offset + scale * values for values in (self.mean, self.low, self.high))
        mean, low, high = moved
        return Prediction(self.models, self.targets, mean, self.sd * scale, low, high)


def _units(scores: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """Returns offset and scale (T,): one unit of z is the spread of the scores, and where the means meet."""
    seen = np.isfinite(scores)
    n = np.maximum(seen.sum(axis=0), 1)
    centre = np.where(seen, scores, 0.0).sum(axis=0) / n
    spread = np.sqrt((np.where(seen, scores - centre, 0.0) ** 2).sum(axis=0) / n)
    spread = np.where(seen.sum(axis=0) >= 2, spread, np.nan)
    return centre - spread * np.where(seen, mean, 0.0).sum(axis=0) / n, spread


class LinkPredictor(Protocol):
    """A ranker of models for a dataset. The results on a target itself never reach its prediction."""

    def predict(self, graph: ZooGraph, targets: Sequence[str]) -> Prediction:
        """Predicts every model of the graph on the targets, which are datasets of the graph, measured or not."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How many `sd` an interval reaches to either side, learnt on `n_datasets` held-out datasets."""

    reach: float = NormalDist().inv_cdf((1 + LEVEL) / 2)
    n_datasets: int = 0


def calibrate(mean: Floats, sd: Floats, truth: Results) -> Calibration:
    """Returns the conformal reach from predictions (M, D) of datasets that were held out, nan for one that was not.

    Split conformal over datasets: every dataset counts the same however many results it has, and with n of them the
    quantile is taken at .9 (1 + 1/n), at most at .98 (Vovk et al. 2005; Dunn et al. 2022). Fewer than five datasets
    tell nothing, and the normal distribution's 1.64 stands.
    """
    predicted = mean[truth.model, truth.dataset]
    rows = np.flatnonzero(np.isfinite(predicted))
    dataset = truth.dataset[rows]
    n_datasets = len(np.unique(dataset))
    if n_datasets < _MIN_DATASETS:
        return Calibration()
    n = np.bincount(dataset, minlength=truth.n_datasets)
    error = truth.z[rows] - predicted[rows]
    error = error - (np.bincount(dataset, error, minlength=truth.n_datasets) / np.maximum(n, 1))[dataset]
    distance = np.abs(error) / sd[truth.model, truth.dataset][rows]
    order = np.argsort(distance, kind="stable")
    reached = np.cumsum(1 / n[dataset[order]]) / n_datasets
    place = min(int(np.searchsorted(reached, min(LEVEL * (1 + 1 / n_datasets), _HIGHEST) - 1e-12)), len(order) - 1)
    return Calibration(float(distance[order[place]]), n_datasets)


def with_interval(
    graph: ZooGraph, targets: Sequence[str], mean: Floats, sd: Floats, calibration: Calibration
) -> Prediction:
    """Returns mean and sd (M, T) with the calibrated interval about the mean."""
    half = calibration.reach * sd
    return Prediction(graph.models, tuple(targets), mean, sd, mean - half, mean + half)
