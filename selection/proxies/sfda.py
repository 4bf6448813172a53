"""SFDA: Fisher discriminant posterior after each row moved towards the other classes (Shao et al. 2022, section 3)."""

import numpy as np
import scipy.linalg

from selection.errors import InputError
from selection.proxies.inputs import softmax
from selection.proxies.moments import Moments
from selection.proxies.spectra import Matrix, largest_eigenvalue, trace_cut

SHRINKAGE_DECAY = 5.0
LEAST_SHRINKAGE = 1e-10


def sfda(moments: Moments) -> float:
    """Mean posterior of the rows' own classes in the second of two shrunk discriminant analyses; 0 to 1.

    Both shrink the within-class covariance Sw towards its mean variance by exp(-5 largest eigenvalue of Sw), at least
    1e-10. Between them each row is mixed with the mean of the other classes' means, in the share that the first
    analysis left its own class (ConfMix; that posterior softened by a softmax, as in the authors' program). It is
    measured on the rows it was fitted to, so it saturates at 1 as D nears N.

    Raises:
        InputError: all rows are the same.
    """
    if not moments.squared_norms.any():
        raise InputError("got the same features in every row, wanted rows that differ to tell classes apart by")
    compact, own = moments.compact, np.arange(moments.n_rows)
    shrinkage = max(
        np.exp(-SHRINKAGE_DECAY * largest_eigenvalue(compact.within_gram) / moments.n_rows), LEAST_SHRINKAGE
    )
    posterior = _posterior(moments, compact.centered, compact.class_means, compact.within_gram, shrinkage)
    softened = np.asarray(softmax(posterior), np.float64)
    mixed = _mixed(compact, softened[own, moments.labels])
    sums = moments.targets @ mixed
    between = sums / np.sqrt(moments.counts)[:, None]
    within = mixed.T @ mixed - between.T @ between
    posterior = _posterior(moments, mixed, sums / moments.counts[:, None], within, shrinkage)
    return float(posterior[own, moments.labels].mean())


def _posterior(moments: Moments, rows: Matrix, means: Matrix, within_gram: Matrix, shrinkage: float) -> Matrix:
    """P(class | row) (N, C) of Gaussians with these means (C, K) and the shrunk covariance of within_gram (K, K)."""
    n_rows, n_dims = moments.n_rows, moments.n_dims
    least = trace_cut(moments.compact.centered_gram, n_rows, n_dims) / n_rows
    variance = max(float(np.trace(within_gram)) / (n_rows * n_dims), least)
    covariance = within_gram * ((1.0 - shrinkage) / n_rows)
    np.fill_diagonal(covariance, covariance.diagonal() + shrinkage * variance)
    weights = scipy.linalg.solve(covariance, means.T, assume_a="pos", overwrite_a=True, check_finite=False)
    logits = rows @ weights + (np.log(moments.counts / n_rows) - 0.5 * np.einsum("cd,dc->c", means, weights))
    return np.asarray(softmax(logits), np.float64)


def _mixed(compact: Moments, confidence: Matrix) -> Matrix:
    """ConfMix: each row times its confidence, plus the mean of the other classes' means times the rest."""
    means = compact.class_means
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    rows = compact.centered * confidence[:, None]
    rows += (1.0 - confidence)[:, None] * others[compact.labels]
    return np.asarray(rows)
