"""PARC: do samples that are far apart in the features differ in label? (Bolya et al. 2021, section 3)."""

import numpy as np

from selection.errors import InputError
from selection.proxies.inputs import Ints
from selection.proxies.moments import Moments
from selection.proxies.sampling import stratified_sample
from selection.proxies.spectra import Matrix, centred, principal_scores

PROBE_ROWS = 500
REDUCED_DIMS = 32
_GRID = 2.0**34
_BLOCK = 1024


def parc(moments: Moments) -> float:
    """100 x the Spearman correlation of feature distances and label distances on 500 stratified probe rows.

    Raises:
        InputError: fewer than two principal components or fewer than two different pairs.
    """
    return parc_of(moments, PROBE_ROWS)


def parc_of(moments: Moments, n_probe_rows: int) -> float:
    """PARC on any number of probe rows; quadratic in them (12.5 million pairs at 5,000).

    Features, as given, are reduced to 32 principal components of variance 1; distance is 1 - Pearson correlation of
    two rows; a row whose components are all equal has distance 1 to all. Distances within 6e-11 count as equal.
    """
    rows = stratified_sample(moments.labels, n_probe_rows, moments.seed)
    scores = principal_scores(centred(moments.raw[rows]), REDUCED_DIMS)
    if scores.shape[1] < 2:
        raise InputError(f"got {scores.shape[1]} principal components, wanted 2 or more to correlate two rows by")
    return 100.0 * label_spearman(*_pair_distances(scores, moments.labels[rows]))


def label_spearman(distances: Matrix, same: Matrix) -> float:
    """Spearman correlation, ties exact, of distances with the label distance of their pairs, which has two values.

    distances (P,) of all pairs, in any order and overwritten; same (S,) those of them whose labels are equal.
    With two label values it takes only the mean rank of one group: no ranks of all pairs are formed.

    Raises:
        InputError: all pairs agree in label, or all distances are equal.
    """
    n, n_same = len(distances), len(same)
    distances.sort()
    same = np.sort(same)
    below = np.searchsorted(distances, same, side="left")
    upto = np.searchsorted(distances, same, side="right")
    rank_sum = float((below + upto + 1).sum()) / 2
    spread = _rank_sum_of_squares(distances)
    if not 0 < n_same < n or spread == 0:
        raise InputError(
            f"got {n_same} of {n} pairs with equal labels, wanted some of each kind at different distances"
        )
    covariance = n_same * (n + 1) / 2 - rank_sum
    return float(covariance / np.sqrt(spread * n_same * (n - n_same) / n))


def _rank_sum_of_squares(ordered: Matrix) -> float:
    """Sum of squared deviations of the average ranks of sorted values."""
    n = len(ordered)
    edges = np.flatnonzero(ordered[1:] != ordered[:-1])
    tied = 0.0
    if len(edges) < n - 1:
        sizes = np.diff(np.concatenate(([-1], edges, [n - 1]))).astype(np.float64)
        tied = float((sizes**3 - sizes).sum())
    return (float(n) ** 3 - n - tied) / 12


def _pair_distances(scores: Matrix, labels: Ints) -> tuple[Matrix, Matrix]:
    """Distances of all pairs i < j, and of those with equal labels, on a grid of 2^-34 against rounding noise."""
    rows = scores - scores.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-12)
    n, filled = len(rows), 0
    everything, same = np.empty(n * (n - 1) // 2), []
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        block = np.rint((1.0 - rows[start:stop] @ rows[start:].T) * _GRID) / _GRID
        upper = np.arange(n - start)[None, :] > np.arange(stop - start)[:, None]
        values = block[upper]
        everything[filled : filled + len(values)] = values
        filled += len(values)
        same.append(block[upper & (labels[start:stop, None] == labels[None, start:])])
    return everything, np.concatenate(same)
