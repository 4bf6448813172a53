"""Which models perform alike by the visible results, and the communities they form."""

import numpy as np
import scipy.sparse as sp

from zoo_graph.communities import leiden
from zoo_graph.link_prediction.results import Results
from zoo_graph.similarity import Edges
from zoo_graph.snapshot import Floats, Integers

NEIGHBOURS = 10
_MIN_OVERLAP = 3
_SHRINKAGE = 3.0
_RESOLUTION = 0.1
_COST, _PAIRS = 2e10, 8e6  # models x hubs x datasets, and models x hubs: each at most a second on one thread
_MIN_HUBS = 200
_BLOCK = 1_024
_MOST_GROUPED = 5_000


def performance_edges(results: Results) -> Edges:
    """Returns each model's ten nearest by shrunken root-mean-square difference of z, as the union over models.

    In large zoos only neighbours among the models with most results are looked for, so that the cost stays linear.
    """
    order = canonical_order(results)
    hubs = np.sort(order[: _n_hubs(results)])
    values = sp.csr_array((results.z, (results.model, results.dataset)), shape=(results.n_models, results.n_datasets))
    mask = sp.csr_array((np.ones(len(results)), (results.model, results.dataset)), shape=values.shape)
    hub_values, hub_mask = (_dense(part[hubs]) for part in (values, mask))
    typical = 2 * float((results.z**2).mean()) if len(results) else 0.0
    found: list[tuple[Integers, Integers, Floats, Integers]] = []
    for start in range(0, results.n_models if len(hubs) > 1 else 0, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, results.n_models))
        n, distance = _distances(_dense(values[rows]), _dense(mask[rows]), hub_values, hub_mask, typical)
        distance[rows[:, None] == hubs[None]] = np.inf
        found.append(_nearest(rows, hubs, n, distance))
    a, b, distance, overlap = (np.concatenate(part) for part in zip(*found, strict=True)) if found else _nothing()
    low, high = np.minimum(a, b), np.maximum(a, b)
    _, first = np.unique(low * results.n_models + high, return_index=True)
    return Edges(low[first], high[first], distance[first], overlap[first])


def canonical_order(results: Results) -> Integers:
    """Returns the models, most results first, by what they scored and not by name or row."""
    keys = (results.sums().round(9), -results.counts())
    return np.lexsort(keys)


def community_labels(edges: Edges, results: Results) -> Integers:
    """Returns a community number for each model, (M,), that does not depend on the models' order (Leiden).

    None, (0,), above 5,000 models: networks are trained on many views of the zoo, and Leiden would take longer than
    training does; neighbours stand.
    """
    if results.n_models > _MOST_GROUPED:
        return np.zeros(0, dtype=np.int64)
    order = canonical_order(results)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    a, b = place[edges.a], place[edges.b]
    low, high = np.minimum(a, b), np.maximum(a, b)
    sorted_edges = np.lexsort((high, low))
    moved = Edges(low[sorted_edges], high[sorted_edges], edges.distance[sorted_edges], edges.overlap[sorted_edges])
    return np.asarray(leiden(moved, len(order), resolution=_RESOLUTION, seed=0)[place])


def _n_hubs(results: Results) -> int:
    most = int(min(_COST / max(results.n_datasets, 1), _PAIRS) / max(results.n_models, 1))
    return min(results.n_models, max(most, _MIN_HUBS))


def _dense(part: sp.csr_array) -> np.ndarray:
    return np.asarray(part.astype(np.float32).toarray())


def _distances(
    values: np.ndarray, mask: np.ndarray, hub_values: np.ndarray, hub_mask: np.ndarray, typical: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns overlaps and distances (rows, hubs), inf where too little is shared."""
    n = mask @ hub_mask.T
    total = values**2 @ hub_mask.T + mask @ (hub_values**2).T - 2 * (values @ hub_values.T)
    distance = np.sqrt(np.maximum(total + _SHRINKAGE * typical, 0) / (n + _SHRINKAGE))
    distance[n < _MIN_OVERLAP] = np.inf
    return n, distance


def _nearest(
    rows: Integers, hubs: Integers, n: np.ndarray, distance: np.ndarray
) -> tuple[Integers, Integers, Floats, Integers]:
    wanted = min(NEIGHBOURS, distance.shape[1])
    near = np.argpartition(distance, wanted - 1, axis=1)[:, :wanted]
    picked = np.take_along_axis(distance, near, axis=1)
    kept = np.isfinite(picked)
    left = np.broadcast_to(rows[:, None], near.shape)[kept]
    overlap = np.take_along_axis(n, near, axis=1)[kept].astype(np.int64)
    return left, hubs[near[kept]], picked[kept].astype(np.float64), overlap


def _nothing() -> tuple[Integers, Integers, Floats, Integers]:
    none = np.zeros(0, dtype=np.int64)
    return none, none, np.zeros(0), none
