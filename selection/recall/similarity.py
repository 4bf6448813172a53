"""Which past datasets tell of the target: those that agree with the others, and those described like it.

Knows results and given similarities of datasets. Does not know where similarities come from, nor what is done with
the weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from selection.recall.evidence import BoolArray, FloatArray
from selection.recall.nonnegative import solve

# In pseudo-pairs of datasets: with few pairs no similarity is trusted.
_RIDGE = 0.25
_MIN_MODELS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """How past datasets stand to the target, and to each of themselves as if it were the target.

    Row d of `weight` and `correlation` (D + 1, D) is learnt with dataset d left out (its own entry is 0), the last
    row is the target's: the weight of a dataset by its agreement with the others, and the correlation expected
    between its residuals and the target's.
    """

    weight: FloatArray
    correlation: FloatArray

    def emphasised(self, strength: float, row: int = -1) -> FloatArray:
        """Weights (D,) of the datasets for one target: sqrt(weight) exp(strength (c - max c))."""
        others = self.weight[row] > 0
        if not others.any():
            return np.zeros(len(others))
        preferred = np.exp(strength * (self.correlation[row] - self.correlation[row][others].max()))
        return np.where(others, np.sqrt(self.weight[row]) * preferred, 0.0)


def relate(z: FloatArray, similarity: Mapping[str, FloatArray]) -> Relations:
    """Relations of D datasets from z (M, D), standardised per dataset, nan where not measured.

    `similarity`: basis -> (D + 1, D + 1), the target last, nan where not known. Cost O(M D^2 + J D^2) for J bases.
    """
    seen = ~np.isnan(z)
    filled = np.where(seen, z, 0.0)
    weight = _weights(filled, seen)
    return Relations(weight, _correlations(filled, seen, weight[-1], similarity))


def _weights(filled: FloatArray, seen: BoolArray) -> FloatArray:
    """r / (1 - r^2), r in [.02, .97] the correlation of a dataset with the sum of the others but the one left out."""
    n_datasets = filled.shape[1]
    total = filled.sum(axis=1)
    count = np.maximum(seen.sum(axis=0), 1.0)
    mask = seen.astype(np.float64)
    own = filled - mask * (filled.sum(axis=0) / count)
    gram, energy = filled.T @ own, (own**2).sum(axis=0)
    others = total[:, None] - filled  # (M, D): the sum of all but e
    # Of the others' sum over the models seen on e: its sum and sum of squares, then both with d left out.
    first = (mask * others).sum(axis=0)
    second = (mask * others**2).sum(axis=0)
    shared, squares = filled.T @ mask, (filled**2).T @ mask  # (d, e)
    products = filled.T @ (mask * others)  # (d, e): sum over seen_e of z_d (others of e)
    together = (own * others).sum(axis=0)
    along = together[None] - gram
    sums = first[None] - shared
    spread = second[None] - 2 * products + squares - sums**2 / count
    keep = np.vstack([~np.eye(n_datasets, dtype=np.bool_), np.ones((1, n_datasets), dtype=np.bool_)])
    along = np.vstack([along, together[None]])
    spread = np.vstack([spread, (second - first**2 / count)[None]])
    norm = np.sqrt(np.maximum(spread, 0.0) * energy)
    tells = keep & (norm > 1e-9) & (seen.sum(axis=0) >= _MIN_MODELS)
    r = np.clip(np.divide(along, norm, out=np.zeros_like(norm), where=tells), 0.02, 0.97)
    return np.where(keep & (energy > 0), r / (1 - r**2), 0.0)


def _correlations(
    filled: FloatArray, seen: BoolArray, weight: FloatArray, similarity: Mapping[str, FloatArray]
) -> FloatArray:
    """How far each basis counts is learnt from the pairs of past datasets without the one left out, by nonnegative
    least squares on the correlations of their residuals; a basis that tells nothing counts nothing."""
    n_datasets = filled.shape[1]
    expected = np.zeros((n_datasets + 1, n_datasets))
    if not similarity or n_datasets < 4:
        return expected
    found = _residual_correlation(filled, seen, np.sqrt(weight))
    bases = np.stack([_mutual(similarity[name]) for name in sorted(similarity)], axis=2)
    constant = np.ones((*bases.shape[:2], 1))
    design = np.concatenate([bases, constant, -constant], axis=2)  # (D + 1, D + 1, J + 2)
    tells = seen.any(axis=0)
    pairs = np.outer(tells, tells) & ~np.eye(n_datasets, dtype=np.bool_)
    inner = design[:-1, :-1] * pairs[:, :, None]
    grams = np.einsum("dej,dek->djk", inner, inner)
    pulls = np.einsum("dej,de->dj", inner, found)
    # Every pair is met twice in the sums, and twice with the dataset left out.
    gram, pull = grams.sum(axis=0) / 2, pulls.sum(axis=0) / 2
    for row in range(n_datasets):
        expected[row] = design[row, :-1] @ solve(gram - grams[row], pull - pulls[row], _RIDGE)
        expected[row, row] = 0.0
    expected[-1] = design[-1, :-1] @ solve(gram, pull, _RIDGE)
    return expected


def _mutual(similarity: FloatArray) -> FloatArray:
    """The mean of both directions where both are known, else the one that is; 0 where none is."""
    known = ~np.isnan(similarity)
    total = np.nan_to_num(similarity) + np.nan_to_num(similarity).T
    return np.asarray(total / np.maximum(1, known.astype(np.int64) + known.T))


def _residual_correlation(filled: FloatArray, seen: BoolArray, weights: FloatArray) -> FloatArray:
    """Correlations (D, D) of what is left of each column after projection on their weighted mean."""
    total = seen @ weights
    shared = np.divide(filled @ weights, total, out=np.zeros(len(filled)), where=total > 0)
    shared = (shared - shared.mean()) / max(float(shared.std()), 1e-12)
    slope = shared @ filled / np.maximum(shared**2 @ seen, 1e-9)
    left = np.where(seen, filled - shared[:, None] * slope, 0.0)
    scaled = left / np.maximum(np.linalg.norm(left, axis=0), 1e-9)
    return np.asarray(scaled.T @ scaled)
