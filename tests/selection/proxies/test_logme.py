import numpy as np
import pytest

from selection.errors import InputError
from selection.proxies.logme import logme
from selection.proxies.moments import Moments


def literal(features, one_hot):
    """You et al. 2021: each class on its own, with U of a full SVD and all D eigenvalues written out."""
    features = np.asarray(features, np.float64)
    n, d = features.shape
    u, s, _ = np.linalg.svd(features)
    sigma = np.zeros(d)
    sigma[: len(s)] = s**2
    kept = np.flatnonzero(sigma > sigma.max() * max(n, d) * 2.220446049250313e-16)
    sigma[np.setdiff1d(np.arange(d), kept)] = 0.0
    evidences = []
    for y in one_hot.T:
        x2 = np.zeros(d)
        x2[kept] = (u[:, kept].T @ y) ** 2
        rest = sum((u[:, j] @ y) ** 2 for j in range(n) if j not in kept)
        alpha = beta = 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * x2 / (t + sigma) ** 2).sum()
            r2 = (t**2 * x2 / (t + sigma) ** 2).sum() + rest
            alpha, beta = gamma / m2, (n - gamma) / r2
            evidence = d / 2 * np.log(alpha) + n / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
            evidence -= beta / 2 * r2 + alpha / 2 * m2 + n / 2 * np.log(2 * np.pi)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        evidences.append(evidence / n)
    return np.mean(evidences)


def test_equals_the_formula_by_full_svd(sample):
    value = logme(Moments(sample.features, sample.labels))
    assert value == pytest.approx(literal(sample.features, sample.one_hot), rel=1e-8, abs=1e-8)


def test_equals_the_log_density_of_the_labels_under_the_model_it_found():
    """The evidence is log N(y | 0, I / beta + FF' / alpha): at its maximum no other alpha, beta does better."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((60, 5))
    labels = (features[:, 0] + 0.5 * generator.standard_normal(60) > 0).astype(int)

    def log_density(y, alpha, beta):
        covariance = np.eye(60) / beta + features @ features.T / alpha
        quadratic = y @ np.linalg.solve(covariance, y)
        return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1]) / 60

    grid = 10 ** np.linspace(-0.5, 2.5, 40)
    best = [max(log_density(y, a, b) for a in grid for b in grid) for y in np.eye(2)[labels].T]
    assert logme(Moments(features, labels)) == pytest.approx(np.mean(best), abs=2e-3)


def test_more_dims_than_rows_count_the_zero_eigenvalues():
    """Empty dimensions add nothing to the model, so they may not change its evidence."""
    generator = np.random.default_rng(1)
    features, labels = generator.standard_normal((20, 8)), np.arange(20) % 2
    padded = np.hstack([features, np.zeros((20, 30))])
    assert logme(Moments(padded, labels)) == pytest.approx(logme(Moments(features, labels)), abs=1e-10)


def test_rotating_features_reordering_rows_and_renaming_labels_change_nothing(sample):
    generator = np.random.default_rng(2)
    rotation = np.linalg.qr(generator.standard_normal((sample.features.shape[1],) * 2))[0]
    rows = generator.permutation(len(sample.labels))
    other = Moments((sample.features @ rotation)[rows], (17 * (9 - sample.labels))[rows])
    assert logme(other) == pytest.approx(logme(Moments(sample.features, sample.labels)), abs=1e-5)


def test_features_that_tell_nothing_about_any_class_leave_plain_noise():
    """Each row once per class: the features explain nothing, so y ~ N(0, 1 / beta) with beta = N / n_c."""
    rows = np.array([[1.0], [-1.0]])
    value = logme(Moments(np.repeat(rows, 2, axis=0), [0, 1, 0, 1]))
    assert value == pytest.approx(0.5 * (np.log(2) - np.log(2 * np.pi) - 1), abs=1e-12)


def test_all_zero_features_are_undefined():
    with pytest.raises(InputError, match="all zero"):
        logme(Moments(np.zeros((4, 3)), [0, 1, 0, 1]))
