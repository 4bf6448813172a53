import numpy as np
import pytest

from selection.errors import InputError
from selection.proxies.lda import lda, shrinkage
from selection.proxies.moments import Moments


def literal(features, labels, shrunk):
    """For each row a discriminant analysis fitted anew to all others, with the given shrinkage."""
    features = np.asarray(features, np.float64)
    n, d = features.shape
    posteriors = []
    for i in range(n):
        rest, others = np.delete(features, i, axis=0), np.delete(labels, i)
        classes = np.unique(others)
        if labels[i] not in classes:
            posteriors.append(0.0)
            continue
        means = np.stack([rest[others == c].mean(axis=0) for c in classes])
        apart = rest - means[np.searchsorted(classes, others)]
        covariance = (1 - shrunk.intensity) * apart.T @ apart / (n - 1) + shrunk.intensity * shrunk.variance * np.eye(d)
        gaps = features[i] - means
        logs = np.log([(others == c).sum() for c in classes])
        logs = logs - 0.5 * np.einsum("cd,dc->c", gaps, np.linalg.solve(covariance, gaps.T))
        powers = np.exp(logs - logs.max())
        posteriors.append(powers[classes == labels[i]][0] / powers.sum())
    return np.mean(posteriors)


def test_equals_fitting_anew_without_each_row(sample):
    moments = Moments(sample.features, sample.labels)
    assert lda(moments) == pytest.approx(literal(sample.features, sample.labels, shrinkage(moments)), abs=1e-7)


def test_the_shrinkage_is_ledoit_and_wolfs_of_the_rows_less_their_class_means(sample):
    from sklearn.covariance import ledoit_wolf

    features = np.asarray(sample.features, np.float64)
    means = np.stack([features[sample.labels == label].mean(axis=0) for label in sample.labels])
    shrunk = shrinkage(Moments(sample.features, sample.labels))
    assert shrunk.intensity == pytest.approx(ledoit_wolf(features - means, assume_centered=True)[1], rel=1e-6)
    assert shrunk.variance == pytest.approx(np.square(features - means).mean(), rel=1e-9)


@pytest.mark.parametrize("n_dims", [5, 300])
def test_noise_scores_about_chance_however_many_features(n_dims):
    """What resubstitution would not: with 300 features for 200 rows it is 1."""
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 4
    assert lda(Moments(generator.standard_normal((200, n_dims)), labels)) == pytest.approx(0.25, abs=0.08)


def test_separable_classes_score_near_one():
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 4
    assert lda(Moments(generator.standard_normal((200, 10)) + 20 * np.eye(4, 10)[labels], labels)) > 0.999


def test_rotating_scaling_reordering_and_renaming_change_nothing(sample):
    generator = np.random.default_rng(1)
    rotation = np.linalg.qr(generator.standard_normal((sample.features.shape[1],) * 2))[0]
    rows = generator.permutation(len(sample.labels))
    other = Moments((sample.features.astype(np.float64) @ rotation * 9 + 3.0)[rows], (5 + 3 * sample.labels)[rows])
    assert lda(other) == pytest.approx(lda(Moments(sample.features, sample.labels)), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-15, 1e30])
@pytest.mark.parametrize("n_dims", [3, 40])
def test_scale_alone_changes_nothing_even_where_it_is_extreme(scale, n_dims):
    features, labels = np.random.default_rng(2).standard_normal((20, n_dims)), np.arange(20) % 2
    assert lda(Moments(scale * features, labels)) == pytest.approx(lda(Moments(features, labels)), abs=1e-6)


def test_the_only_row_of_a_class_counts_zero():
    assert lda(Moments(np.random.default_rng(3).standard_normal((6, 6)), np.arange(6))) == 0.0
    assert lda(Moments([[0.0], [1.0]], [0, 1])) == 0.0


def test_classes_that_are_points_score_one_and_identical_rows_are_undefined():
    assert lda(Moments(np.eye(3)[[0, 1, 2] * 4], [0, 1, 2] * 4)) == pytest.approx(1.0)
    with pytest.raises(InputError, match="same features"):
        lda(Moments(np.full((9, 4), 0.1), np.arange(9) % 3))
