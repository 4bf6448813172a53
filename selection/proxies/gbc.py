"""GBC: how little the classes overlap as Gaussians (Pandy et al. 2022, equations 3 and 4)."""

import numpy as np
from scipy.special import logsumexp

from selection.errors import InputError
from selection.proxies.moments import Moments
from selection.proxies.spectra import Matrix

_FLOOR = 1e-6


def gbc(moments: Moments) -> float:
    """-log of the summed Bhattacharyya coefficients of all pairs of different classes; the paper's is -exp(-ours).

    The logarithm ranks alike and does not underflow, as the paper's sum does from some hundred features on. Classes
    are Gaussians of diagonal covariance; a variance is at least 1e-6 of the mean one within classes, and a class of
    one row, which has none, takes that of all classes pooled. The paper's programs first take 64 principal components,
    which ranked the demo zoo's models worse.

    Raises:
        InputError: no feature varies within any class.
    """
    counts = moments.counts[:, None]
    pooled = moments.class_squares.sum(axis=0) / moments.n_rows
    floor = _FLOOR * float(pooled.mean())
    if floor == 0.0:
        raise InputError("got features that do not vary within any class, wanted rows that differ; add samples")
    variances = np.maximum(np.where(counts > 1, moments.class_squares / counts, pooled), floor)
    return -float(logsumexp(-_distances(moments.class_means, variances)))


def _distances(means: Matrix, variances: Matrix) -> Matrix:
    """Bhattacharyya distance of each ordered pair of different Gaussians, means and variances (C, D): (C (C - 1),)."""
    volumes = np.log(variances).sum(axis=1)
    halves = []
    for c in range(len(means) - 1):
        average = (variances[c] + variances[c + 1 :]) / 2.0
        apart = (np.square(means[c] - means[c + 1 :]) / average).sum(axis=1) / 8.0
        spread = np.log(average).sum(axis=1) - (volumes[c] + volumes[c + 1 :]) / 2.0
        halves.append(apart + spread / 2.0)
    return np.tile(np.concatenate(halves), 2)
