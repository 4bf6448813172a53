"""LDA: leave-one-out posterior of a shrunk linear discriminant analysis, in closed form."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from selection.errors import InputError
from selection.proxies.hscore import ledoit_wolf
from selection.proxies.inputs import softmax
from selection.proxies.moments import Moments
from selection.proxies.spectra import Matrix, trace_cut

LEAST_SHRINKAGE = 1e-6


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """The covariance (1 - intensity) W / (rows - 1) + intensity x variance x I, W the classes' scatter, (K, K)."""

    intensity: float
    variance: float


def lda(moments: Moments) -> float:
    """Mean posterior of each row's own class, by class means, priors and covariance of the other rows; 0 to 1.

    The within-class covariance is shrunk towards its mean variance by Ledoit and Wolf's intensity (at least 1e-6);
    intensity and variance are those of all rows, everything else leaves the row out: the inverse by Sherman and
    Morrison, so one Cholesky factor serves all rows. The only row of a class counts 0: without it there is no class.

    Raises:
        InputError: all rows are the same.
    """
    if not moments.squared_norms.any():
        raise InputError("got the same features in every row, wanted rows that differ to tell classes apart by")
    own = softmax(left_out_logits(moments, shrinkage(moments)))[np.arange(moments.n_rows), moments.labels]
    return float(own.mean())


def shrinkage(moments: Moments) -> Shrinkage:
    """Ledoit and Wolf's shrinkage of the within-class covariance; the variance is kept above rounding of the rows."""
    compact, n_rows, n_dims = moments.compact, moments.n_rows, moments.n_dims
    norms = compact.within_norms
    frobenius = float(np.square(compact.within_gram).sum()) / n_rows**2
    intensity = ledoit_wolf(float(norms.mean()), float(np.square(norms).mean()), frobenius, n_rows, n_dims)
    least = trace_cut(compact.centered_gram, n_rows, n_dims) / n_rows
    return Shrinkage(max(intensity, LEAST_SHRINKAGE), max(float(norms.mean()) / n_dims, least))


def left_out_logits(moments: Moments, shrunk: Shrinkage) -> Matrix:
    """Log posterior of each class (N, C), up to a constant per row, from all rows but the one it is of.

    With d = x - m_c of the row's class c, b_k = m_c - m_k and A the whole covariance, the row's distance to class k is
    (d + b_k)' A^-1 (d + b_k). Without the row A loses r d d', r = n_c / (n_c - 1) (1 - intensity) / (N - 1), and d
    becomes n_c / (n_c - 1) d.
    """
    compact, labels, n_rows = moments.compact, moments.labels, moments.n_rows
    own, counts = np.arange(n_rows), moments.counts[labels]
    covariance = compact.within_gram * ((1.0 - shrunk.intensity) / (n_rows - 1))
    np.fill_diagonal(covariance, covariance.diagonal() + shrunk.intensity * shrunk.variance)
    factor = scipy.linalg.cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
    within = scipy.linalg.solve_triangular(factor, compact.within.T, lower=True, check_finite=False)  # (K, N)
    means = scipy.linalg.solve_triangular(factor, compact.class_means.T, lower=True, check_finite=False)  # (K, C)
    lengths = np.einsum("kn,kn->n", within, within)  # d' A^-1 d
    toward = within.T @ means
    toward = toward[own, labels][:, None] - toward  # b_k' A^-1 d
    between = _squared_distances(means.T)
    growth = counts / np.maximum(counts - 1, 1)
    removed = growth * (1.0 - shrunk.intensity) / (n_rows - 1)
    kept = np.maximum(1.0 - removed * lengths, np.finfo(np.float64).eps)
    distances = lengths[:, None] + 2.0 * toward + between[labels]
    distances += (removed / kept)[:, None] * np.square(lengths[:, None] + toward)
    distances[own, labels] = np.square(growth) * lengths / kept
    remaining = np.tile(moments.counts.astype(np.float64), (n_rows, 1))
    remaining[own, labels] -= 1.0
    with np.errstate(divide="ignore"):  # the log of no rows is -inf: such a class has no posterior
        return np.asarray(np.log(remaining) - 0.5 * distances)


def _squared_distances(points: Matrix) -> Matrix:
    """Between all pairs of points (C, K): (C, C)."""
    gram = points @ points.T
    norms = np.diagonal(gram)
    return np.maximum(norms[:, None] + norms[None, :] - 2.0 * gram, 0.0)
