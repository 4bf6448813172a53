import numpy as np

from zoo_graph.link_prediction import neighbours
from zoo_graph.link_prediction.neighbours import community_labels, performance_edges
from zoo_graph.link_prediction.results import read_results


def two_kinds(n_models: int = 24, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    pattern = generator.normal(size=(2, 12))
    return 2 * pattern[np.arange(n_models) % 2] + generator.normal(scale=0.3, size=(n_models, 12))


def test_models_of_a_kind_are_neighbours_and_a_community() -> None:
    results = read_results(two_kinds())
    edges = performance_edges(results)
    assert (edges.a % 2 == edges.b % 2).mean() > 0.95
    labels = community_labels(edges, results)
    assert len(set(labels[::2])) == len(set(labels[1::2])) == 1
    assert labels[0] != labels[1]


def test_permuted_models_have_permuted_neighbours_and_communities() -> None:
    scores = two_kinds()
    order = np.random.default_rng(1).permutation(len(scores))
    edges, moved = (performance_edges(read_results(given)) for given in (scores, scores[order]))
    pairs = {frozenset(pair) for pair in zip(edges.a.tolist(), edges.b.tolist(), strict=True)}
    back = {frozenset((int(order[a]), int(order[b]))) for a, b in zip(moved.a, moved.b, strict=True)}
    assert pairs == back
    labels = community_labels(edges, read_results(scores))
    assert np.array_equal(labels[order], community_labels(moved, read_results(scores[order])))


def test_a_large_zoo_looks_for_neighbours_among_those_with_most_results(monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "_PAIRS", 1)
    monkeypatch.setattr(neighbours, "_MIN_HUBS", 5)
    scores = two_kinds()
    scores[5:, :4] = np.nan
    edges = performance_edges(read_results(scores))
    assert len(edges)
    assert np.minimum(edges.a, edges.b).max() < 5


def test_nothing_shared_makes_no_edge() -> None:
    assert len(performance_edges(read_results(np.full((3, 2), np.nan)))) == 0
    assert len(performance_edges(read_results(np.eye(2)))) == 0
