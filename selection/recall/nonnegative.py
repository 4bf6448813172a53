"""Nonnegative ridge regression from sums of squares."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from selection.recall.evidence import FloatArray


def solve(gram: FloatArray, pull: FloatArray, ridge: float) -> FloatArray:
    """argmin w'Gw - 2w'p + ridge |w|^2 over w >= 0 (J,), by way of the Cholesky factor of G (J, J)."""
    factor = cholesky(gram + ridge * np.eye(len(pull)), lower=True)
    return np.asarray(nnls(factor.T, solve_triangular(factor, pull, lower=True))[0])
