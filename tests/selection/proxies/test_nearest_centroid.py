import numpy as np
import pytest

from selection.errors import InputError
from selection.proxies.moments import Moments
from selection.proxies.nearest_centroid import nearest_centroid


def literal(features, labels):
    """Each row against the class means of all other rows."""
    features = np.asarray(features, np.float64)
    hits = 0
    for i, row in enumerate(features):
        rest, others = np.delete(features, i, axis=0), np.delete(labels, i)
        classes = np.unique(others)
        distances = [np.linalg.norm(row - rest[others == c].mean(axis=0)) for c in classes]
        hits += classes[np.argmin(distances)] == labels[i]
    return hits / len(features)


def test_equals_the_means_without_each_row(sample):
    value = nearest_centroid(Moments(sample.features, sample.labels))
    assert value == pytest.approx(literal(sample.features, sample.labels), abs=1e-12)


def test_a_row_is_no_part_of_its_own_centroid():
    """With themselves counted all four are hits (distance 1.5 against 2.5); without, 3 against 2.5."""
    assert nearest_centroid(Moments([[0.0], [3.0], [4.0], [7.0]], [0, 0, 1, 1])) == 0.5


def test_a_tie_with_another_class_is_a_miss():
    assert nearest_centroid(Moments([[0.0], [2.0], [1.0], [3.0]], [0, 0, 1, 1])) == 0.0


def test_separate_classes_are_told_apart_and_noise_is_about_chance():
    generator = np.random.default_rng(0)
    labels, noise = np.arange(400) % 4, generator.standard_normal((400, 300))
    assert nearest_centroid(Moments(noise + 50 * np.eye(4, 300)[labels], labels)) == 1.0
    assert nearest_centroid(Moments(noise, labels)) == pytest.approx(0.25, abs=0.08)


def test_rotating_scaling_moving_reordering_and_renaming_change_nothing(sample):
    generator = np.random.default_rng(1)
    rotation = np.linalg.qr(generator.standard_normal((sample.features.shape[1],) * 2))[0]
    rows = generator.permutation(len(sample.labels))
    other = Moments((1e9 * sample.features.astype(np.float64) @ rotation + 7.0)[rows], (5 + 3 * sample.labels)[rows])
    assert nearest_centroid(other) == nearest_centroid(Moments(sample.features, sample.labels))


def test_the_only_row_of_a_class_is_a_miss_and_identical_rows_are_undefined():
    assert nearest_centroid(Moments([[0.0], [1.0]], [0, 1])) == 0.0
    with pytest.raises(InputError, match="same features"):
        nearest_centroid(Moments(np.full((9, 4), 0.1), np.arange(9) % 3))
