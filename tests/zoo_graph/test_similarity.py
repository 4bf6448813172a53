import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo_graph import similarity
from zoo_graph.scores import ScoreMatrix
from zoo_graph.similarity import Edges, comparable, dataset_edges, likeness_edges, model_edges, pair_distances

NAN = math.nan


def distances(edges: Edges) -> dict[tuple[int, int], float]:
    return dict(zip(zip(edges.a.tolist(), edges.b.tolist(), strict=True), edges.distance.tolist(), strict=True))


def gaps(seed: int, n_models: int = 40, n_datasets: int = 12, missing: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n_models, n_datasets))
    scores[rng.random(scores.shape) < missing] = NAN
    return scores


def test_raw_distance_is_the_mean_of_the_largest_differences(matrix_of) -> None:
    matrix = matrix_of([[0.9, 0.8, 0.7], [0.8, 0.8, 0.3], [0.1, 0.8, 0.7]])
    found = pair_distances(matrix, largest=2)
    assert found[0, 1] == pytest.approx((0.1 + 0.4) / 2, abs=1e-6)
    assert found[0, 2] == pytest.approx((0.8 + 0.0) / 2, abs=1e-6)
    assert found[1, 2] == pytest.approx((0.7 + 0.4) / 2, abs=1e-6)
    assert np.array_equal(found, found.T)


def test_models_that_share_fewer_datasets_than_k_use_all_they_share(matrix_of) -> None:
    matrix = matrix_of([[0.9, 0.8, NAN], [0.8, NAN, 0.3]])
    assert pair_distances(matrix, largest=5)[0, 1] == pytest.approx(0.1, abs=1e-6)


def test_models_that_share_nothing_have_no_distance(matrix_of) -> None:
    assert math.isnan(pair_distances(matrix_of([[0.9, NAN], [NAN, 0.3]]))[0, 1])


def test_standardised_scores_are_comparable_between_datasets() -> None:
    scores = comparable(np.array([[0.1, 10.0, 5.0], [0.2, 20.0, 5.0], [0.3, 30.0, 5.0]]))
    assert scores[:, 0] == pytest.approx(scores[:, 1])
    assert np.isnan(scores[:, 2]).all()  # a dataset without differences says nothing


def test_a_pair_that_shares_too_little_has_no_edge(matrix_of) -> None:
    scores = [[0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.4, 0.3], [0.3, 0.4, NAN, NAN]]
    assert set(distances(model_edges(matrix_of(scores), basis="raw", min_overlap=3))) == {(0, 1)}


def test_a_little_compared_pair_counts_as_less_alike_than_a_much_compared_one(matrix_of) -> None:
    scores = np.tile(np.linspace(0, 1, 10), (4, 1)) + np.array([[0.0], [0.0], [0.3], [0.6]])
    scores[1, 3:] = NAN  # equal to 0 on three datasets
    twin = np.vstack([scores, scores[:1]])  # equal to 0 on all ten
    found = distances(model_edges(matrix_of(twin)))
    assert found[0, 4] < found[0, 1]


def test_each_model_keeps_its_nearest_neighbours(matrix_of) -> None:
    scores = gaps(1, missing=0)
    edges = model_edges(matrix_of(scores), neighbours=3, shrinkage=0)
    ends = np.concatenate([edges.a, edges.b])
    assert np.bincount(ends, minlength=40).min() >= 3
    full = pair_distances(matrix_of(scores), basis="standardised")
    np.fill_diagonal(full, np.inf)
    for row in range(40):
        for near in np.argsort(full[row])[:3]:
            assert (min(row, near), max(row, near)) in distances(edges)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_permuting_models_permutes_the_edges(seed: int) -> None:
    scores = gaps(seed)
    order = np.random.default_rng(seed).permutation(len(scores))

    def edges_of(values: np.ndarray) -> Edges:
        shape = values.shape
        names = (tuple(map(str, range(shape[0]))), tuple(map(str, range(shape[1]))))
        return model_edges(ScoreMatrix(*names, (), (), values, np.isfinite(values).astype(int), values), neighbours=4)

    here = distances(edges_of(scores))
    there = distances(edges_of(scores[order]))
    moved = {tuple(sorted((int(order[a]), int(order[b])))): d for (a, b), d in there.items()}
    assert moved.keys() == here.keys()
    assert [moved[pair] for pair in sorted(moved)] == pytest.approx([here[pair] for pair in sorted(here)], abs=1e-5)


def test_blocks_do_not_change_the_answer(matrix_of, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = distances(model_edges(matrix_of(gaps(5))))
    monkeypatch.setattr(similarity, "_BLOCK_BYTES", 1)
    assert distances(model_edges(matrix_of(gaps(5)))) == whole


def test_candidates_by_matrix_product_find_nearly_the_same_neighbours(
    matrix_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 60)) + 0.3 * rng.normal(size=(400, 60))
    every = set(distances(model_edges(matrix_of(scores))))
    monkeypatch.setattr(similarity, "_EXACT_CELLS", 0)
    monkeypatch.setattr(similarity, "_CANDIDATES", 2)
    near = set(distances(model_edges(matrix_of(scores))))
    assert near != every
    assert len(near & every) / len(every) > 0.95


def test_datasets_that_rank_models_alike_are_similar(matrix_of) -> None:
    ability = np.linspace(0, 1, 12)
    matrix = matrix_of(np.stack([ability, 3 * ability + 1, -ability], axis=1))
    found = distances(dataset_edges(matrix))
    assert set(found) == {(0, 1)}
    assert found[0, 1] == pytest.approx(1 - 12 / 22)  # correlation 1, shrunk as 12 / (12 + 10)


def test_dataset_correlations_use_the_shared_models_only(matrix_of) -> None:
    scores = gaps(7, n_models=60, n_datasets=6, missing=0.3) + np.linspace(0, 4, 60)[:, None]
    edges = dataset_edges(matrix_of(scores))
    a, b, distance = int(edges.a[0]), int(edges.b[0]), float(edges.distance[0])
    both = np.isfinite(scores[:, a]) & np.isfinite(scores[:, b])
    correlation = np.corrcoef(scores[both, a], scores[both, b])[0, 1]
    assert edges.overlap[0] == both.sum()
    assert distance == pytest.approx(1 - correlation * both.sum() / (both.sum() + 10))


@pytest.mark.parametrize("shape", [(0, 0), (1, 3), (2, 0)])
def test_too_small_a_zoo_has_no_edges(matrix_of, shape: tuple[int, int]) -> None:
    assert len(model_edges(matrix_of(np.ones(shape)))) == 0
    assert len(dataset_edges(matrix_of(np.ones(shape)))) == 0


def test_a_dataset_of_two_scores_says_nothing() -> None:
    assert np.isnan(comparable(np.array([[0.1, 0.1], [0.2, 0.2], [NAN, 0.3]]))[:, 0]).all()


def test_a_hardly_compared_pair_is_drawn_to_the_difference_of_two_random_models(matrix_of) -> None:
    # Differences on each dataset: 0, .1, .1, so two random models differ by .2 / 3.
    matrix = matrix_of([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.6, 0.6, 0.6]])
    found = distances(model_edges(matrix, basis="raw", shrinkage=3))
    assert found[0, 1] == pytest.approx((3 * 0 + 3 * 0.2 / 3) / 6, abs=1e-6)
    assert found[0, 2] == pytest.approx((3 * 0.1 + 3 * 0.2 / 3) / 6, abs=1e-6)


def test_a_model_brings_no_more_neighbours_than_wanted(matrix_of) -> None:
    line = matrix_of(np.repeat(np.array([0.0, 1.0, 3.0, 7.0])[:, None], 3, axis=1))
    assert set(distances(model_edges(line, basis="raw", neighbours=1))) == {(0, 1), (1, 2), (2, 3)}


def test_datasets_that_share_too_few_models_are_not_compared(matrix_of) -> None:
    scores = np.tile(np.linspace(0, 1, 9)[:, None], 3)
    scores[:5, 1] = NAN  # the second shares four models with the others
    assert set(distances(dataset_edges(matrix_of(scores), min_overlap=5))) == {(0, 2)}
    assert set(distances(dataset_edges(matrix_of(scores), min_overlap=4))) == {(0, 1), (0, 2), (1, 2)}


@pytest.mark.parametrize(("basis", "shown"), [("raw", [1.0, 0.75]), ("standardised", [1.0, math.exp(-0.25)])])
def test_equals_are_alike_by_one(basis: similarity.Basis, shown: list[float]) -> None:
    assert similarity.similarity(np.array([0.0, 0.25]), basis) == pytest.approx(shown)


def test_given_similarities_join_the_nearest_that_are_alike_at_all() -> None:
    alike = np.array([[1, 0.9, 0.4, NAN], [0.9, 1, 0.5, -0.2], [0.4, 0.5, 1, 0], [NAN, -0.2, 0, 1]])
    assert distances(likeness_edges(alike)) == pytest.approx({(0, 1): 0.1, (0, 2): 0.6, (1, 2): 0.5})
    assert set(distances(likeness_edges(alike, neighbours=1))) == {(0, 1), (1, 2)}
    assert len(likeness_edges(np.ones((1, 1)))) == len(likeness_edges(np.ones((0, 0)))) == 0
