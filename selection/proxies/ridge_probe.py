"""Ridge probe: cross-validated accuracy of a linear classifier on the features, from Gram matrices alone."""

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from selection.proxies.inputs import Ints
from selection.proxies.moments import Matrix, Moments, rank_cut
from selection.proxies.sampling import stratified_folds

FOLDS = 5
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def ridge_probe(moments: Moments) -> float:
    """Accuracy on held-out folds of ridge regression to one-hot labels, with the best of 5 penalties; 0 to 1.

    Penalties are relative to the mean eigenvalue of the training rows' scatter matrix; the intercept is not penalised.
    5 stratified folds (fewer with fewer rows); each fold's training Gram is the whole less its own. Because the penalty
    is chosen on the same folds the value is slightly optimistic, by the same rule for every model.
    """
    folds = stratified_folds(moments.labels, FOLDS, moments.seed)
    predict = _dual_predictions if moments.n_dims > moments.n_rows else _primal_predictions
    hits = np.zeros(len(PENALTIES))
    for fold in range(int(folds.max()) + 1):
        truth = moments.labels[folds == fold]
        for index, predicted in enumerate(predict(moments, folds == fold)):
            hits[index] += (predicted.argmax(axis=1) == truth).sum()
    return float(hits.max() / moments.n_rows)


def _primal_predictions(moments: Moments, held: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Iterator[Matrix]:
    """Scores (held rows, C) for each penalty, by Cholesky of the training rows' (D, D) scatter."""
    rows, targets = moments.centered[held], _one_hot(moments.labels[held], len(moments.counts))
    n_train = moments.n_rows - len(rows)
    mean = -rows.sum(axis=0) / n_train  # the rows of all folds sum to zero
    scatter = moments.centered_gram - rows.T @ rows - n_train * np.outer(mean, mean)
    class_counts = moments.counts - targets.sum(axis=0)
    moment = moments.centered_class_sums.T - rows.T @ targets - np.outer(mean, class_counts)
    scale = float(np.trace(scatter)) / moments.n_dims
    for penalty in PENALTIES:
        weights = _solved(scatter, penalty * scale, moment, _cut(moments))
        yield (rows - mean) @ weights + class_counts / n_train


def _dual_predictions(moments: Moments, held: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Iterator[Matrix]:
    """The same scores from the (N, N) kernel, for D > N."""
    train, targets = ~held, _one_hot(moments.labels[~held], len(moments.counts))
    kernel = moments.centered_kernel[:, train]
    column_means = kernel[train].mean(axis=0)
    kernel = kernel - column_means
    kernel -= kernel[:, :].mean(axis=1, keepdims=True)
    prior = targets.mean(axis=0)
    scale = float(np.trace(kernel[train])) / moments.n_dims
    for penalty in PENALTIES:
        yield kernel[held] @ _solved(kernel[train], penalty * scale, targets - prior, _cut(moments)) + prior


def _cut(moments: Moments) -> float:
    """What a gram's entries may be wrong by: training rows that differ by less are equal."""
    total = np.array([moments.squared_norms.sum()])
    return max(rank_cut(total, moments.n_rows, moments.n_dims), float(np.finfo(np.float64).tiny))


def _solved(gram: Matrix, penalty: float, targets: Matrix, cut: float) -> Matrix:
    """(gram + penalty I)^-1 targets; zeros where there is nothing to learn from (a penalty within rounding)."""
    if penalty <= cut:
        return np.zeros_like(targets)
    shifted = gram.copy()
    np.fill_diagonal(shifted, shifted.diagonal() + penalty)
    return np.asarray(scipy.linalg.solve(shifted, targets, assume_a="pos", overwrite_a=True, check_finite=False))


def _one_hot(labels: Ints, n_classes: int) -> Matrix:
    targets = np.zeros((len(labels), n_classes))
    targets[np.arange(len(labels)), labels] = 1.0
    return targets
