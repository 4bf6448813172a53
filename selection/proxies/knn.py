"""kNN: leave-one-out accuracy of the nearest neighbours in the features."""

import numpy as np

from selection.errors import InputError
from selection.proxies.moments import Moments

NEIGHBOURS = 5
_BLOCK = 1024


def knn(moments: Moments) -> float:
    """Share of rows whose 5 most cosine-similar other rows vote for their class; 0 to 1.

    Each neighbour has one vote; equal votes go to the class with the larger summed similarity. With fewer than six
    rows all others vote. A row of zeros has similarity 0 to all. Similarities are float32, N x N in blocks of rows.

    Raises:
        InputError: all rows are the same, so no row is nearer than another.
    """
    if not moments.squared_norms.any():
        raise InputError("got the same features in every row, wanted rows that differ to find neighbours by")
    features = moments.features
    norms = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    rows = (features / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)
    k, hits = min(NEIGHBOURS, moments.n_rows - 1), 0
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK] @ rows.T
        lines = np.arange(len(block))
        block[lines, start + lines] = -np.inf
        votes = np.zeros((len(block), len(moments.counts)))
        for _ in range(k):
            nearest = block.argmax(axis=1)
            votes[lines, moments.labels[nearest]] += 1.0 + block[lines, nearest] / (2.0 * k)
            block[lines, nearest] = -np.inf
        hits += int((votes.argmax(axis=1) == moments.labels[start : start + _BLOCK]).sum())
    return hits / moments.n_rows
