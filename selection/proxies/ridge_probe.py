"""Ridge probe: cross-validated accuracy (classes) or R^2 (numbers) of a linear model, from Gram matrices alone."""

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from selection.proxies.knn import r_squared
from selection.proxies.moments import Moments
from selection.proxies.sampling import stratified_folds
from selection.proxies.spectra import Matrix, rank_cut

FOLDS = 5
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

_Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


def ridge_probe(moments: Moments) -> float:
    """Accuracy on held-out folds of ridge regression to one-hot labels, with the best of 5 penalties; 0 to 1.

    Of numbers to predict it is R^2 over all held-out rows, at most 1. Penalties are relative to the mean eigenvalue of
    the training rows' scatter matrix; the intercept is not penalised. 5 folds (fewer with fewer rows), stratified by
    class; each fold's training Gram is the whole less its own. Because the penalty is chosen on the same folds the
    value is slightly optimistic, by the same rule for every model.
    """
    if moments.task == "regression":
        folds = stratified_folds(np.zeros(moments.n_rows, np.int64), FOLDS, moments.seed)
        predicted = _held_out(moments, folds)
        return max(r_squared(moments.numbers, column) for column in predicted[:, :, 0])
    folds = stratified_folds(moments.labels, FOLDS, moments.seed)
    hits = _held_out(moments, folds).argmax(axis=2) == moments.labels
    return float(hits.sum(axis=1).max() / moments.n_rows)


def _held_out(moments: Moments, folds: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Matrix:
    """Each row's prediction by the model fitted without its fold, for each penalty: (5, N, C)."""
    predict = _dual_predictions if moments.dual else _primal_predictions
    targets = moments.targets.toarray().T
    predicted = np.empty((len(PENALTIES), *targets.shape))
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        for index, values in enumerate(predict(moments, targets, held)):
            predicted[index, held] = values
    return predicted


def _primal_predictions(moments: Moments, targets: Matrix, held: _Mask) -> Iterator[Matrix]:
    """Scores (held rows, C) for each penalty, by Cholesky of the training rows' (D, D) scatter."""
    rows = moments.centered[held]
    n_train = moments.n_rows - len(rows)
    mean = -rows.sum(axis=0) / n_train  # the rows of all folds sum to zero
    scatter = moments.centered_gram - rows.T @ rows - n_train * np.outer(mean, mean)
    totals = moments.target_totals - targets[held].sum(axis=0)
    moment = moments.target_sums.T - rows.T @ targets[held] - np.outer(mean, totals)
    scale = float(np.trace(scatter)) / moments.n_dims
    for penalty in PENALTIES:
        weights = _solved(scatter, penalty * scale, moment, _cut(moments))
        yield (rows - mean) @ weights + totals / n_train


def _dual_predictions(moments: Moments, targets: Matrix, held: _Mask) -> Iterator[Matrix]:
    """The same scores from the (N, N) kernel, for D > N."""
    train = ~held
    kernel = moments.centered_kernel[:, train]
    column_means = kernel[train].mean(axis=0)
    kernel = kernel - column_means
    kernel -= kernel.mean(axis=1, keepdims=True)
    prior = targets[train].mean(axis=0)
    scale = float(np.trace(kernel[train])) / moments.n_dims
    for penalty in PENALTIES:
        yield kernel[held] @ _solved(kernel[train], penalty * scale, targets[train] - prior, _cut(moments)) + prior


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
