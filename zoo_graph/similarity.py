"""Which models perform alike, and which datasets rank models alike: a nearest-neighbour graph of each.

Arrays in, arrays out. Model-model distance is 2PS's ("A Two-Phase Recall-and-Select Framework", eq. 1): the
mean of the k largest |score_a(d) - score_b(d)| over the datasets d both were measured on, here with missing
scores, shrunk where few datasets are shared, and in blocks so that memory does not grow with models squared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from zoo_graph.scores import ScoreMatrix
from zoo_graph.snapshot import Floats, Integers

Basis = Literal["standardised", "raw"]
Singles = npt.NDArray[np.float32]

_BLOCK_BYTES = 16 * 2**20
_EXACT_CELLS = 5e8  # models^2 x datasets up to which every pair is compared exactly: some seconds on one thread
_CANDIDATES = 8  # times the neighbours wanted, kept by the cheap distance above that


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Undirected edges, each pair once with `a` < `b` (row numbers), sorted. Shapes: all (E,).

    `distance` is 0 for equals and grows; `overlap` counts what both ends share (datasets or models).
    """

    a: Integers
    b: Integers
    distance: Floats
    overlap: Integers

    def __len__(self) -> int:
        return len(self.a)


def comparable(scores: Floats, basis: Basis = "standardised") -> Floats:
    """Returns scores whose differences may be compared between datasets; nan stays nan. Shape as given.

    "raw" leaves them as they are, as 2PS does. "standardised" takes mean 0 and SD 1 per dataset; a dataset with
    fewer than three scores, or without any difference between them, says nothing and becomes nan.
    """
    if basis == "raw":
        return scores
    measured = np.isfinite(scores)
    n = measured.sum(axis=0)
    mean = np.where(measured, scores, 0).sum(axis=0) / np.maximum(n, 1)
    centred = np.where(measured, scores - mean, 0)
    spread = np.sqrt((centred**2).sum(axis=0) / np.maximum(n, 1))
    informative = (n >= 3) & (spread > 1e-12 * np.maximum(np.abs(mean), 1))
    scaled: Floats = np.where(measured & informative, centred / np.where(informative, spread, 1), np.nan)
    return scaled


def model_edges(
    matrix: ScoreMatrix,
    *,
    basis: Basis = "standardised",
    largest: int = 5,
    min_overlap: int = 3,
    shrinkage: float = 3.0,
    neighbours: int = 15,
) -> Edges:
    """Returns each model's nearest models, as the union over models.

    A pair that shares n datasets, n >= `min_overlap`, is as far apart as (n d + shrinkage d0) / (n + shrinkage):
    d is the mean of its `largest` largest differences (all, if it shares fewer), d0 the mean difference of two
    random models on a random dataset. So a pair is not called alike for having hardly been compared. Ties go to
    the smaller row number. Every pair is compared where models^2 x datasets is at most 5e8 (1,500 models on 200
    datasets); above that only the `8 x neighbours` nearest by root-mean-square difference, a matrix product.
    """
    values = comparable(matrix.scores, basis).astype(np.float32)  # (M, D)
    rule = _Rule(values, largest, min_overlap, shrinkage, _mean_difference(values))
    n_models, n_datasets = values.shape
    wanted = min(neighbours, n_models - 1)
    if wanted < 1 or n_datasets == 0:
        return _no_edges()
    every = float(n_models) ** 2 * n_datasets <= _EXACT_CELLS or _CANDIDATES * wanted >= n_models
    blocks = _every_pair(rule) if every else _near_pairs(rule, _CANDIDATES * wanted)
    return _nearest(blocks, wanted)


def pair_distances(matrix: ScoreMatrix, *, basis: Basis = "raw", largest: int = 5, shrinkage: float = 0.0) -> Floats:
    """Returns the distance between every two models, (M, M); nan where they share nothing. Takes 8 M^2 bytes."""
    values = comparable(matrix.scores, basis).astype(np.float32)
    rule = _Rule(values, largest, 1, shrinkage, _mean_difference(values))
    distances = np.full((len(values), len(values)), np.nan)
    for block in _every_pair(rule):
        distances[block.rows] = np.where(np.isfinite(block.distance), block.distance, np.nan)
    np.fill_diagonal(distances, 0)
    return distances


def dataset_edges(matrix: ScoreMatrix, *, min_overlap: int = 5, shrinkage: float = 10.0, neighbours: int = 15) -> Edges:
    """Returns each dataset's nearest datasets by performance profile; `distance` is 1 - similarity.

    Similarity is the correlation of the two score columns over the n models measured on both, times
    n / (n + shrinkage). Pairs sharing fewer than `min_overlap` models, or not positively correlated, are left out.
    """
    values = comparable(matrix.scores).T  # (D, M)
    wanted = min(neighbours, len(values) - 1)
    if wanted < 1:
        return _no_edges()
    return _nearest(_profile_blocks(values, min_overlap, shrinkage), wanted)


def likeness_edges(alike: Floats, *, neighbours: int = 5) -> Edges:
    """Returns each dataset's nearest datasets by a given similarity (D, D), nan where not known.

    `distance` is 1 - similarity, `overlap` 0. Pairs that are not positively alike are left out.
    """
    wanted = min(neighbours, len(alike) - 1)
    if wanted < 1:
        return _no_edges()
    away = np.where(np.nan_to_num(alike) > 0, 1 - alike, np.inf)
    np.fill_diagonal(away, np.inf)
    everyone = np.arange(len(alike))
    columns = np.broadcast_to(everyone, away.shape)
    return _nearest(iter([_Block(everyone, columns, away, np.zeros(away.shape, dtype=np.int64))]), wanted)


def similarity(distance: Floats, basis: Basis = "standardised") -> Floats:
    """Returns an edge's score for people, 1 for equals: 1 - distance (raw, as 2PS) or exp(-distance)."""
    return 1 - distance if basis == "raw" else np.exp(-distance)


# -- blocks of pairs


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """What `model_edges` was asked for: values (M, D) and the terms of the distance."""

    values: Singles
    largest: int
    min_overlap: int
    shrinkage: float
    typical: float

    @property
    def mask(self) -> Singles:
        """1 where measured, else 0."""
        return np.isfinite(self.values).astype(np.float32)

    def distances(self, rows: Integers, columns: Integers) -> tuple[Floats, Integers]:
        """Returns distances (inf: too little shared, or the row itself) and overlaps of rows (B,) to columns (B, C)."""
        left, right = self.values[rows, None], self.values[columns]  # (B, 1, D), (B, C, D)
        difference = np.abs(left - right)
        shared = np.isfinite(difference)
        n = shared.sum(axis=-1)
        difference[~shared] = 0
        largest = _sum_of_largest(difference, min(self.largest, difference.shape[-1]))
        mean = largest / np.maximum(np.minimum(n, self.largest), 1)
        shrunk = (n * mean + self.shrinkage * self.typical) / np.maximum(n + self.shrinkage, 1e-9)
        usable = (n >= max(self.min_overlap, 1)) & (columns != rows[:, None])
        return np.where(usable, shrunk, np.inf), n


def _sum_of_largest(values: Singles, k: int) -> Floats:
    """Returns the sum of the k largest along the last axis, (B, C); empties `values`. Ten times faster than a sort."""
    flat = values.reshape(-1, values.shape[-1])
    everyone = np.arange(len(flat))
    total = np.zeros(len(flat))
    for _ in range(k):
        place = flat.argmax(axis=-1)
        total += flat[everyone, place]
        flat[everyone, place] = 0
    return total.reshape(values.shape[:-1])


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Distances (inf: no pair) and overlaps of some rows, (B,), to others: columns, distance, overlap are (B, C)."""

    rows: Integers
    columns: Integers
    distance: Floats
    overlap: Integers


def _every_pair(rule: _Rule) -> Iterator[_Block]:
    n_models, n_datasets = rule.values.shape
    everyone = np.arange(n_models)
    for rows in _slices(n_models, n_models * n_datasets * 4):
        columns = np.broadcast_to(everyone, (len(rows), n_models))
        yield _Block(rows, columns, *rule.distances(rows, columns))


def _near_pairs(rule: _Rule, n_candidates: int) -> Iterator[_Block]:
    """Yields each row's nearest by shrunken mean square difference, three matrix products, with exact distances."""
    mask = rule.mask
    filled = np.where(mask > 0, rule.values, np.float32(0))
    squares = filled**2
    typical = np.float32(2 * squares.sum() / max(mask.sum(), 1))
    for rows in _slices(len(filled), max(len(filled) * 24, n_candidates * filled.shape[1] * 12)):
        n = mask[rows] @ mask.T
        total = squares[rows] @ mask.T + mask[rows] @ squares.T - 2 * (filled[rows] @ filled.T)
        rough = (total + rule.shrinkage * typical) / np.maximum(n + rule.shrinkage, 1e-9)
        rough[n < max(rule.min_overlap, 1)] = np.inf
        rough[np.arange(len(rows)), rows] = np.inf
        columns = np.sort(np.argpartition(rough, n_candidates - 1, axis=1)[:, :n_candidates], axis=1)
        yield _Block(rows, columns, *rule.distances(rows, columns))


def _profile_blocks(values: Floats, min_overlap: int, shrinkage: float) -> Iterator[_Block]:
    mask = np.isfinite(values).astype(np.float64)
    filled = np.where(mask > 0, values, 0)
    squares = filled**2
    everyone = np.arange(len(values))
    for rows in _slices(len(values), len(values) * 64):
        n = mask[rows] @ mask.T
        sum_a, sum_b = filled[rows] @ mask.T, mask[rows] @ filled.T  # each side summed over what is shared
        covariance = n * (filled[rows] @ filled.T) - sum_a * sum_b
        variance_a = n * (squares[rows] @ mask.T) - sum_a**2
        variance_b = n * (mask[rows] @ squares.T) - sum_b**2
        scale = np.sqrt(np.maximum(variance_a, 0) * np.maximum(variance_b, 0))
        defined = (scale > 1e-9 * np.maximum(n, 1) ** 2) & (n >= min_overlap)
        correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=defined)
        alike = np.minimum(correlation, 1) * n / (n + shrinkage)
        alike[np.arange(len(rows)), rows] = 0
        distance = np.where(alike > 0, 1 - alike, np.inf)
        yield _Block(rows, np.broadcast_to(everyone, distance.shape), distance, n.astype(np.int64))


def _slices(n_rows: int, bytes_per_row: int) -> Iterator[Integers]:
    step = max(1, _BLOCK_BYTES // max(bytes_per_row, 1))
    for start in range(0, n_rows, step):
        yield np.arange(start, min(start + step, n_rows))


def _nearest(blocks: Iterator[_Block], wanted: int) -> Edges:
    """Returns the union over rows of each row's `wanted` nearest (finite) neighbours."""
    parts = [_nearest_in(block, wanted) for block in blocks]
    a, b, distance, overlap = (np.concatenate(column) for column in zip(*parts, strict=True))
    low, high = np.minimum(a, b), np.maximum(a, b)
    _, first = np.unique(low * (int(high.max(initial=0)) + 1) + high, return_index=True)
    return Edges(low[first], high[first], distance[first], overlap[first])


def _nearest_in(block: _Block, wanted: int) -> tuple[Integers, Integers, Floats, Integers]:
    order = np.argsort(block.distance, axis=1, kind="stable")[:, :wanted]
    distance = np.take_along_axis(block.distance, order, axis=1)
    kept = np.isfinite(distance)
    rows = np.broadcast_to(block.rows[:, None], order.shape)[kept]
    columns = np.take_along_axis(block.columns, order, axis=1)[kept]
    return rows, columns, distance[kept], np.take_along_axis(block.overlap, order, axis=1)[kept]


def _no_edges() -> Edges:
    nothing = np.zeros(0, dtype=np.int64)
    return Edges(nothing, nothing, np.zeros(0), nothing)


def _mean_difference(values: Singles) -> float:
    """Returns the mean |difference| of two random models on a random dataset (Gini's), from sorted columns."""
    total = pairs = 0.0
    for column in values.T.astype(np.float64):
        present = np.sort(column[np.isfinite(column)])
        n = len(present)
        total += float((present * (2 * np.arange(n) - n + 1)).sum())
        pairs += n * (n - 1) / 2
    return total / pairs if pairs else 0.0
