"""NLEEP: LEEP with the clusters of the features in place of a source head's classes (Li et al. 2021, section 3.2)."""

from dataclasses import dataclass

import numpy as np

from selection.errors import InputError
from selection.proxies.leep import empirical_log_likelihood
from selection.proxies.moments import Moments
from selection.proxies.spectra import Matrix

COMPONENTS_PER_CLASS = 5
ROWS_PER_COMPONENT = 5
VARIANCE_KEPT = 0.8
LLOYD_ROUNDS = 10
EM_ROUNDS = 100
EM_TOLERANCE = 1e-3
VARIANCE_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Mixture:
    """K Gaussians with diagonal covariance: weights (K,), means (K, q), variances (K, q)."""

    weights: Matrix
    means: Matrix
    variances: Matrix


def nleep(moments: Moments) -> float:
    """LEEP of the posteriors of a Gaussian mixture on the features; at most 0.

    Features are reduced to the principal components that hold 80 % of the variance. The mixture has 5 components per
    class (but no more than a fifth of the rows) with diagonal covariance, fitted by EM from k-means from `seed`.

    Raises:
        InputError: all rows are the same.
    """
    n_components = min(COMPONENTS_PER_CLASS * len(moments.class_rows), max(1, moments.n_rows // ROWS_PER_COMPONENT))
    rows = moments.principal(VARIANCE_KEPT)
    if rows.shape[1] == 0:
        raise InputError("got the same features in every row, wanted rows that differ to cluster them")
    mixture = fitted(rows, starting_mixture(rows, n_components, np.random.default_rng(moments.seed)))
    return empirical_log_likelihood(moments, posteriors(rows, mixture)[0])


def starting_mixture(rows: Matrix, n_components: int, generator: np.random.Generator) -> Mixture:
    """The mixture of the clusters that k-means finds in ten rounds; fewer where there are fewer distinct rows."""
    centres = _spread_centres(rows, n_components, generator)
    for _ in range(LLOYD_ROUNDS):
        nearest = (np.square(centres).sum(axis=1) - 2.0 * rows @ centres.T).argmin(axis=1)
        used, nearest = np.unique(nearest, return_inverse=True)
        member = np.zeros((len(rows), len(used)))
        member[np.arange(len(rows)), nearest] = 1.0
        centres = member.T @ rows / member.sum(axis=0)[:, None]
    return _maximised(rows, np.square(rows), member)


def fitted(rows: Matrix, mixture: Mixture) -> Mixture:
    """The mixture after EM: until the mean log-likelihood moves by less than 1e-3, at most 100 rounds."""
    squares, before = np.square(rows), -np.inf
    for _ in range(EM_ROUNDS):
        membership, likelihood = posteriors(rows, mixture, squares)
        mixture = _maximised(rows, squares, membership)
        if abs(likelihood - before) < EM_TOLERANCE:
            break
        before = likelihood
    return mixture


def posteriors(rows: Matrix, mixture: Mixture, squares: Matrix | None = None) -> tuple[Matrix, float]:
    """P(component | row) (N, K) and the mean log-likelihood of the rows."""
    precision = 1.0 / mixture.variances
    squares = np.square(rows) if squares is None else squares
    offset = np.log(precision).sum(axis=1) - (np.square(mixture.means) * precision).sum(axis=1)
    offset += 2.0 * np.log(mixture.weights) - rows.shape[1] * np.log(2.0 * np.pi)
    logs = rows @ (mixture.means * precision).T - squares @ (0.5 * precision).T + 0.5 * offset
    top = logs.max(axis=1, keepdims=True)
    np.exp(np.subtract(logs, top, out=logs), out=logs)
    total = logs.sum(axis=1, keepdims=True)
    logs /= total
    return logs, float((np.log(total) + top).mean())


def _maximised(rows: Matrix, squares: Matrix, membership: Matrix) -> Mixture:
    """The M step; variances are kept at least 1e-6 of the rows' mean variance above zero."""
    mass = membership.sum(axis=0) + 10 * np.finfo(np.float64).eps
    means = membership.T @ rows / mass[:, None]
    floor = VARIANCE_FLOOR * float(squares.mean())
    variances = np.maximum(membership.T @ squares / mass[:, None] - np.square(means), 0.0) + floor
    return Mixture(mass / mass.sum(), means, variances)


def _spread_centres(rows: Matrix, n_centres: int, generator: np.random.Generator) -> Matrix:
    """k-means++: each next centre is a row drawn with probability by its squared distance to those chosen."""
    chosen = [int(generator.integers(len(rows)))]
    norms = np.square(rows).sum(axis=1)
    distance = np.full(len(rows), np.inf)
    for _ in range(n_centres - 1):
        centre = rows[chosen[-1]]
        distance = np.minimum(distance, np.maximum(norms - 2.0 * rows @ centre + centre @ centre, 0.0))
        distance[chosen] = 0.0
        cumulated = np.cumsum(distance)
        if cumulated[-1] <= 1e-12 * norms.sum():
            break
        chosen.append(int(np.searchsorted(cumulated, generator.random() * cumulated[-1], side="right")))
    return rows[chosen]
