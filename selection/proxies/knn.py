"""kNN: leave-one-out accuracy (of classes) or R^2 (of numbers) of the nearest neighbours in the features."""

from collections.abc import Iterator

import numpy as np

from selection.errors import InputError
from selection.proxies.inputs import Ints
from selection.proxies.moments import Moments
from selection.proxies.spectra import Matrix

NEIGHBOURS = 5
_BLOCK = 1024


def knn(moments: Moments) -> float:
    """Share of rows whose 5 most cosine-similar other rows vote for their class; 0 to 1.

    Each neighbour has one vote; equal votes go to the class with the larger summed similarity. Of numbers to predict
    it is R^2, at most 1, of the neighbours' plain mean. With fewer than six rows all others vote. A row of zeros has
    similarity 0 to all. Similarities are float32, N x N in blocks of rows.

    Raises:
        InputError: all rows are the same, so no row is nearer than another.
    """
    if not moments.squared_norms.any():
        raise InputError("got the same features in every row, wanted rows that differ to find neighbours by")
    if moments.task == "regression":
        predicted = np.concatenate([moments.numbers[nearest].mean(axis=1) for nearest, _ in _neighbours(moments)])
        return r_squared(moments.numbers, predicted)
    hits, start = 0, 0
    for nearest, similarity in _neighbours(moments):
        k, lines = nearest.shape[1], np.arange(len(nearest))
        votes = np.zeros((len(nearest), len(moments.counts)))
        for place in range(k):
            votes[lines, moments.labels[nearest[:, place]]] += 1.0 + similarity[:, place] / (2.0 * k)
        hits += int((votes.argmax(axis=1) == moments.labels[start : start + len(nearest)]).sum())
        start += len(nearest)
    return hits / moments.n_rows


def r_squared(truth: Matrix, predicted: Matrix) -> float:
    """1 - sum of squared errors / sum of squares about the mean; at most 1, negative where the mean predicts better."""
    return float(1.0 - np.square(truth - predicted).sum() / np.square(truth - truth.mean()).sum())


def _neighbours(moments: Moments) -> Iterator[tuple[Ints, Matrix]]:
    """For each block of rows the k nearest other rows (B, k), nearest first, and their cosine similarities."""
    features = moments.features
    norms = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    rows = (features / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)
    k = min(NEIGHBOURS, moments.n_rows - 1)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK] @ rows.T
        lines = np.arange(len(block))
        block[lines, start + lines] = -np.inf
        nearest, similarity = np.empty((len(block), k), np.int64), np.empty((len(block), k))
        for place in range(k):
            nearest[:, place] = block.argmax(axis=1)
            similarity[:, place] = block[lines, nearest[:, place]]
            block[lines, nearest[:, place]] = -np.inf
        yield nearest, similarity
