"""Nearest centroid: leave-one-out accuracy of the nearest class mean, in closed form."""

import numpy as np

from selection.errors import InputError
from selection.proxies.moments import Moments


def nearest_centroid(moments: Moments) -> float:
    """Share of rows to which the mean of their class, taken without them, is nearest (Euclidean); 0 to 1.

    Leaving a row out of its class's n_c moves that mean away from it, by a factor n_c / (n_c - 1). The only row of a
    class is a miss; so is a row whose class mean ties with another.

    Raises:
        InputError: all rows are the same.
    """
    if not moments.squared_norms.any():
        raise InputError("got the same features in every row, wanted rows that differ to find centroids by")
    rows, counts = np.arange(moments.n_rows), moments.counts[moments.labels]
    means = moments.class_means
    distances = np.einsum("cd,cd->c", means, means) - 2.0 * moments.centered @ means.T
    distances += moments.squared_norms[:, None]
    growth = counts / np.maximum(counts - 1, 1)
    own = np.where(counts > 1, np.square(growth) * moments.within_norms, np.inf)
    distances[rows, moments.labels] = np.inf
    return float((own < distances.min(axis=1)).mean())
