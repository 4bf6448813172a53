"""Sums over features while they are extracted, on whatever device they lie, so that the rows need not be kept.

For probe sets too large to hold or to copy to the host. LogME, the H-scores and TransRate follow from sums; what
needs the rows is undefined on them. `score_all` on the features stays the usual way.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from selection.errors import InputError
from selection.proxies.inputs import Ints
from selection.proxies.moments import Moments, Sums
from selection.proxies.spectra import NOISE_ALLOWED, Matrix, log_determinant

CLASSES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Held:
    """Sums over rows u less `shift` (D,), updated in place: u by class (C, D), u u' (1 or C, D, D), |u|^2 and
    |u|^4 (2,), |u|^2 u (D,)."""

    shift: torch.Tensor
    sums: torch.Tensor
    grams: torch.Tensor
    norms: torch.Tensor
    weighted: torch.Tensor


class Accumulator:
    """Takes batches of features (B, D) with their labels and gives the `Moments` of all of them.

    It keeps a D x D Gram and C x D sums on the device of the first batch, with `class_grams` C x D x D for
    TransRate; all about the first batch's mean. In float64 the scores agree with those of the rows to rounding, at
    2 D^2 operations a row where one encoder layer takes 24 D^2 a token. float32 is for devices without float64, and
    without class Grams there: their determinants would be noise.

    Raises:
        InputError: fewer than two classes, or class Grams in float32.
    """

    def __init__(self, n_classes: int, *, class_grams: bool = False, dtype: torch.dtype = torch.float64) -> None:
        if n_classes < 2:
            raise InputError(f"n_classes: got {n_classes}, wanted at least two to tell apart")
        if class_grams and dtype != torch.float64:
            raise InputError(f"class_grams: got {dtype}, wanted float64; leave TransRate out on this device")
        self.n_classes, self.class_grams, self.dtype = n_classes, class_grams, dtype
        self._counts = np.zeros(n_classes, np.int64)
        self._held: _Held | None = None

    @torch.no_grad()
    def add(self, features: torch.Tensor, labels: npt.ArrayLike) -> None:
        """Adds a batch without waiting for the device: features that are not finite show only in `moments`.

        features (B, D) on the device of the first batch; labels (B,) on the host, 0 to n_classes - 1.

        Raises:
            InputError: another shape, another D than before, labels that are no classes or not one per row.
        """
        classes = self._checked(features, labels)
        if len(classes) == 0:
            return
        wide = features.to(self.dtype)
        if self._held is None:
            self._held = self._begun(wide)
        held, rows = self._held, wide - self._held.shift
        member = torch.nn.functional.one_hot(torch.from_numpy(classes), self.n_classes).T.to(rows)
        norms = rows.square().sum(dim=1)
        self._counts += np.bincount(classes, minlength=self.n_classes)
        held.sums.addmm_(member, rows)
        held.norms.add_(torch.stack([norms.sum(), norms.square().sum()]))
        held.weighted.add_(norms @ rows)
        if not self.class_grams:
            held.grams[0].addmm_(rows.T, rows)
            return
        for place in np.unique(classes):
            part = rows[torch.from_numpy(np.flatnonzero(classes == place)).to(rows.device)]
            held.grams[place].addmm_(part.T, part)

    def moments(self) -> Moments:
        """The statistics of all rows so far, classes without rows left out; to be used before more rows are added.

        Raises:
            InputError: no rows, rows of one class only, NaN or infinity in the features.
        """
        seen = np.flatnonzero(self._counts)
        if self._held is None or len(seen) < 2:
            raise InputError(f"got rows of {len(seen)} classes, wanted at least two to tell apart; add batches first")
        held, counts, n_rows = self._held, self._counts[seen], int(self._counts.sum())
        sums, gram = _host(held.sums)[seen], _host(held.grams.sum(dim=0))
        if not np.isfinite(gram).all():
            raise InputError(
                "features: got NaN, infinity or squares that overflow, wanted finite numbers; extract them in float32"
            )
        offset = sums.sum(axis=0) / n_rows
        determinants = partial(_class_log_determinants, held, seen, counts, offset) if self.class_grams else None
        return Moments.of_sums(
            Sums(
                counts=counts,
                mean=_host(held.shift) + offset,
                gram=gram - n_rows * np.outer(offset, offset),
                class_sums=sums - counts[:, None] * offset,
                norm_means=_norm_means(
                    _host(held.norms) / n_rows, _host(held.weighted) / n_rows, gram / n_rows, offset
                ),
                class_log_determinants=determinants,
            )
        )

    def _checked(self, features: torch.Tensor, labels: npt.ArrayLike) -> Ints:
        classes = np.asarray(labels)
        if features.ndim != 2 or features.shape[1] < 1:
            raise InputError(f"features: got shape {tuple(features.shape)}, wanted (rows, dims)")
        if self._held is not None and features.shape[1] != len(self._held.shift):
            raise InputError(f"features: got {features.shape[1]} dims, wanted {len(self._held.shift)} as before")
        if classes.shape != (len(features),) or classes.dtype.kind not in "iub":
            raise InputError(
                f"labels: got {classes.dtype} of shape {classes.shape}, wanted {len(features)} integers, one per row"
            )
        if len(classes) and not 0 <= classes.min() <= classes.max() < self.n_classes:
            raise InputError(
                f"labels: got {classes.min()} to {classes.max()}, wanted 0 to {self.n_classes - 1}; "
                "drop rows whose label is missing"
            )
        return classes.astype(np.int64)

    def _begun(self, rows: torch.Tensor) -> _Held:
        """Empty sums about the mean of these rows; a feature that is constant in them is shifted to exactly zero."""
        n_dims, n_grams = rows.shape[1], self.n_classes if self.class_grams else 1
        return _Held(
            torch.where((rows == rows[0]).all(dim=0), rows[0], rows.mean(dim=0)),
            *(
                rows.new_zeros(shape)
                for shape in ((self.n_classes, n_dims), (n_grams, n_dims, n_dims), (2,), (n_dims,))
            ),
        )


def _norm_means(norms: Matrix, weighted: Matrix, scatter: Matrix, offset: Matrix) -> tuple[float, float]:
    """Means of |u - o|^2 and |u - o|^4 from those of |u|^2 and |u|^4 (2,), |u|^2 u (D,) and u u' (D, D); o = mean u."""
    lift = float(offset @ offset)
    square = float(norms[0]) - lift
    fourth = float(norms[1] - 4.0 * weighted @ offset + 4.0 * offset @ scatter @ offset)
    return square, fourth + 2.0 * lift * float(norms[0]) - 3.0 * lift**2


def _class_log_determinants(held: _Held, seen: Ints, counts: Ints, offset: Matrix, scale: float) -> Matrix:
    """log det(I + scale / n_c Gram_c) of the classes `seen`, Grams about the mean of all rows.

    Cholesky factors of 16 classes at a time on the device; by eigenvalues on the host where rounding would count.
    """
    found = np.empty(len(seen))
    centre = torch.from_numpy(offset).to(held.sums)
    for start in range(0, len(seen), CLASSES_AT_ONCE):
        part = slice(start, start + CLASSES_AT_ONCE)
        places, sizes = torch.from_numpy(seen[part]), torch.from_numpy(counts[part]).to(held.sums)[:, None, None]
        cross = held.sums[places][:, :, None] * centre
        grams = held.grams[places] - cross - cross.mT + sizes * torch.outer(centre, centre)
        grams *= scale / sizes
        traces = _host(torch.diagonal(grams, dim1=1, dim2=2).sum(dim=1))
        factors = torch.linalg.cholesky_ex(grams + torch.eye(len(centre)).to(centre))[0]
        found[part] = 2.0 * _host(torch.diagonal(factors, dim1=1, dim2=2).log().sum(dim=1))
        for index in np.flatnonzero(
            traces * np.finfo(np.float64).eps * np.maximum(counts[part], len(centre)) > NOISE_ALLOWED
        ):
            found[start + index] = log_determinant(_host(grams[index]), int(counts[start + index]), len(centre))
    return found


def _host(tensor: torch.Tensor) -> Matrix:
    return tensor.cpu().numpy().astype(np.float64)
