"""H-score (Bao et al. 2019, definition 2) and its regularised form (Ibrahim et al. 2021, section 3.2)."""

import numpy as np
import scipy.linalg

from selection.proxies.moments import Moments
from selection.proxies.spectra import Matrix


def hscore(moments: Moments) -> float:
    """tr(St^+ Sb): the share of the features' variance, whitened, that lies between class means; 0 to C - 1.

    Directions at or under `moments.rank_cut` of the largest eigenvalue are left out, as the paper's pseudo-inverse
    does; identical rows score 0.
    """
    factor = moments.covariance_factor
    if factor is not None:
        return _half_solved(factor, moments.between)
    spectrum = moments.centered_spectrum
    return float((np.square(spectrum.projections) / moments.counts).sum())


def regularized_hscore(moments: Moments) -> float:
    """(1 - a) tr(St_a^-1 Sb), St_a = (1 - a) St + a tr(St)/D I, with a by Ledoit and Wolf; identical rows score 0."""
    a, variance = shrinkage(moments), moments.norm_means[0] / moments.n_dims
    if variance == 0.0:
        return 0.0
    if moments.dual or a < 1e-10:  # so little shrinkage may leave the covariance singular
        return _shrunk_in_eigenbasis(moments, a, variance)
    covariance = moments.centered_gram * ((1 - a) / moments.n_rows)
    np.fill_diagonal(covariance, covariance.diagonal() + a * variance)
    factor = scipy.linalg.cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
    return (1 - a) * _half_solved(factor, moments.between)


def shrinkage(moments: Moments) -> float:
    """Ledoit and Wolf's intensity a of shrinking St towards tr(St)/D I (2004, section 3.3), in [0, 1]."""
    n, d = moments.n_rows, moments.n_dims
    trace, fourth = moments.norm_means
    if moments.dual:
        frobenius = float(np.square(moments.centered_spectrum.values).sum()) / n**2
    else:
        frobenius = float(np.square(moments.centered_gram).sum()) / n**2
    return ledoit_wolf(trace, fourth, frobenius, n, d)


def ledoit_wolf(trace: float, fourth: float, frobenius: float, n_rows: int, n_dims: int) -> float:
    """The intensity from a covariance's trace, the mean fourth power of its rows' lengths and its squared norm."""
    spread = (fourth - frobenius) / (n_dims * n_rows)
    distance = (frobenius - trace**2 / n_dims) / n_dims
    return max(0.0, min(spread, distance)) / distance if distance > 0 else 0.0


def _half_solved(factor: Matrix, between: Matrix) -> float:
    """tr(A^-1 B'B) for A = LL' by one triangular solve with C right-hand sides."""
    half = scipy.linalg.solve_triangular(factor, between.T, lower=True, check_finite=False)
    return float(np.square(half).sum())


def _shrunk_in_eigenbasis(moments: Moments, a: float, variance: float) -> float:
    spectrum = moments.centered_spectrum
    values = spectrum.values / moments.n_rows
    gain = (1 - a) * values / ((1 - a) * values + a * variance)
    return float((gain[:, None] * np.square(spectrum.projections) / moments.counts).sum())
