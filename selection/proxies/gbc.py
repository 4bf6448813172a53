"""GBC: how little the classes overlap as Gaussians (Pandy et al. 2022, equations 3 and 4)."""

import numpy as np
from scipy.special import logsumexp

from selection.errors import InputError
from selection.proxies.moments import Moments
from selection.proxies.spectra import Matrix

COMPONENTS = 64
_FLOOR = 1e-6


def gbc(moments: Moments) -> float:
    """-log of the summed Bhattacharyya coefficients of all pairs of different classes; the paper's is -exp(-ours).

    The logarithm ranks alike and does not underflow. Classes are Gaussians of diagonal covariance on the first 64
    principal components, not scaled, as in the authors' program. A variance is at least 1e-6 of the mean one within
    classes; a class of one row, which has none, takes that of all classes pooled.

    Raises:
        InputError: no feature varies within any class.
    """
    counts = moments.counts[:, None]
    reduced = Moments(moments.leading(COMPONENTS), moments.labels) if moments.squared_norms.any() else moments
    squares = reduced.targets @ np.square(reduced.within)
    pooled = squares.sum(axis=0) / moments.n_rows
    floor = _FLOOR * float(pooled.mean())
    if floor == 0.0:
        raise InputError("got features that do not vary within any class, wanted rows that differ; add samples")
    variances = np.maximum(np.where(counts > 1, squares / counts, pooled), floor)
    return -float(logsumexp(-_distances(reduced.class_means, variances)))


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
