import numpy as np
import pytest
from sklearn.decomposition import PCA

from selection.errors import InputError
from selection.proxies.gbc import gbc
from selection.proxies.moments import Moments


def literal(features, labels):
    """Pandy et al. 2022: - sum of exp(-D_B) over ordered pairs of classes, diagonal covariances on 64 components."""
    features = np.asarray(features, np.float64)
    features = PCA(min(64, *features.shape), svd_solver="full").fit_transform(features)
    features = features[:, features.var(axis=0) > 1e-12 * features.var(axis=0).max()]
    classes = np.unique(labels)
    rows = [features[labels == c] for c in classes]
    pooled = sum(len(part) * part.var(axis=0) for part in rows) / len(features)
    floor = 1e-6 * pooled.mean()
    total = 0.0
    for a in classes:
        for b in classes:
            if a == b:
                continue
            first, second = (
                np.diag(np.maximum(part.var(axis=0) if len(part) > 1 else pooled, floor)) for part in (rows[a], rows[b])
            )
            average = (first + second) / 2
            gap = rows[a].mean(axis=0) - rows[b].mean(axis=0)
            distance = gap @ np.linalg.inv(average) @ gap / 8
            logs = [np.linalg.slogdet(matrix)[1] for matrix in (average, first, second)]
            total += np.exp(-distance - 0.5 * (logs[0] - 0.5 * (logs[1] + logs[2])))
    return -total


def test_equals_the_formula_pair_by_pair(sample):
    expected = literal(sample.features, sample.labels)
    assert -np.exp(-gbc(Moments(sample.features, sample.labels))) == pytest.approx(expected, rel=1e-6)


def test_two_gaussians_by_head():
    """Variance 1 each, means 0 and 4: D_B = 16 / 8 = 2, two ordered pairs."""
    value = gbc(Moments([[-1.0], [1.0], [3.0], [5.0]], [0, 0, 1, 1]))
    assert value == pytest.approx(2.0 - np.log(2.0), abs=1e-12)


def test_classes_far_apart_do_not_underflow():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = generator.standard_normal((60, 200)) + 50 * generator.standard_normal((3, 200))[labels]
    assert gbc(Moments(features, labels)) > 1000


def test_rotating_moving_reordering_and_renaming_change_nothing(sample):
    generator = np.random.default_rng(1)
    rotation = np.linalg.qr(generator.standard_normal((sample.features.shape[1],) * 2))[0]
    rows = generator.permutation(len(sample.labels))
    other = Moments((sample.features.astype(np.float64) @ rotation + 3.0)[rows], (5 + 3 * sample.labels)[rows])
    assert gbc(other) == pytest.approx(gbc(Moments(sample.features, sample.labels)), abs=1e-6)


def test_components_past_the_64th_do_not_count():
    generator = np.random.default_rng(4)
    features, labels = generator.standard_normal((300, 64)), np.arange(300) % 3
    faint = 1e-3 * generator.standard_normal((300, 40))
    whole = gbc(Moments(np.hstack([features, faint]), labels))
    assert whole == pytest.approx(gbc(Moments(features, labels)), abs=1e-3)


def test_a_class_of_one_row_and_a_dead_feature_are_not_infinitely_far():
    features = np.random.default_rng(2).standard_normal((21, 3))
    features[:, 1] = 4.2
    assert abs(gbc(Moments(features, [0, 1] * 10 + [2]))) < 20


def test_scale_alone_changes_nothing_even_where_it_is_huge():
    features, labels = np.random.default_rng(3).standard_normal((30, 5)), np.arange(30) % 3
    assert gbc(Moments(1e30 * features, labels)) == pytest.approx(gbc(Moments(features, labels)), rel=1e-9)


@pytest.mark.parametrize("features", [np.full((9, 4), 0.1), np.eye(3)[[0, 1, 2] * 3]])
def test_without_variance_in_any_class_it_is_undefined(features):
    with pytest.raises(InputError, match="do not vary within any class"):
        gbc(Moments(features, [0, 1, 2] * 3))
