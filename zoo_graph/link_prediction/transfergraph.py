"""TransferGraph's recipe to compare with (Li et al. 2024, Model Selection with Model Zoo via Graph Learning).

One graph of models and datasets: datasets that are alike are linked, and a model with a dataset where its min-max
score, or its proxy, is above .5. Node embeddings (node2vec or GraphSAGE), metadata, how alike the target is to what
the model was pretrained on, and proxies go into boosted trees. Without three faults of the published code: the
target's run times are no feature, categories are coded once for training and target, and every link of the target to
a result is gone before anything is embedded. What belongs to the recipe stays: an embedding is of this graph's nodes
only, so every target takes a training of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor, nn
from torch.nn import functional

from zoo_graph.link_prediction.features import Schema, dataset_features, model_features, schema_of
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.messages import Adjacency, WeightedMean, mean_adjacency
from zoo_graph.link_prediction.pairs import PairTables, kinship, pair_tables
from zoo_graph.link_prediction.prediction import Calibration, Prediction, with_interval
from zoo_graph.link_prediction.results import Results, read_results
from zoo_graph.link_prediction.sampling import random_walks
from zoo_graph.link_prediction.training import own_torch, single
from zoo_graph.snapshot import Floats, Integers

Embedding = Literal["node2vec", "graphsage"]

_POSITIVE = 0.5
_WIDTH = 64
_WALKS, _LENGTH, _WINDOW = 10, 20, 5
_EPOCHS, _BATCH, _NEGATIVES = 3, 2_048, 3
_SAGE_STEPS = 100
_LEARNING_RATE = 0.01


@dataclass(frozen=True, slots=True)
class TransferGraph:
    """The recipe as a ranker. It trains anew for every target: seconds each, on graphs of some hundred nodes."""

    embedding: Embedding = "node2vec"
    seed: int = 0
    threads: int = 1

    def predict(self, graph: ZooGraph, targets: Sequence[str]) -> Prediction:
        """Predicts every model on the targets. The recipe states no interval: it gets that of an average result.

        Raises:
            UnknownNameError: a target that is no dataset of the graph.
        """
        columns = graph.columns(targets)
        schema = schema_of(graph)
        tables = pair_tables(graph, schema)
        results = read_results(graph.scores)
        mean = np.zeros((len(graph.models), len(columns)))
        with own_torch(self.seed, self.threads):
            for place, target in enumerate(columns.tolist()):
                mean[:, place] = self._predict_one(graph, schema, tables, results.hide(np.array([target])), target)
        return with_interval(graph, targets, mean, np.ones(mean.shape), Calibration())

    def _predict_one(
        self, graph: ZooGraph, schema: Schema, tables: PairTables, visible: Results, target: int
    ) -> Floats:
        if not len(visible):
            return np.zeros(len(graph.models))
        generator = np.random.default_rng([self.seed, 5])
        torch.manual_seed(self.seed)
        known = model_features(graph, schema), dataset_features(graph, schema)
        links = _links(graph, tables, visible)
        embedded = _walked(links, generator) if self.embedding == "node2vec" else _aggregated(links, *known, visible)
        related = kinship(tables, np.arange(len(graph.datasets)))

        def rows(models: Integers, datasets: Integers) -> Floats:
            proxies = [proxy[models, datasets] for proxy in tables.proxies]
            by_node = (embedded[models], embedded[len(graph.models) + datasets], known[0][models], known[1][datasets])
            return np.column_stack([*by_node, related[models, datasets], *proxies])

        trees = HistGradientBoostingRegressor(max_iter=150, learning_rate=0.06, random_state=self.seed)
        trees.fit(rows(visible.model, visible.dataset), visible.z)
        everyone = np.arange(len(graph.models))
        return np.asarray(trees.predict(rows(everyone, np.full(len(everyone), target))))


def _links(graph: ZooGraph, tables: PairTables, visible: Results) -> sp.csr_array:
    """Returns the homogeneous graph, models first, (M + D, M + D), symmetric, every link 1."""
    n_models, n_datasets = graph.scores.shape
    scores = np.full((n_models, n_datasets), np.nan)
    scores[visible.model, visible.dataset] = visible.z
    linked = np.zeros((n_models, n_datasets), dtype=np.bool_)
    for values in (scores, *tables.proxies):
        linked |= _unit(values) > _POSITIVE
    alike: Floats = sum(tables.alike, np.zeros((n_datasets, n_datasets)))
    near = alike > _POSITIVE * max(len(tables.alike), 1)
    blocks = [[None, sp.coo_array(linked)], [sp.coo_array(linked.T), sp.coo_array(near | near.T)]]
    links = sp.csr_array(sp.block_array(blocks, format="csr"), dtype=np.float64)
    links.resize((n_models + n_datasets, n_models + n_datasets))
    links.sort_indices()
    return links


def _unit(values: Floats) -> Floats:
    """Returns each column moved to 0..1, -1 where unknown."""
    seen = np.isfinite(values)
    low = np.where(seen, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(seen, values, -np.inf).max(axis=0, initial=-np.inf)
    spread = np.where(high > low, high - low, 1.0)
    return np.where(seen, (np.where(seen, values, 0.0) - np.where(np.isfinite(low), low, 0.0)) / spread, -1.0)


def _walked(links: sp.csr_array, generator: np.random.Generator) -> Floats:
    """Returns node2vec's embedding, (N, 64): skip-gram with negative sampling on random walks."""
    n_nodes = links.shape[0]
    walks = random_walks(links, np.tile(np.arange(n_nodes), _WALKS), _LENGTH, generator)
    shifts = [(walks[:, :-by].ravel(), walks[:, by:].ravel()) for by in range(1, _WINDOW + 1)]
    centres, contexts = (np.concatenate(part) for part in zip(*shifts, strict=True))
    node, context = nn.Embedding(n_nodes, _WIDTH), nn.Embedding(n_nodes, _WIDTH)
    optimizer = torch.optim.Adam([*node.parameters(), *context.parameters()], lr=_LEARNING_RATE, fused=True)
    nn.init.normal_(node.weight, std=0.1)
    nn.init.normal_(context.weight, std=0.1)
    for _ in range(_EPOCHS):
        order = generator.permutation(len(centres))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            negatives = torch.from_numpy(generator.integers(n_nodes, size=(len(batch), _NEGATIVES)))
            left = node(torch.from_numpy(centres[batch]))
            near = (left * context(torch.from_numpy(contexts[batch]))).sum(dim=1)
            far = torch.einsum("bw,bnw->bn", left, context(negatives))
            loss = -functional.logsigmoid(near).mean() - functional.logsigmoid(-far).mean(dim=0).sum()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return np.asarray(node.weight.detach().double().numpy())


class _Sage(nn.Module):
    """GraphSAGE with two rounds of means (Hamilton et al. 2017) on input features of models and datasets."""

    def __init__(self, model_width: int, dataset_width: int) -> None:
        super().__init__()
        self.model_input = nn.Linear(model_width, _WIDTH)
        self.dataset_input = nn.Linear(dataset_width, _WIDTH)
        self.own = nn.ModuleList([nn.Linear(_WIDTH, _WIDTH) for _ in range(2)])
        self.neighbours = nn.ModuleList([WeightedMean(_WIDTH) for _ in range(2)])

    def forward(self, models: Tensor, datasets: Tensor, adjacency: Adjacency) -> Tensor:
        """Returns the embedding of all nodes, models first, (M + D, 64)."""
        nodes = torch.relu(torch.cat([self.model_input(models), self.dataset_input(datasets)]))
        nodes = torch.relu(self.own[0](nodes) + self.neighbours[0](nodes, adjacency))
        out: Tensor = self.own[1](nodes) + self.neighbours[1](nodes, adjacency)
        return out


def _aggregated(links: sp.csr_array, models: Floats, datasets: Floats, visible: Results) -> Floats:
    """Returns GraphSAGE's embedding, (N, 64), trained to tell who does well on a dataset from who does not."""
    edges = links.tocoo()
    adjacency = mean_adjacency(edges.col, edges.row, edges.data, links.shape)
    scores = np.full((visible.n_models, visible.n_datasets), np.nan)
    scores[visible.model, visible.dataset] = visible.z
    label = single(_unit(scores)[visible.model, visible.dataset] > _POSITIVE)
    left, right = torch.from_numpy(visible.model), torch.from_numpy(visible.n_models + visible.dataset)
    network = _Sage(models.shape[1], datasets.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE, fused=True)
    inputs = single(models), single(datasets)
    for _ in range(_SAGE_STEPS):
        nodes = network(*inputs, adjacency)
        loss = functional.binary_cross_entropy_with_logits((nodes[left] * nodes[right]).sum(dim=1), label)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        return np.asarray(network(*inputs, adjacency).double().numpy())
