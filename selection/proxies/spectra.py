"""Eigenvalues, factors and principal components of Gram matrices, and when a direction counts as rounding noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse.linalg
from scipy.linalg import lapack

from selection.proxies.inputs import Floats

Matrix = npt.NDArray[np.float64]
NOISE_ALLOWED = 1e-2
_DENSE_SIZE = 64


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The part of F = U diag(sqrt(values)) V' that is not rounding noise.

    values (r,) ascending eigenvalues of F'F above `rank_cut`; projections (r, C) = U'Y.
    """

    values: Matrix
    projections: Matrix


def rank_cut(values: Matrix, n_rows: int, n_dims: int) -> float:
    """The eigenvalue up to which a direction counts as zero: max(N, D) x 2.2e-16 x the largest eigenvalue.

    It is numpy's `matrix_rank` rule on the Gram matrix; in singular values, about 1e-6 of the largest.
    """
    return float(max(n_rows, n_dims) * np.finfo(np.float64).eps * values.max(initial=0.0))


def trace_cut(gram: Matrix, n_rows: int, n_dims: int) -> float:
    """`rank_cut` with the trace in place of the largest eigenvalue, which it bounds: what entries may be wrong by."""
    return rank_cut(np.array([np.trace(gram)]), n_rows, n_dims)


def eigen_coordinates(gram: Matrix, targets: Matrix) -> tuple[Matrix, Matrix]:
    """Ascending eigenvalues (K,) of a symmetric (K, K) matrix, and V' targets (K, C), without forming V.

    gram = Q T Q' with T tridiagonal and T = W diag(values) W': W'(Q' targets) spares the K^3 of V = Q W. One thread at
    K = 768: 45 ms, where eigenvectors take 77 (scipy's `evd`) to 100 (numpy, MRRR).

    Raises:
        LinAlgError: the eigenvalues do not converge.
    """
    if len(gram) == 1:
        return gram[0], targets
    block = 64 * len(gram)
    reflectors, diagonal, beside, tau, _ = lapack.dsytrd(gram, lower=1, lwork=block)
    turned = np.array(targets, dtype=np.float64, order="F")
    turned[1:] = lapack.dormqr("L", "T", reflectors[1:, :-1], tau, turned[1:], block)[0]
    values, vectors, failed = lapack.dstevd(diagonal, beside)
    if failed:
        raise np.linalg.LinAlgError(f"{failed} eigenvalues did not converge")
    return values, vectors.T @ turned


def largest_eigenvalue(gram: Matrix) -> float:
    """The largest eigenvalue of a symmetric matrix, by Lanczos where it is large; 0 of a matrix of zeros."""
    if len(gram) <= _DENSE_SIZE:
        return float(np.linalg.eigvalsh(gram)[-1])
    peak = float(np.abs(np.diagonal(gram)).max())
    if peak == 0.0:
        return 0.0
    start = np.random.default_rng(0).standard_normal(len(gram))
    found = scipy.sparse.linalg.eigsh(gram / peak, k=1, v0=start, tol=1e-10, return_eigenvectors=False)
    return peak * float(found[0])


def log_determinant(gram: Matrix, n_rows: int, n_dims: int) -> float:
    """log det(I + gram) of a positive semi-definite matrix.

    By Cholesky; by eigenvalues, those up to `trace_cut` as zeros, where rounding of the gram would count beside I.
    """
    cut = trace_cut(gram, n_rows, n_dims)
    if cut > NOISE_ALLOWED:
        values = scipy.linalg.eigvalsh(gram, check_finite=False)
        return float(np.log1p(values[values > cut]).sum())
    shifted = gram.copy()
    np.fill_diagonal(shifted, shifted.diagonal() + 1.0)
    factor = scipy.linalg.cholesky(shifted, lower=True, overwrite_a=True, check_finite=False)
    return float(2.0 * np.log(np.diagonal(factor)).sum())


def centred(features: Floats) -> Matrix:
    """Features less their column means, float64; a column that never changes becomes exactly zero."""
    rows: Matrix = features - features.mean(axis=0, dtype=np.float64)
    suspects = np.flatnonzero(features[0] == features[-1])
    rows[:, suspects[(features[:, suspects] == features[0, suspects]).all(axis=0)]] = 0.0
    return rows


def principal_scores(centered: Matrix, n_dims: int) -> Matrix:
    """The first `n_dims` principal components of centred rows, each with variance 1; fewer where the rank is less.

    Shapes: (N, D) -> (N, q), q = min(n_dims, rank). Components come largest first; each is signed so that its entry of
    largest magnitude is positive, as PARC's program got it from scikit-learn: correlations of rows depend on the signs.
    """
    n_rows, n_features = centered.shape
    dual = n_features > n_rows
    gram = centered @ centered.T if dual else centered.T @ centered
    size = len(gram)
    first = max(0, size - n_dims)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=(first, size - 1), overwrite_a=True, check_finite=False)
    keep = np.flatnonzero(values > rank_cut(values, n_rows, n_features))[::-1]
    left = vectors[:, keep] if dual else centered @ vectors[:, keep] / np.sqrt(values[keep])
    peaks = left[np.abs(left).argmax(axis=0), np.arange(len(keep))]
    scores: Matrix = left * (np.sign(peaks) * np.sqrt(n_rows))
    return scores
