import numpy as np
import pytest
import scipy.linalg

from selection.errors import InputError
from selection.proxies.moments import Moments
from selection.proxies.sfda import sfda


def softened(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def discriminant(features, labels, shrinkage):
    """Shao et al. 2022, equations 3 to 6, by the generalised eigenproblem of the paper; the posterior and lambda."""
    n, d = features.shape
    classes = np.unique(labels)
    prior = np.array([(labels == c).mean() for c in classes])
    means = np.stack([features[labels == c].mean(axis=0) for c in classes])
    within = np.zeros((d, d))
    for c, mean in zip(classes, means, strict=True):
        rows = features[labels == c] - mean
        within += rows.T @ rows / n
    if shrinkage is None:
        shrinkage = max(np.exp(-5 * np.linalg.eigvalsh(within)[-1]), 1e-10)
    regular = (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
    total = np.cov(features.T, bias=True).reshape(d, d)
    total = (1 - shrinkage) * total + shrinkage * np.trace(total) / d * np.eye(d)
    vectors = scipy.linalg.eigh(total - regular, regular)[1]
    weights = means @ vectors @ vectors.T
    logits = features @ weights.T - 0.5 * np.diag(means @ weights.T) + np.log(prior)
    return softened(logits), shrinkage


def literal(features, labels):
    features = np.array(features, np.float64) - np.mean(features, axis=0, dtype=np.float64)
    own = np.arange(len(labels)), labels
    first, shrinkage = discriminant(features, labels, None)
    confidence = softened(first)[own]
    means = np.stack([features[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
    mixed = np.empty_like(features)
    for i, label in enumerate(labels):
        others = np.delete(means, label, axis=0).mean(axis=0)
        mixed[i] = confidence[i] * features[i] + (1 - confidence[i]) * others
    return discriminant(mixed, labels, shrinkage)[0][own].mean()


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_equals_the_two_discriminants_by_eigenvectors(sample, scale):
    features = np.asarray(sample.features, np.float64) * scale
    assert sfda(Moments(features, sample.labels)) == pytest.approx(literal(features, sample.labels), abs=1e-5)


def test_separable_classes_score_near_one_and_noise_near_chance():
    generator = np.random.default_rng(0)
    labels = np.arange(2000) % 4
    noise = generator.standard_normal((2000, 4))
    assert sfda(Moments(noise + 20 * np.eye(4)[labels], labels)) == pytest.approx(1.0, abs=1e-3)
    assert sfda(Moments(noise, labels)) == pytest.approx(0.25, abs=0.05)


def test_rotating_moving_reordering_and_renaming_change_nothing(sample):
    generator = np.random.default_rng(1)
    rotation = np.linalg.qr(generator.standard_normal((sample.features.shape[1],) * 2))[0]
    rows = generator.permutation(len(sample.labels))
    other = Moments((0.1 * sample.features.astype(np.float64) @ rotation + 3.0)[rows], (5 + 3 * sample.labels)[rows])
    expected = sfda(Moments(0.1 * sample.features.astype(np.float64), sample.labels))
    assert sfda(other) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-15, 1e30])
@pytest.mark.parametrize("n_dims", [3, 40])
def test_a_huge_or_tiny_scale_gives_a_probability(scale, n_dims):
    features = scale * np.random.default_rng(2).standard_normal((20, n_dims))
    assert 0.0 < sfda(Moments(features, np.arange(20) % 2)) <= 1.0 + 1e-12


def test_classes_that_are_points_score_one_and_identical_rows_are_undefined():
    assert sfda(Moments(np.eye(3)[[0, 1, 2] * 4], [0, 1, 2] * 4)) == pytest.approx(1.0)
    with pytest.raises(InputError, match="same features"):
        sfda(Moments(np.full((9, 4), 0.1), np.arange(9) % 3))
