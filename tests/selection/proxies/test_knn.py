import numpy as np
import pytest

from selection.errors import InputError
from selection.proxies.knn import knn
from selection.proxies.moments import Moments


def literal(features, labels, k=5):
    """Row by row, in double precision."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    hits = 0
    for i, row in enumerate(unit):
        others = [j for j in range(len(unit)) if j != i]
        similar = unit[others] @ row
        nearest = np.argsort(similar)[::-1][: min(k, len(others))]
        votes, weights = {}, {}
        for place in nearest:
            label = labels[others[place]]
            votes[label] = votes.get(label, 0) + 1
            weights[label] = weights.get(label, 0.0) + similar[place]
        hits += max(votes, key=lambda label: (votes[label], weights[label])) == labels[i]
    return hits / len(features)


@pytest.mark.parametrize(("n", "d", "n_classes"), [(60, 10, 3), (30, 100, 2), (1100, 8, 7), (4, 3, 2)])
def test_equals_the_vote_row_by_row(n, d, n_classes):
    generator = np.random.default_rng(n)
    labels = np.arange(n) % n_classes
    features = generator.standard_normal((n, d)) + 1.5 * generator.standard_normal((n_classes, d))[labels]
    assert knn(Moments(features, labels)) == pytest.approx(literal(features, labels), abs=1e-12)


def test_two_tight_clusters_are_told_apart_and_shuffled_labels_are_not():
    features = np.repeat([[1.0, 0.0], [0.0, 1.0]], 10, axis=0) + np.random.default_rng(0).normal(0, 0.01, (20, 2))
    assert knn(Moments(features, np.repeat([0, 1], 10))) == 1.0
    assert knn(Moments(features, np.arange(20) % 2)) < 0.8


def test_a_row_never_votes_for_itself():
    """Each row's only companion of its class is far away, so a vote of itself would be the only way to hit."""
    angles = np.array([0.0, 180.0, 1.0, 181.0]) * np.pi / 180
    features = np.column_stack([np.cos(angles), np.sin(angles)])
    assert knn(Moments(features, [0, 0, 1, 1])) == 0.0


def test_scaling_a_row_rotating_and_reordering_change_nothing():
    generator = np.random.default_rng(1)
    labels = np.arange(90) % 3
    features = generator.standard_normal((90, 6)) + generator.standard_normal((3, 6))[labels]
    rotation = np.linalg.qr(generator.standard_normal((6, 6)))[0]
    rows = generator.permutation(90)
    other = (features * generator.uniform(0.1, 9, (90, 1)) @ rotation)[rows]
    assert knn(Moments(other, labels[rows])) == knn(Moments(features, labels))


def test_zero_rows_are_allowed_and_identical_rows_are_not():
    assert 0 <= knn(Moments([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1]], [0, 1, 1])) <= 1
    with pytest.raises(InputError, match="same features"):
        knn(Moments(np.full((6, 2), 0.3), [0, 1] * 3))
