import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import HeteroData

from zoo_graph.link_prediction.hetero import put_edges
from zoo_graph.link_prediction.sampling import random_walks, sample

SCORED, BACK = ("model", "scored", "dataset"), ("dataset", "rev_scored", "model")


def zoo(n_models: int, n_datasets: int) -> HeteroData:
    """Every model linked with every dataset, by a weight that names the pair."""
    data = HeteroData()
    data["model"].x = torch.arange(n_models, dtype=torch.float32)[:, None]
    data["dataset"].x = torch.arange(n_datasets, dtype=torch.float32)[:, None]
    models, datasets = (part.ravel() for part in np.indices((n_models, n_datasets)))
    put_edges(data, SCORED, models, datasets, 100.0 * models + datasets)
    put_edges(data, BACK, datasets, models, 100.0 * models + datasets)
    return data


def test_no_node_is_reached_by_more_edges_of_a_type_than_the_fan_out() -> None:
    part = sample(zoo(60, 40), {"dataset": np.array([5, 7])}, (4, 3), np.random.default_rng(0))
    assert part.nodes["dataset"].tolist()[:2] != []
    arriving = np.bincount(part.data[SCORED].edge_index[1].numpy(), minlength=len(part.nodes["dataset"]))
    assert arriving[np.searchsorted(part.nodes["dataset"], [5, 7])].tolist() == [4, 4]
    assert np.bincount(part.data[BACK].edge_index[1].numpy()).max() == 3
    assert len(part.nodes["model"]) <= 8
    assert len(part.nodes["dataset"]) <= 2 + 8 * 3


def test_sampled_edges_are_edges_of_the_whole_with_their_weights_and_features() -> None:
    part = sample(zoo(30, 20), {"dataset": np.array([3])}, (5, 5), np.random.default_rng(1))
    models, datasets = part.data[SCORED].edge_index.numpy()
    expected = 100.0 * part.nodes["model"][models] + part.nodes["dataset"][datasets]
    np.testing.assert_allclose(part.data[SCORED].edge_weight.numpy(), expected, rtol=1e-5)
    assert part.data["model"].x.squeeze(1).tolist() == part.nodes["model"].tolist()


def test_a_fan_out_above_every_degree_keeps_the_whole_neighbourhood() -> None:
    whole = zoo(6, 5)
    part = sample(whole, {"dataset": np.arange(5), "model": np.arange(6)}, (10, 10), np.random.default_rng(0))
    product = part.data[SCORED].adjacency.arriving.toarray()
    np.testing.assert_allclose(product, whole[SCORED].adjacency.arriving.toarray(), rtol=1e-6)


def test_walks_follow_edges_and_stay_where_there_are_none() -> None:
    links = sp.csr_array(np.array([[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=float))
    walks = random_walks(links, np.array([1, 3]), 6, np.random.default_rng(0))
    assert walks[1].tolist() == [3] * 6
    assert all(links[int(a), int(b)] > 0 for a, b in zip(walks[0], walks[0, 1:], strict=False))


def test_walks_choose_neighbours_by_weight() -> None:
    links = sp.csr_array(np.array([[0, 9, 1], [9, 0, 0], [1, 0, 0]], dtype=float))
    walks = random_walks(links, np.zeros(4_000, dtype=np.int64), 2, np.random.default_rng(0))
    assert (walks[:, 1] == 1).mean() == pytest.approx(0.9, abs=0.02)


def test_a_high_return_bias_keeps_walks_from_going_back() -> None:
    ring = sp.csr_array(np.roll(np.eye(8), 1, axis=1) + np.roll(np.eye(8), -1, axis=1))
    starts = np.zeros(2_000, dtype=np.int64)
    free = random_walks(ring, starts, 3, np.random.default_rng(0))
    shy = random_walks(ring, starts, 3, np.random.default_rng(0), return_bias=100.0)
    assert (free[:, 2] == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert (shy[:, 2] == 0).mean() < 0.05


def test_a_graph_without_edges_is_walked_on_the_spot() -> None:
    walks = random_walks(sp.csr_array((3, 3)), np.arange(3), 4, np.random.default_rng(0))
    assert walks.tolist() == [[row] * 4 for row in range(3)]
