"""The zoo as PyTorch Geometric's HeteroData: nodes, edges, weights and features, with the hidden results gone.

What does not depend on results is made once per graph (`Frame`); what does is made from the visible results each
time they change (`view`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch_geometric.data import HeteroData

from zoo_graph.communities import weights
from zoo_graph.link_prediction.features import Schema, dataset_features, model_features, widths
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.messages import mean_adjacency
from zoo_graph.link_prediction.mixed import Design, design_of
from zoo_graph.link_prediction.neighbours import community_labels, performance_edges
from zoo_graph.link_prediction.pairs import PairTables, mean_proxy, pair_tables
from zoo_graph.link_prediction.results import Results
from zoo_graph.link_prediction.standing import Standing
from zoo_graph.similarity import Edges
from zoo_graph.snapshot import Floats, Integers

EdgeType = tuple[str, str, str]

NODES = ("model", "dataset", "family", "architecture", "community")
GROUPS = ("family", "architecture", "community")  # nodes that are known by their members only
EDGES: tuple[EdgeType, ...] = (
    ("model", "scored", "dataset"),
    ("dataset", "rev_scored", "model"),
    ("model", "performs_like", "model"),
    ("model", "in", "community"),
    ("community", "rev_in", "model"),
    ("model", "of", "family"),
    ("family", "rev_of", "model"),
    ("model", "built_as", "architecture"),
    ("architecture", "rev_built_as", "model"),
    ("dataset", "similar_to", "dataset"),
    ("model", "pretrained_on", "dataset"),
    ("dataset", "rev_pretrained_on", "model"),
    ("model", "derived_from", "model"),
    ("model", "rev_derived_from", "model"),
    ("model", "proxy", "dataset"),
    ("dataset", "rev_proxy", "model"),
)
_SIMILAR = 10  # nearest datasets of each, by each basis
_STATISTICS = 5  # features of a model from its visible results
_GROUP_FEATURES = 3

Weighted = tuple[Integers, Integers, Floats]  # sources, destinations, weights, each (E,)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What a graph is without its results: static features and edges, and the tables that pairs are looked up in."""

    schema: Schema
    design: Design
    tables: PairTables
    models: Floats
    datasets: Floats
    members: dict[str, tuple[Integers, Integers, int]]  # of families and architectures: models, groups, n_groups
    edges: dict[EdgeType, Weighted]


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Models that perform alike by the visible results, and their communities."""

    edges: Edges
    communities: Integers


def input_widths(schema: Schema) -> dict[str, int]:
    """Returns the width of each node type's features."""
    models, datasets = widths(schema)
    return {"model": models + _STATISTICS, "dataset": datasets + 1} | dict.fromkeys(GROUPS, _GROUP_FEATURES)


def frame_of(graph: ZooGraph, schema: Schema) -> Frame:
    """Returns what the graph is without its results; reads no score."""
    tables = pair_tables(graph, schema)
    pretrained = graph.pretrained_on.T
    derived = graph.derived_from.T
    known = mean_proxy(tables.proxies, graph.scores.shape)
    model, dataset = np.nonzero(np.isfinite(known))
    forward: dict[EdgeType, Weighted] = {
        ("dataset", "similar_to", "dataset"): _similar(tables),
        ("model", "pretrained_on", "dataset"): (pretrained[0], pretrained[1], np.ones(pretrained.shape[1])),
        ("model", "derived_from", "model"): (derived[0], derived[1], np.ones(derived.shape[1])),
        ("model", "proxy", "dataset"): (model, dataset, known[model, dataset]),
    }
    return Frame(
        schema,
        design_of(graph),
        tables,
        model_features(graph, schema),
        dataset_features(graph, schema),
        {kind: _members(graph.model_labels.get(kind, ())) for kind in ("family", "architecture")},
        forward,
    )


def _members(labels: tuple[tuple[str, ...], ...]) -> tuple[Integers, Integers, int]:
    codes = {text: code for code, text in enumerate(sorted({text for texts in labels for text in texts}))}
    pairs = [(row, codes[text]) for row, texts in enumerate(labels) for text in texts]
    models, groups = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return models, groups, len(codes)


def _similar(tables: PairTables) -> Weighted:
    """Returns edges to each dataset from those more alike to it than others are, by any basis."""
    found = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))]
    for alike in tables.alike:
        near = np.argsort(-alike, axis=1, kind="stable")[:, :_SIMILAR]
        weight = np.take_along_axis(alike, near, axis=1)
        kept = weight > 0
        rows = np.broadcast_to(np.arange(len(alike))[:, None], near.shape)
        found.append((near[kept], rows[kept], weight[kept]))
    source, target, weight = (np.concatenate(part) for part in zip(*found, strict=True))
    return source, target, weight


def alike_of(results: Results) -> Alike:
    """Returns performance neighbours and communities of the models by the visible results."""
    edges = performance_edges(results)
    return Alike(edges, community_labels(edges, results))


def view(frame: Frame, visible: Results, standing: Standing, alike: Alike) -> HeteroData:
    """Returns the graph as the visible results show it."""
    data = HeteroData()
    statistics = (standing.mean, standing.left, standing.spread, np.log1p(standing.count) / 3, standing.count > 0)
    data["model"].x = _tensor(np.column_stack([frame.models, *statistics]))
    counts = np.bincount(visible.dataset, minlength=visible.n_datasets)
    data["dataset"].x = _tensor(np.column_stack([frame.datasets, np.log1p(counts) / 3]))
    labels = alike.communities
    members = frame.members | {"community": (np.arange(len(labels)), labels, int(labels.max(initial=-1)) + 1)}
    edges = dict(frame.edges)
    edges["model", "scored", "dataset"] = (visible.model, visible.dataset, visible.z - standing.mean[visible.model])
    edges["model", "performs_like", "model"] = _both_ways(alike.edges)
    for kind, relation in (("family", "of"), ("architecture", "built_as"), ("community", "in")):
        models, groups, n_groups = members[kind]
        edges["model", relation, kind] = (models, groups, np.ones(len(models)))
        data[kind].x = _tensor(_group_features(models, groups, n_groups, standing))
    for (source, relation, target), (rows, columns, weight) in edges.items():
        if not len(rows):
            continue
        put_edges(data, (source, relation, target), rows, columns, weight)
        if (target, f"rev_{relation}", source) in EDGES:
            put_edges(data, (target, f"rev_{relation}", source), columns, rows, weight)
    return data


def _both_ways(edges: Edges) -> Weighted:
    weight = weights(edges)
    return np.concatenate([edges.a, edges.b]), np.concatenate([edges.b, edges.a]), np.concatenate([weight, weight])


def _group_features(models: Integers, groups: Integers, n_groups: int, standing: Standing) -> Floats:
    """Returns each group's size, mean standing and mean of what the members' results leave, (n_groups, 3)."""
    n = np.maximum(np.bincount(groups, minlength=n_groups), 1)
    means = [np.bincount(groups, values[models], minlength=n_groups) / n for values in (standing.mean, standing.left)]
    return np.column_stack([np.log1p(n) / 3, *means])


def put_edges(data: HeteroData, kind: EdgeType, rows: Integers, columns: Integers, weight: Floats) -> None:
    """Adds edges (E,) of one kind, as an index and ready for products; the nodes must be there."""
    data[kind].edge_index = torch.from_numpy(np.stack([rows, columns]).astype(np.int64))
    data[kind].edge_weight = _tensor(weight)
    shape = len(data[kind[2]].x), len(data[kind[0]].x)
    data[kind].adjacency = mean_adjacency(rows, columns, weight, shape)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
