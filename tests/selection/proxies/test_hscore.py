import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from selection.proxies.hscore import hscore, regularized_hscore, shrinkage
from selection.proxies.moments import Moments


def between(features, labels):
    """Covariance of the rows with each replaced by the mean of its class."""
    means = np.stack([features[labels == label].mean(axis=0) for label in labels])
    return np.cov(means, rowvar=False, bias=True).reshape(features.shape[1], -1)


def literal(features, labels):
    """Bao et al. 2019: tr(pinv(cov(f)) cov(E[f | y])), with the rank cut that ours states."""
    features = np.asarray(features, np.float64)
    covariance = np.cov(features, rowvar=False, bias=True)
    inverse = np.linalg.pinv(covariance, rcond=max(features.shape) * 2.220446049250313e-16, hermitian=True)
    return np.trace(inverse @ between(features, labels))


def literal_regularized(features, labels):
    """Ibrahim et al. 2021, with scikit-learn's Ledoit-Wolf."""
    features = np.asarray(features, np.float64)
    covariance, a = ledoit_wolf(features)
    return np.trace(np.linalg.pinv(covariance, hermitian=True) @ ((1 - a) * between(features, labels)))


def test_equals_the_trace_by_pseudo_inverse(sample):
    value = hscore(Moments(sample.features, sample.labels))
    assert value == pytest.approx(literal(sample.features, sample.labels), rel=1e-7)


def test_regularized_equals_the_trace_by_pseudo_inverse(sample):
    value = regularized_hscore(Moments(sample.features, sample.labels))
    assert value == pytest.approx(literal_regularized(sample.features, sample.labels), rel=1e-9)


def test_shrinkage_equals_scikit_learns_ledoit_wolf(sample):
    expected = ledoit_wolf(sample.features.astype(np.float64))[1]
    assert shrinkage(Moments(sample.features, sample.labels)) == pytest.approx(expected, rel=1e-9)


def test_one_feature_equals_the_share_of_variance_between_classes():
    """Values 0, 2 | 4, 6: total variance 5, variance of class means 4."""
    assert hscore(Moments([[0.0], [2.0], [4.0], [6.0]], [0, 0, 1, 1])) == pytest.approx(0.8, abs=1e-12)


def test_features_that_are_the_class_score_classes_minus_one():
    assert hscore(Moments(np.eye(3)[[0, 1, 2, 0, 1, 2]], [0, 1, 2, 0, 1, 2])) == pytest.approx(2.0, abs=1e-12)


def test_an_invertible_map_of_the_features_changes_nothing():
    generator = np.random.default_rng(0)
    features, labels = generator.standard_normal((80, 6)), np.arange(80) % 4
    mapped = features @ generator.standard_normal((6, 6)) + 5.0
    assert hscore(Moments(mapped, labels)) == pytest.approx(hscore(Moments(features, labels)), rel=1e-9)


@pytest.mark.parametrize("score", [hscore, regularized_hscore])
def test_rotating_features_reordering_rows_and_renaming_labels_change_nothing(sample, score):
    generator = np.random.default_rng(1)
    rotation = np.linalg.qr(generator.standard_normal((sample.features.shape[1],) * 2))[0]
    rows = generator.permutation(len(sample.labels))
    other = Moments((sample.features.astype(np.float64) @ rotation)[rows], (5 + 3 * sample.labels)[rows])
    assert score(other) == pytest.approx(score(Moments(sample.features, sample.labels)), rel=1e-7)


@pytest.mark.parametrize("score", [hscore, regularized_hscore])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_identical_rows_score_zero(score, value):
    assert score(Moments(np.full((9, 4), value), np.arange(9) % 3)) == 0.0


@pytest.mark.parametrize("score", [hscore, regularized_hscore])
def test_a_large_mean_and_a_constant_feature_cost_no_digits(score):
    generator = np.random.default_rng(3)
    features, labels = generator.standard_normal((50, 4)), np.arange(50) % 2
    moved = np.hstack([features + 1e6, np.full((50, 1), 1e7)])
    wide = score(Moments(np.hstack([features, np.zeros((50, 1))]), labels))
    assert score(Moments(moved, labels)) == pytest.approx(wide, rel=1e-8)
