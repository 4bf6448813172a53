"""What each result says of its model on its dataset, in the terms a list of picks is chosen by.

Every column is taken for itself, so leaving a dataset out leaves the others' columns as they are.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import rankdata

from selection.recall.evidence import BoolArray, FloatArray, IntArray

_MIN_MODELS = 3
_LEVEL_CLIP = 3.0
# Standard deviations from the median to the 95th percentile of a normal column: what one unit of level is.
LEVEL_UNIT = 1.645


@dataclass(frozen=True, eq=False)
class Profiles:
    """`terms` (4, M, D), each column centred, 0 where not `seen` (M, D):

    z; -log(share of models ahead); (share of models behind)^4; exp(gain - 1), gain = (score - median) /
    (best - median). `level` (M, D) is (score - median) / (95th percentile - median), cut to +-3, nan where not seen.
    A dataset with fewer than three results, or none that differ, is not seen at all.
    """

    terms: FloatArray
    level: FloatArray
    seen: BoolArray

    @cached_property
    def along(self) -> FloatArray:
        """(4, D): each term's products with z, summed over models."""
        return np.asarray(np.einsum("tmd,md->td", self.terms, self.terms[0]))

    def of(self, rows: IntArray, columns: IntArray) -> "Profiles":
        """Those of the models `rows` on the datasets `columns`."""
        terms = np.ascontiguousarray(self.terms[:, rows][:, :, columns])  # its products with weights stay BLAS's
        return Profiles(terms, self.level[rows][:, columns], self.seen[rows][:, columns])


def profile(scores: FloatArray) -> Profiles:
    """Profiles of scores (M, D), nan where not measured. Cost O(M D log M)."""
    terms = np.zeros((4, *scores.shape))
    level = np.full(scores.shape, np.nan)
    seen = np.zeros(scores.shape, dtype=np.bool_)
    for d, column in enumerate(scores.T):
        known = np.flatnonzero(~np.isnan(column))
        if len(known) < _MIN_MODELS:
            continue
        x = column[known]
        spread, middle, best = float(x.std()), float(np.median(x)), float(x.max())
        if spread <= 1e-9 * max(1e-3, abs(float(x.mean()))):
            continue
        ahead = (rankdata(-x) - 0.5) / len(x)
        gain = (x - middle) / max(best - middle, 1e-3 * spread)
        values = np.stack([(x - x.mean()) / spread, -np.log(ahead), (1 - ahead) ** 4, np.exp(gain - 1)])
        terms[:, known, d] = values - values.mean(axis=1, keepdims=True)
        high = max(float(np.quantile(x, 0.95)) - middle, 1e-3 * spread)
        level[known, d] = np.clip((x - middle) / high, -_LEVEL_CLIP, _LEVEL_CLIP)
        seen[known, d] = True
    return Profiles(terms, level, seen)
