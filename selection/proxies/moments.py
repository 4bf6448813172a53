"""Shared statistics of one feature matrix and its labels, each computed once, on first use.

Symbols follow the papers: F (N, D) features, Y (N, C) one-hot labels, n_c class counts, mu the mean row.
Everything is accumulated in float64 about the mean, so constant and large-mean features cost no digits: on the
machines measured a float64 Gram takes 60 ms where float32 takes 30 (N=5000, D=768, one thread), and it is what lets
a rank be told from noise. Where D > N the N x N side is decomposed instead of the D x D side.

This file knows no score: those are one file each.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse
from scipy.linalg import lapack

from selection.errors import InputError
from selection.proxies.inputs import Floats, Ints, checked_features, checked_probabilities, compact_labels

Matrix = npt.NDArray[np.float64]


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


class Moments:
    """Statistics that the proxy scores share; nothing is computed before a score asks for it.

    features (N, D) of any float type; labels (N,) non-negative integers with any gaps; source_probabilities (N, Cs)
    where the model came with a classification head. `reduce_to` replaces the features by that many principal
    components, each with variance 1, as PARC does (Bolya et al. 2021, section 4). `seed` fixes every random choice.

    Raises:
        InputError: NaN or infinity, wrong shapes, fewer than two rows, negative labels or only one class.
    """

    def __init__(
        self,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        source_probabilities: npt.ArrayLike | None = None,
        reduce_to: int | None = None,
        seed: int = 0,
    ) -> None:
        self.raw: Floats = checked_features(features)
        self.labels: Ints = compact_labels(labels, len(self.raw))
        self.source_probabilities: Floats | None = None
        if source_probabilities is not None:
            self.source_probabilities = checked_probabilities(source_probabilities, len(self.raw))
        if reduce_to is not None and reduce_to < 1:
            raise InputError(f"reduce_to: got {reduce_to}, wanted 1 or more dimensions, or None to keep all")
        self.reduce_to = reduce_to
        self.seed = seed

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.raw)

    @property
    def n_dims(self) -> int:
        """D, after the reduction if there is one."""
        return int(self.raw.shape[1] if self.reduce_to is None else self.features.shape[1])

    @cached_property
    def counts(self) -> Ints:
        """n_c, (C,)."""
        return np.bincount(self.labels)

    @cached_property
    def one_hot(self) -> scipy.sparse.csr_array:
        """Y' as a sparse (C, N) matrix."""
        rows = np.argsort(self.labels, kind="stable")
        starts = np.concatenate(([0], np.cumsum(self.counts)))
        return scipy.sparse.csr_array((np.ones(self.n_rows), rows, starts), shape=(len(self.counts), self.n_rows))

    @cached_property
    def features(self) -> Floats:
        """F (N, D): as given, or reduced and standardised.

        Raises:
            InputError: a reduction was asked for and all rows are the same.
        """
        if self.reduce_to is None:
            return self.raw
        scores = principal_scores(centred(self.raw), self.reduce_to)
        if scores.shape[1] == 0:
            raise InputError("features: got the same row every time, wanted rows that differ to reduce them")
        return scores

    @cached_property
    def mean(self) -> Matrix:
        """mu (D,)."""
        return np.asarray(self.features.mean(axis=0, dtype=np.float64))

    @cached_property
    def centered(self) -> Matrix:
        """F - mu (N, D), float64; exactly zero where a feature is constant."""
        return centred(self.features)

    @cached_property
    def centered_gram(self) -> Matrix:
        """(F - mu)'(F - mu), (D, D)."""
        return np.asarray(self.centered.T @ self.centered)

    @cached_property
    def centered_kernel(self) -> Matrix:
        """(F - mu)(F - mu)', (N, N)."""
        return np.asarray(self.centered @ self.centered.T)

    @cached_property
    def squared_norms(self) -> Matrix:
        """Squared length of each centred row, (N,)."""
        return np.asarray(np.einsum("nd,nd->n", self.centered, self.centered))

    @cached_property
    def centered_class_sums(self) -> Matrix:
        """Y'(F - mu), (C, D)."""
        return np.asarray(self.one_hot @ self.centered)

    @cached_property
    def between(self) -> Matrix:
        """sqrt(n_c / N) (m_c - mu), (C, D): its own Gram is the between-class covariance Sb."""
        return np.asarray(self.centered_class_sums / np.sqrt(self.counts * self.n_rows)[:, None])

    @cached_property
    def spectrum(self) -> Spectrum:
        """Spectrum of F, not centred."""
        if self.n_dims > self.n_rows:
            features = self.features.astype(np.float64)
            return self._dual_spectrum(features @ features.T)
        gram = self.centered_gram + self.n_rows * np.outer(self.mean, self.mean)
        return self._primal_spectrum(gram, self.centered_class_sums + self.counts[:, None] * self.mean)

    @cached_property
    def centered_spectrum(self) -> Spectrum:
        """Spectrum of F - mu."""
        if self.n_dims > self.n_rows:
            return self._dual_spectrum(self.centered_kernel)
        return self._primal_spectrum(self.centered_gram, self.centered_class_sums)

    def principal(self, share: float) -> Matrix:
        """The fewest principal components (N, q), largest first, that hold `share` of the variance, not scaled."""
        dual = self.n_dims > self.n_rows
        values, vectors = scipy.linalg.eigh(self.centered_kernel if dual else self.centered_gram, driver="evd")
        kept = np.flatnonzero(values > rank_cut(values, self.n_rows, self.n_dims))[::-1]
        held = np.cumsum(values[kept])
        kept = kept[: np.searchsorted(held, share * held[-1]) + 1] if len(kept) else kept
        return np.asarray(vectors[:, kept] * np.sqrt(values[kept]) if dual else self.centered @ vectors[:, kept])

    @cached_property
    def covariance_factor(self) -> Matrix | None:
        """Lower Cholesky factor of the covariance (divided by N); None where the covariance is singular.

        Singular means D >= N, or a squared pivot at or under `rank_cut` of the largest variance.
        """
        if self.n_dims >= self.n_rows:
            return None
        try:
            factor = scipy.linalg.cholesky(self.centered_gram / self.n_rows, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        pivots = np.square(np.diagonal(factor))
        total = float(np.trace(self.centered_gram)) / self.n_rows
        return factor if pivots.min() > rank_cut(np.array([total]), self.n_rows, self.n_dims) else None

    def _primal_spectrum(self, gram: Matrix, class_sums: Matrix) -> Spectrum:
        values, coordinates = eigen_coordinates(gram, class_sums.T)
        kept = values > rank_cut(values, self.n_rows, self.n_dims)
        return Spectrum(values[kept], coordinates[kept] / np.sqrt(values[kept])[:, None])

    def _dual_spectrum(self, kernel: Matrix) -> Spectrum:
        values, coordinates = eigen_coordinates(kernel, self.one_hot.toarray().T)
        kept = values > rank_cut(values, self.n_rows, self.n_dims)
        return Spectrum(values[kept], coordinates[kept])
