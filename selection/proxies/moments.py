"""Shared statistics of one feature matrix and its labels, each computed once, on first use.

Symbols follow the papers: F (N, D) features, n_c class counts, mu the mean row; Y (N, C) one-hot labels or, in
regression, the one column of numbers to predict.
Everything is accumulated in float64 about the mean, so constant and large-mean features cost no digits: on the
machines measured a float64 Gram takes 60 ms where float32 takes 30 (N=5000, D=768, one thread), and it is what lets
a rank be told from noise. Where D > N the N x N side is decomposed instead of the D x D side.

This file knows no score: those are one file each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse

from selection.errors import InputError
from selection.proxies.inputs import (
    Floats,
    Ints,
    checked_features,
    checked_probabilities,
    checked_targets,
    compact_labels,
)
from selection.proxies.spectra import (
    Matrix,
    Spectrum,
    centred,
    eigen_coordinates,
    log_determinant,
    principal_scores,
    rank_cut,
    trace_cut,
)

Task = Literal["classification", "regression"]
_CANCELLED = 1e-6  # of the rows' scatter: with less within classes, the difference from that between would be noise


@dataclass(frozen=True, slots=True)
class Sums:
    """What is left of the rows of a classification task once they are summed up; D x D, whatever N was.

    counts (C,), all positive; mean (D,); gram (D, D) and class_sums (C, D) of the rows less `mean`; norm_means the
    means of their squared length and of its square.
    class_log_determinants(s) is log det(I + s / n_c Gram_c) of each class (C,); None where class Grams were not kept.
    """

    counts: Ints
    mean: Matrix
    gram: Matrix
    class_sums: Matrix
    norm_means: tuple[float, float]
    class_log_determinants: Callable[[float], Matrix] | None


class Moments:
    """Statistics that the proxy scores share; nothing is computed before a score asks for it.

    features (N, D) of any float type; labels (N,) non-negative integers with any gaps, or with task="regression"
    finite numbers; source_probabilities (N, Cs) where the model came with a classification head. `reduce_to` replaces
    the features by that many principal components, each with variance 1, as PARC does (Bolya et al. 2021, section 4).
    `seed` fixes every random choice.

    Raises:
        InputError: NaN or infinity, wrong shapes, fewer than two rows, negative labels, only one class or number.
    """

    def __init__(
        self,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        task: Task = "classification",
        source_probabilities: npt.ArrayLike | None = None,
        reduce_to: int | None = None,
        seed: int = 0,
    ) -> None:
        if task not in ("classification", "regression"):
            raise InputError(f"task: got {task!r}, wanted 'classification' or 'regression'")
        if reduce_to is not None and reduce_to < 1:
            raise InputError(f"reduce_to: got {reduce_to}, wanted 1 or more dimensions, or None to keep all")
        self._raw: Floats | None = checked_features(features)
        self.task: Task = task
        self.n_rows = len(self._raw)  # N
        self.reduce_to = reduce_to
        self.seed = seed
        self._sums: Sums | None = None
        self._labels: Ints | None = None
        if task == "regression":
            self._numbers = checked_targets(labels, self.n_rows)
        else:
            self._labels = compact_labels(labels, self.n_rows)
        self.source_probabilities: Floats | None = None
        if source_probabilities is not None:
            self.source_probabilities = checked_probabilities(source_probabilities, self.n_rows)

    @classmethod
    def of_sums(cls, sums: Sums) -> "Moments":
        """Statistics of rows that were not kept: what needs the rows raises an InputError that says so."""
        self = cls.__new__(cls)
        self._raw = self._labels = self.source_probabilities = self.reduce_to = None
        self.task, self.seed, self.n_rows = "classification", 0, int(sums.counts.sum())
        self._sums = sums
        self.counts, self.mean, self.norm_means = sums.counts, sums.mean, sums.norm_means
        self.centered_gram, self.target_sums = sums.gram, sums.class_sums
        self.target_totals = self.target_energies = sums.counts.astype(np.float64)
        return self

    @property
    def raw(self) -> Floats:
        """The features as given, (N, D)."""
        if self._raw is None:
            raise InputError("got sums over the rows, wanted the rows themselves: give score_all the features")
        return self._raw

    @property
    def labels(self) -> Ints:
        """Classes 0..C-1, (N,)."""
        if self._labels is None and self.task == "regression":
            raise InputError("got numbers to predict, wanted classes: this score is not defined for regression")
        if self._labels is None:
            raise InputError("got sums over the rows, wanted the rows themselves: give score_all the features")
        return self._labels

    @property
    def numbers(self) -> Matrix:
        """The targets of a regression, (N,)."""
        return self._numbers

    @property
    def n_dims(self) -> int:
        """D, after the reduction if there is one."""
        if self._raw is None:
            return len(self.mean)
        return int(self._raw.shape[1] if self.reduce_to is None else self.features.shape[1])

    @property
    def dual(self) -> bool:
        """Whether the N x N side is decomposed: D > N, and the rows are there."""
        return self._raw is not None and self.n_dims > self.n_rows

    @cached_property
    def counts(self) -> Ints:
        """n_c, (C,)."""
        return np.bincount(self.labels)

    @cached_property
    def class_rows(self) -> list[Ints]:
        """The rows of each class, ascending."""
        return np.split(np.argsort(self.labels, kind="stable"), np.cumsum(self.counts)[:-1])

    @cached_property
    def targets(self) -> scipy.sparse.csr_array:
        """Y' as a sparse (C, N) matrix."""
        if self.task == "regression":
            return scipy.sparse.csr_array(self.numbers[None])
        starts = np.concatenate(([0], np.cumsum(self.counts)))
        rows = np.concatenate(self.class_rows)
        return scipy.sparse.csr_array((np.ones(self.n_rows), rows, starts), shape=(len(self.counts), self.n_rows))

    @cached_property
    def target_totals(self) -> Matrix:
        """Column sums of Y, (C,): of one-hot labels, n_c."""
        return np.asarray(self.targets.sum(axis=1), np.float64)

    @cached_property
    def target_energies(self) -> Matrix:
        """Column sums of squares of Y, (C,): of one-hot labels, n_c."""
        return np.asarray(self.targets.power(2).sum(axis=1), np.float64)

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
    def norm_means(self) -> tuple[float, float]:
        """Means over the centred rows of their squared length and of its square."""
        return float(self.squared_norms.mean()), float(np.square(self.squared_norms).mean())

    @cached_property
    def target_sums(self) -> Matrix:
        """Y'(F - mu), (C, D): of one-hot labels, each class's sum of centred rows."""
        return np.asarray(self.targets @ self.centered)

    @cached_property
    def class_means(self) -> Matrix:
        """m_c - mu, (C, D)."""
        return np.asarray(self.target_sums / self.counts[:, None])

    @cached_property
    def within(self) -> Matrix:
        """Each row less the mean of its class, (N, D); exactly zero where that is rounding of the mean."""
        rows = self.centered - self.class_means[self.labels]
        rounding = (self.n_rows * np.finfo(np.float64).eps) ** 2 * self.squared_norms.max()
        rows[np.einsum("nd,nd->n", rows, rows) <= rounding] = 0.0
        return np.asarray(rows)

    @cached_property
    def within_norms(self) -> Matrix:
        """Squared length of each row of `within`, (N,)."""
        return np.asarray(np.einsum("nd,nd->n", self.within, self.within))

    @cached_property
    def within_gram(self) -> Matrix:
        """N Sw: the classes' scatter about their own means, (D, D)."""
        if self.within_norms.sum() < _CANCELLED * self.squared_norms.sum():
            return np.asarray(self.within.T @ self.within)
        weighted = self.between * np.sqrt(self.n_rows)
        return np.asarray(self.centered_gram - weighted.T @ weighted)

    @cached_property
    def between(self) -> Matrix:
        """sqrt(n_c / N) (m_c - mu), (C, D): its own Gram is the between-class covariance Sb."""
        return np.asarray(self.target_sums / np.sqrt(self.counts * self.n_rows)[:, None])

    @cached_property
    def compact(self) -> "Moments":
        """The same rows, centred, turned into at most N dimensions; distances stay what they were."""
        if not self.dual:
            return self
        turned = scipy.linalg.qr(self.centered.T, mode="r", check_finite=False)[0][: self.n_rows]
        return Moments(turned.T, self.labels, seed=self.seed)

    def class_log_determinants(self, scale: float) -> Matrix:
        """log det(I + scale / n_c Gram_c), (C,), Gram_c of the class's rows less the mean of all rows.

        Raises:
            InputError: only sums over all classes were kept.
        """
        if self._sums is not None:
            if self._sums.class_log_determinants is None:
                raise InputError("got sums over all classes, wanted a Gram per class: Accumulator(class_grams=True)")
            return self._sums.class_log_determinants(scale)
        found = []
        for index in self.class_rows:
            rows = self.centered[index] * np.sqrt(scale / len(index))
            gram = rows @ rows.T if len(index) < self.n_dims else rows.T @ rows
            found.append(log_determinant(gram, len(index), self.n_dims))
        return np.array(found)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Spectrum of F, not centred."""
        if self.dual:
            features = self.features.astype(np.float64)
            return self._dual_spectrum(features @ features.T)
        gram = self.centered_gram + self.n_rows * np.outer(self.mean, self.mean)
        return self._primal_spectrum(gram, self.target_sums + self.target_totals[:, None] * self.mean)

    @cached_property
    def centered_spectrum(self) -> Spectrum:
        """Spectrum of F - mu."""
        if self.dual:
            return self._dual_spectrum(self.centered_kernel)
        return self._primal_spectrum(self.centered_gram, self.target_sums)

    def principal(self, share: float) -> Matrix:
        """The fewest principal components (N, q), largest first, that hold `share` of the variance, not scaled."""
        held = np.cumsum(self._axes[0])
        return self.leading(int(np.searchsorted(held, share * held[-1])) + 1 if len(held) else 0)

    def leading(self, n_components: int) -> Matrix:
        """The first principal components (N, q), q = min(n_components, rank), largest first, not scaled."""
        values, vectors = self._axes[0][:n_components], self._axes[1][:, :n_components]
        return np.asarray(vectors * np.sqrt(values) if self.dual else self.centered @ vectors)

    @cached_property
    def _axes(self) -> tuple[Matrix, Matrix]:
        """Eigenvalues (r,), largest first, above `rank_cut` and their vectors (K, r) of the centred Gram or kernel."""
        values, vectors = scipy.linalg.eigh(self.centered_kernel if self.dual else self.centered_gram, driver="evd")
        kept = np.flatnonzero(values > rank_cut(values, self.n_rows, self.n_dims))[::-1]
        return values[kept], vectors[:, kept]

    @cached_property
    def covariance_factor(self) -> Matrix | None:
        """Lower Cholesky factor of the covariance (divided by N); None where the covariance is singular.

        Singular means D >= N, or a squared pivot at or under `rank_cut` of the largest variance.
        """
        if self.n_dims >= self.n_rows:
            return None
        covariance = self.centered_gram / self.n_rows
        try:
            factor = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        pivots = np.square(np.diagonal(factor))
        return factor if pivots.min() > trace_cut(covariance, self.n_rows, self.n_dims) else None

    def _primal_spectrum(self, gram: Matrix, target_sums: Matrix) -> Spectrum:
        values, coordinates = eigen_coordinates(gram, target_sums.T)
        kept = values > rank_cut(values, self.n_rows, self.n_dims)
        return Spectrum(values[kept], coordinates[kept] / np.sqrt(values[kept])[:, None])

    def _dual_spectrum(self, kernel: Matrix) -> Spectrum:
        values, coordinates = eigen_coordinates(kernel, self.targets.toarray().T)
        kept = values > rank_cut(values, self.n_rows, self.n_dims)
        return Spectrum(values[kept], coordinates[kept])
