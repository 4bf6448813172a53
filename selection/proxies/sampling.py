"""Which rows a score looks at: stratified samples and folds, fixed by the labels and a seed."""

import numpy as np

from selection.proxies.inputs import Ints


def stratified_sample(labels: Ints, size: int, seed: int) -> Ints:
    """Indices (ascending) of `size` rows, each class in its own proportion to within one row; all rows if fewer.

    Within a class the choice is random and fixed by `seed`.
    """
    if len(labels) <= size:
        return np.arange(len(labels))
    place, counts = _place_in_class(labels, seed), np.bincount(labels)
    evenness = (place + 0.5) / counts[labels]
    return np.sort(np.argsort(evenness, kind="stable")[:size])


def stratified_folds(labels: Ints, n_folds: int, seed: int) -> Ints:
    """The fold (0..k-1) of each row; classes are dealt out one after the other, so folds differ by at most one row."""
    order = np.lexsort((_place_in_class(labels, seed), labels))
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % min(n_folds, len(labels))
    return folds


def _place_in_class(labels: Ints, seed: int) -> Ints:
    """A random place 0..n_c-1 of each row among the rows of its class."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    starts = np.cumsum(np.bincount(labels)) - np.bincount(labels)
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - starts[labels[order]]
    return place
