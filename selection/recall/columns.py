"""Scores made comparable between datasets."""

from dataclasses import dataclass

import numpy as np

from selection.recall.evidence import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Columns:
    """Scores standardised per dataset: z (M, D), and the score of an average model and one unit of z (D,).

    A dataset with fewer than two results, or none that differ, tells nothing: its column is nan throughout.
    """

    z: FloatArray
    offset: FloatArray
    scale: FloatArray

    @property
    def usable(self) -> BoolArray:
        """Which datasets (D,) tell anything."""
        return ~np.isnan(self.scale)


def standardise(scores: FloatArray) -> Columns:
    """Standardises each column over the models measured there: mean 0, standard deviation 1."""
    seen = ~np.isnan(scores)
    count = seen.sum(axis=0)
    total = np.where(seen, scores, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.zeros(scores.shape[1]), where=count > 0)
    centred = np.where(seen, scores - mean, 0.0)
    spread = np.sqrt(np.divide((centred**2).sum(axis=0), count, out=np.zeros(scores.shape[1]), where=count > 0))
    tells = (count >= 2) & (spread > 1e-9 * np.maximum(1e-3, np.abs(mean)))
    scale = np.where(tells, spread, np.nan)
    return Columns(np.where(seen, centred, np.nan) / scale, np.where(tells, mean, np.nan), scale)


def recentre(columns: Columns, ability: FloatArray) -> Columns:
    """Corrects for who was measured: a dataset that only strong models were tried on is not harder for that.

    Moves each column so that its mean is the mean ability of the models measured there.
    """
    seen = ~np.isnan(columns.z)
    count = np.maximum(1, seen.sum(axis=0))
    plain = np.where(seen, columns.z, 0.0).sum(axis=0) / count
    shift = np.where(seen, ability[:, None], 0.0).sum(axis=0) / count - plain
    return Columns(columns.z + shift, columns.offset - shift * columns.scale, columns.scale)


def sums(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum and number of the results of each model (M,)."""
    return np.nansum(z, axis=1), (~np.isnan(z)).sum(axis=1).astype(np.float64)
