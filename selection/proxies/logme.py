"""LogME: evidence of a Bayesian linear model on the features (You et al. 2021, algorithm 1; fixed point: 2022)."""

import numpy as np

from selection.errors import InputError
from selection.proxies.moments import Moments
from selection.proxies.spectra import Matrix, Spectrum

ROUNDS = 11
TOLERANCE = 1e-3
RATIO_LIMIT = 1e100  # a class that no feature tells anything about drives t to infinity, an exact fit to zero
_TINY = np.finfo(np.float64).tiny


def logme(moments: Moments) -> float:
    """Maximum log evidence per row of regressing each class's indicator (or the numbers) on the features, their mean.

    Features are not centred. Values are comparable only between models measured on the same rows. Where D > N the
    D - N zero eigenvalues count, as the evidence demands; the authors' program drops them there.

    Raises:
        InputError: every feature is zero.
    """
    spectrum = moments.spectrum
    if len(spectrum.values) == 0:
        raise InputError("got features that are all zero, wanted some that are not; LogME is not defined here")
    squared = np.square(spectrum.projections)
    rest = np.maximum(moments.target_energies - squared.sum(axis=0), 0.0)
    if len(spectrum.values) == moments.n_rows:
        rest[:] = 0.0  # the features span every target; what is left of the difference is rounding
    return float(_evidence(spectrum, squared, rest, moments.n_rows).mean())


def _evidence(spectrum: Spectrum, squared: Matrix, rest: Matrix, n_rows: int) -> Matrix:
    """Evidence per row of each class, (C,): MacKay's fixed point of t = alpha / beta, all classes at once.

    squared (r, C) is x2 of the paper, rest (C,) the part of each target that no feature reaches. With t the paper's
    D/2 log alpha - 1/2 sum_D log(alpha + beta sigma) is -1/2 sum_r log(1 + sigma / t): zero eigenvalues cancel out.
    """
    sigma = spectrum.values[:, None]
    ratio, moving = np.ones(len(rest)), np.ones(len(rest), bool)
    alpha, beta, weight, residual = (np.empty(len(rest)) for _ in range(4))
    for _ in range(ROUNDS):
        t, x2 = ratio[moving], squared[:, moving]
        inverse = 1.0 / (sigma + t)  # (r, moving classes)
        gamma = (sigma * inverse).sum(axis=0)
        free = n_rows - len(sigma) + t * inverse.sum(axis=0)  # N - gamma, without its cancellation
        shrunk = x2 * np.square(inverse)
        weight[moving] = (sigma * shrunk).sum(axis=0)
        residual[moving] = np.square(t) * shrunk.sum(axis=0) + rest[moving]
        beta[moving] = free / np.maximum(residual[moving], _TINY)
        alpha[moving] = gamma / np.maximum(weight[moving], _TINY)
        ratio[moving] = np.clip(alpha[moving] / beta[moving], 1.0 / RATIO_LIMIT, RATIO_LIMIT)
        alpha[moving] = ratio[moving] * beta[moving]
        moving[moving] = np.abs(ratio[moving] - t) > TOLERANCE * t
        if not moving.any():
            break
    fit = n_rows * (np.log(beta) - np.log(2 * np.pi)) - beta * residual - alpha * weight
    return np.asarray((fit - np.log1p(sigma / ratio).sum(axis=0)) / (2 * n_rows))
