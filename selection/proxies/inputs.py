"""What the proxy scores accept: the checks at the border, each with a message that says what to do."""

from typing import Any

import numpy as np
import numpy.typing as npt

from selection.errors import InputError

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]


def checked_features(features: npt.ArrayLike) -> Floats:
    """Features as a finite (N, D) array of float32 or float64, N >= 2 and D >= 1.

    Raises:
        InputError: another shape or kind, fewer than 2 rows, NaN or infinity, values beyond the range of float32.
    """
    array = np.asarray(features)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise InputError(f"features: got {array.dtype} of shape {array.shape}, wanted numbers of shape (rows, dims)")
    if array.shape[0] < 2 or array.shape[1] < 1:
        raise InputError(f"features: got shape {array.shape}, wanted at least 2 rows and 1 dimension; add samples")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    rows = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(rows):
        raise InputError(
            f"features: got NaN or infinity in {len(rows)} of {len(array)} rows (first: row {rows[0]}), "
            "wanted finite numbers; drop those rows or extract them again in float32"
        )
    if array.dtype == np.float64 and np.abs(array).max() > np.finfo(np.float32).max:
        raise InputError("features: got values beyond 3e38, wanted what float32 can hold; scale the features")
    return array


def compact_labels(labels: npt.ArrayLike, n_rows: int) -> Ints:
    """Labels renumbered 0..C-1 in the order of their values, C >= 2; any non-negative integers may come in.

    Raises:
        InputError: not integers, another length than the features, negative (missing) labels, only one class.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise InputError(
            f"labels: got {array.dtype} of shape {array.shape}, wanted a flat array of integers, one class per row; "
            "for numbers to predict pass task='regression'"
        )
    if len(array) != n_rows:
        raise InputError(f"labels: got {len(array)} for {n_rows} rows of features, wanted one label per row")
    if array.min() < 0:
        raise InputError(f"labels: got {array.min()}, wanted 0 or more; drop rows whose label is missing")
    values, compact = np.unique(array, return_inverse=True)
    if len(values) < 2:
        raise InputError(f"labels: got one class only ({values[0]}), wanted at least two to tell apart")
    return compact.astype(np.int64)


def checked_targets(targets: npt.ArrayLike, n_rows: int) -> npt.NDArray[np.float64]:
    """The numbers to predict as a finite (N,) array of float64 with at least two values.

    Raises:
        InputError: not numbers, another length than the features, NaN or infinity, values beyond the range of
            float32, the same number every time.
    """
    array = np.asarray(targets)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise InputError(f"targets: got {array.dtype} of shape {array.shape}, wanted a flat array of numbers")
    if len(array) != n_rows:
        raise InputError(f"targets: got {len(array)} for {n_rows} rows of features, wanted one number per row")
    rows = np.flatnonzero(~np.isfinite(array))
    if len(rows):
        raise InputError(
            f"targets: got NaN or infinity in {len(rows)} of {n_rows} rows (first: row {rows[0]}), wanted finite "
            "numbers; drop those rows"
        )
    numbers = array.astype(np.float64)
    if np.abs(numbers).max() > np.finfo(np.float32).max:
        raise InputError("targets: got values beyond 3e38, wanted what float32 can hold; scale the targets")
    if (numbers == numbers[0]).all():
        raise InputError(f"targets: got {numbers[0]} in every row, wanted at least two values to tell apart")
    return numbers


def checked_source(source: npt.ArrayLike, n_rows: int, name: str) -> Floats:
    """A source head's outputs as a finite (N, Cs) array of float32 or float64.

    Raises:
        InputError: another shape or kind, another number of rows than the features, NaN or infinity.
    """
    array = np.asarray(source)
    if array.ndim != 2 or array.dtype.kind != "f" or len(array) != n_rows or array.shape[1] < 1:
        raise InputError(
            f"{name}: got {array.dtype} of shape {array.shape}, wanted floats of shape ({n_rows}, classes)"
        )
    if not np.isfinite(array).all():
        raise InputError(
            f"{name}: got NaN or infinity, wanted finite numbers; leave the source head out for this model"
        )
    wide: Floats = array.astype(np.float32) if array.dtype == np.float16 else array
    return wide


def checked_probabilities(source: npt.ArrayLike, n_rows: int) -> Floats:
    """Rows that are distributions over the source classes: not negative, each summing to 1 within 1e-3.

    Raises:
        InputError: as `checked_source`, or rows that are no distributions.
    """
    array = checked_source(source, n_rows, "source_probabilities")
    if array.min() < 0 or np.abs(array.sum(axis=1) - 1).max() > 1e-3:
        raise InputError("source_probabilities: got rows that are no distributions, wanted each >= 0 and summing to 1")
    return array


def softmax(logits: Floats) -> Floats:
    """Row-wise softmax of (N, Cs) logits, in their own precision."""
    powers: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
