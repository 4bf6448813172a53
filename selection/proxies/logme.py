"""LogME: evidence of a Bayesian linear model on the features (You et al. 2021, algorithm 1; fixed point: 2022)."""

import numpy as np

from selection.errors import InputError
from selection.proxies.moments import Matrix, Moments, Spectrum

ROUNDS = 11
TOLERANCE = 1e-3
_TINY = np.finfo(np.float64).tiny


def logme(moments: Moments) -> float:
    """Maximum log evidence per row of regressing each class's indicator on the features, mean over classes.

    Features are not centred. Values are comparable only between models measured on the same rows.
    The D - rank zero eigenvalues count in the sum of logarithms, which the authors' program drops where D > N.

    Raises:
        InputError: every feature is zero.
    """
    spectrum = moments.spectrum
    if len(spectrum.values) == 0:
        raise InputError("got features that are all zero, wanted some that are not; LogME is not defined here")
    squared = np.square(spectrum.projections)
    rest = np.maximum(moments.counts - squared.sum(axis=0), 0.0)
    if len(spectrum.values) == moments.n_rows:
        rest[:] = 0.0  # the features span every target; what is left of the difference is rounding
    return float(_evidence(spectrum, squared, rest, moments.n_rows, moments.n_dims).mean())


def _evidence(spectrum: Spectrum, squared: Matrix, rest: Matrix, n_rows: int, n_dims: int) -> Matrix:
    """Evidence per row of each class, (C,): MacKay's fixed point of t = alpha / beta, all classes at once.

    squared (r, C) is x2 of the paper, rest (C,) the part of each target that no feature reaches.
    """
    sigma = spectrum.values[:, None]
    ratio, moving = np.ones(len(rest)), np.ones(len(rest), bool)
    alpha, beta, weight, residual = (np.empty(len(rest)) for _ in range(4))
    for _ in range(ROUNDS):
        t, x2 = ratio[moving], squared[:, moving]
        inverse = 1.0 / (sigma + t)  # (r, moving classes)
        gamma = (sigma * inverse).sum(axis=0)
        shrunk = x2 * np.square(inverse)
        weight[moving] = (sigma * shrunk).sum(axis=0)
        residual[moving] = np.square(t) * shrunk.sum(axis=0) + rest[moving]
        alpha[moving] = gamma / np.maximum(weight[moving], _TINY)
        beta[moving] = (n_rows - gamma) / np.maximum(residual[moving], _TINY)
        ratio[moving] = alpha[moving] / beta[moving]
        moving[moving] = np.abs(ratio[moving] - t) > TOLERANCE * t
        if not moving.any():
            break
    logs = np.log(alpha + beta * sigma).sum(axis=0) + (n_dims - len(sigma)) * np.log(alpha)
    evidence = n_dims * np.log(alpha) + n_rows * np.log(beta) - logs - beta * residual - alpha * weight
    return np.asarray((evidence - n_rows * np.log(2 * np.pi)) / (2 * n_rows))
