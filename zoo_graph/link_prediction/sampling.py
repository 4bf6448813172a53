"""Neighbourhoods of bounded size, and random walks, on compressed rows: what large graphs are trained on.

Plain numpy, as PyTorch Geometric's NeighborLoader and Node2Vec want pyg-lib or torch-sparse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch_geometric.data import HeteroData

from zoo_graph.link_prediction.hetero import EdgeType, put_edges
from zoo_graph.snapshot import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A part of a graph: its data, and for each node type the rows (sorted) its nodes have in the whole."""

    data: HeteroData
    nodes: Mapping[str, Integers]


def sample(
    data: HeteroData, seeds: Mapping[str, Integers], fan_outs: Sequence[int], generator: np.random.Generator
) -> Sample:
    """Returns the seeds with a random neighbourhood: over hop i at most fan_outs[i] edges of each type reach a node.

    Without replacement; a node with fewer edges keeps all. Edges of the last hop's nodes are not looked at, so the
    size is bounded by the seeds and the fan-outs whatever the degrees (Hamilton et al. 2017, algorithm 2).
    """
    reached = {kind: np.unique(seeds.get(kind, np.zeros(0, dtype=np.int64))) for kind in data.node_types}
    frontier = dict(reached)
    found: dict[EdgeType, list[tuple[Integers, Integers, Floats]]] = {kind: [] for kind in data.edge_types}
    for fan_out in fan_outs:
        arrived: dict[str, list[Integers]] = {kind: [] for kind in data.node_types}
        for kind in data.edge_types:
            rows = frontier[kind[2]]
            edges = _arriving(data[kind].adjacency.arriving, rows, fan_out, generator)
            found[kind].append(edges)
            arrived[kind[0]].append(edges[0])
        for node, parts in arrived.items():
            new = np.setdiff1d(np.concatenate([np.zeros(0, dtype=np.int64), *parts]), reached[node])
            frontier[node], reached[node] = new, np.union1d(reached[node], new)
    return Sample(_part(data, reached, found), reached)


def _arriving(
    matrix: sp.csr_array, rows: Integers, fan_out: int, generator: np.random.Generator
) -> tuple[Integers, Integers, Floats]:
    """Returns (sources, destinations, weights) of at most `fan_out` random edges of each row."""
    starts, degree = matrix.indptr[rows].astype(np.int64), np.diff(matrix.indptr)[rows].astype(np.int64)
    owner = np.repeat(np.arange(len(rows)), degree)
    first = np.repeat(np.cumsum(degree) - degree, degree)
    entry = np.arange(len(owner)) - first + starts[owner]
    order = np.lexsort((generator.random(len(owner)), owner))
    kept = np.sort(order[np.arange(len(order)) - first < fan_out])
    weight = matrix.data[entry[kept]].astype(np.float64) * degree[owner[kept]]  # a mean's share back to the weight
    return matrix.indices[entry[kept]].astype(np.int64), rows[owner[kept]], weight


def _part(
    data: HeteroData,
    nodes: Mapping[str, Integers],
    edges: Mapping[EdgeType, list[tuple[Integers, Integers, Floats]]],
) -> HeteroData:
    part = HeteroData()
    for node, rows in nodes.items():
        part[node].x = data[node].x[torch.from_numpy(rows)]
    for kind, parts in edges.items():
        sources, destinations, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
        if len(sources):
            places = np.searchsorted(nodes[kind[0]], sources), np.searchsorted(nodes[kind[2]], destinations)
            put_edges(part, kind, *places, weight)
    return part


def random_walks(
    matrix: sp.csr_array,
    starts: Integers,
    length: int,
    generator: np.random.Generator,
    *,
    return_bias: float = 1.0,
    in_out_bias: float = 1.0,
) -> Integers:
    """Returns walks of `length` nodes from the starts, (W, length), over a square matrix of positive edge weights.

    node2vec's walks (Grover and Leskovec 2016, eq. 2), p and q being the two biases, by rejection: a step is drawn by
    weight and kept with a chance in proportion to its bias. A node without edges is not left.
    """
    keys = np.sort(_keys(matrix))
    cumulated = np.concatenate([[0.0], np.cumsum(matrix.data, dtype=np.float64)])
    walks = np.empty((len(starts), length), dtype=np.int64)
    walks[:, 0] = starts
    for place in range(1, length):
        here = walks[:, place - 1]
        walks[:, place] = _step(matrix, cumulated, here, generator)
        before = walks[:, max(place - 2, 0)]
        for _ in range(20 if place > 1 and (return_bias, in_out_bias) != (1.0, 1.0) else 0):
            bias = _biases(keys, before, walks[:, place], matrix.shape[0], return_bias, in_out_bias)
            rejected = generator.random(len(starts)) * max(1.0, 1 / return_bias, 1 / in_out_bias) >= bias
            if not rejected.any():
                break
            walks[rejected, place] = _step(matrix, cumulated, here[rejected], generator)
    return walks


def _step(matrix: sp.csr_array, cumulated: Floats, here: Integers, generator: np.random.Generator) -> Integers:
    """Returns a neighbour of each node, drawn by edge weight; the node itself where it has none."""
    if not matrix.nnz:
        return here
    starts, ends = matrix.indptr[here].astype(np.int64), matrix.indptr[here + 1].astype(np.int64)
    low, high = cumulated[starts], cumulated[ends]
    drawn = np.searchsorted(cumulated, low + generator.random(len(here)) * (high - low), side="right") - 1
    entry = np.clip(drawn, starts, np.maximum(ends - 1, starts))
    there = matrix.indices[np.minimum(entry, matrix.nnz - 1)].astype(np.int64)
    return np.where(starts < ends, there, here)


def _keys(matrix: sp.csr_array) -> Integers:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return np.asarray(rows * matrix.shape[0] + matrix.indices, dtype=np.int64)


def _biases(keys: Integers, before: Integers, after: Integers, n_nodes: int, back: float, away: float) -> Floats:
    """Returns 1/p for a step back, 1 for one to a neighbour of where the walk came from, else 1/q."""
    wanted = before * n_nodes + after
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    near = keys[place] == wanted if len(keys) else np.zeros(len(after), dtype=np.bool_)
    return np.where(after == before, 1 / back, np.where(near, 1.0, 1 / away))
