"""How results spread among models: the shape that proxies are read in.

Of a proxy only its order is taken: its own scale differs by proxy and dataset, and its best model may be far ahead of
the others where results of all good models are alike and only the bad ones differ.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from selection.recall.evidence import FloatArray

MIN_MODELS = 5
_GRID = (np.arange(101) + 0.5) / 101
_NORMAL = norm.ppf(_GRID)


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Quantiles of the past datasets' standardised results (101, n), `place` giving each such dataset's column."""

    quantiles: FloatArray
    place: dict[int, int]

    @classmethod
    def of(cls, z: FloatArray) -> "Shapes":
        """The shapes of z (M, D), nan where not measured; a dataset of fewer than five results has none."""
        known = {d: np.sort(column[~np.isnan(column)]) for d, column in enumerate(z.T)}
        rows = {
            d: np.interp(_GRID, (np.arange(len(x)) + 0.5) / len(x), x) for d, x in known.items() if len(x) >= MIN_MODELS
        }
        place = {d: n for n, d in enumerate(rows)}
        return cls(np.stack(list(rows.values()), axis=1) if rows else np.empty((len(_GRID), 0)), place)

    def usual(self, left_out: int | None = None) -> FloatArray:
        """The mean quantiles (101,) of all past datasets but `left_out`, and of one normal beside them."""
        total, count = self.quantiles.sum(axis=1) + _NORMAL, len(self.place) + 1
        if left_out is not None and left_out in self.place:
            total, count = total - self.quantiles[:, self.place[left_out]], count - 1
        return np.asarray(total / count)


def standardise_proxy(values: FloatArray, usual: FloatArray) -> FloatArray:
    """One proxy (M,) as results of the shape `usual` would stand if it ranked rightly: mean 0, standard deviation 1.

    Quantile normalisation (Bolstad et al. 2003) over the models it was computed for; equal values stay equal. Not
    finite becomes nan; fewer than two values, or none that differ, tell nothing and become nan.
    """
    seen = np.isfinite(values)
    result = np.full(values.shape, np.nan)
    known = values[seen]
    if len(known) < 2 or np.ptp(known) <= 1e-12 * max(1e-3, float(np.abs(known).max())):
        return result
    shaped = np.interp(_behind(known), _GRID, usual)
    result[seen] = (shaped - shaped.mean()) / max(float(shaped.std()), 1e-9)
    return result


def _behind(values: FloatArray) -> FloatArray:
    """The share of values (n,) behind each, equals and itself counting half."""
    order = np.argsort(values)
    ordered = values[order]
    level = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
    ends = np.cumsum(np.bincount(level))
    found = np.empty(len(values))
    found[order] = (np.concatenate([[0], ends[:-1]]) + ends)[level] / (2 * len(values))
    return found
