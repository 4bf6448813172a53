import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from selection.errors import InputError
from selection.proxies.moments import Moments
from selection.proxies.nleep import fitted, nleep, posteriors, starting_mixture


def literal_em(rows, start):
    """EM row by row and component by component, from the same start."""
    weights, means, variances = start.weights.copy(), start.means.copy(), start.variances.copy()
    n, k, q = len(rows), len(weights), rows.shape[1]
    floor, before = 1e-6 * np.square(rows).mean(), -np.inf

    def expect():
        logs = np.empty((n, k))
        for i in range(n):
            for j in range(k):
                gap = (rows[i] - means[j]) ** 2 / variances[j]
                logs[i, j] = np.log(weights[j]) - 0.5 * (gap.sum() + np.log(variances[j]).sum() + q * np.log(2 * np.pi))
        evidence = np.logaddexp.reduce(logs, axis=1)
        return np.exp(logs - evidence[:, None]), evidence.mean()

    for _ in range(100):
        membership, likelihood = expect()
        for j in range(k):
            mass = membership[:, j].sum() + 10 * np.finfo(float).eps
            weights[j], means[j] = mass / n, membership[:, j] @ rows / mass
            variances[j] = membership[:, j] @ (rows - means[j]) ** 2 / mass + floor
        if abs(likelihood - before) < 1e-3:
            break
        before = likelihood
    return expect()[0]


def literal(features, labels, seed=0):
    """Li et al. 2021: PCA to 80 % of variance, EM, then LEEP with its logarithm."""
    features = np.asarray(features, np.float64)
    rows = PCA(svd_solver="full").fit(features)
    n_kept = int(np.searchsorted(np.cumsum(rows.explained_variance_ratio_), 0.8)) + 1
    reduced = rows.transform(features)[:, :n_kept]
    aligned = Moments(features, labels).principal(0.8)
    assert aligned.shape == reduced.shape
    np.testing.assert_allclose(np.abs(aligned), np.abs(reduced), atol=1e-5)
    n_components = min(5 * (labels.max() + 1), len(labels) // 5)
    start = starting_mixture(aligned, n_components, np.random.default_rng(seed))
    theta = literal_em(aligned, start)
    joint = np.stack([theta[labels == c].sum(axis=0) for c in range(labels.max() + 1)])
    return np.mean([np.log((joint[y] / joint.sum(axis=0)) @ t) for t, y in zip(theta, labels, strict=True)])


def test_equals_the_formula_with_em_row_by_row(sample):
    value = nleep(Moments(sample.features, sample.labels))
    assert value == pytest.approx(literal(sample.features, sample.labels), abs=1e-6)


def test_mixture_equals_scikit_learns_from_the_same_start():
    generator = np.random.default_rng(5)
    rows = generator.standard_normal((300, 4)) + 3 * generator.standard_normal((6, 4))[np.arange(300) % 6]
    start = starting_mixture(rows, 6, np.random.default_rng(0))
    reference = GaussianMixture(
        6,
        covariance_type="diag",
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=1 / start.variances,
        reg_covar=1e-6 * np.square(rows).mean(),
    ).fit(rows)
    ours = posteriors(rows, fitted(rows, start))[0]
    np.testing.assert_allclose(ours, reference.predict_proba(rows), atol=1e-8)


def test_clusters_that_are_classes_score_near_zero_and_mixed_ones_near_the_labels_entropy():
    generator = np.random.default_rng(0)
    blobs = np.repeat(np.eye(3) * 20, 50, axis=0) + generator.standard_normal((150, 3))
    assert nleep(Moments(blobs, np.repeat([0, 1, 2], 50))) == pytest.approx(0, abs=1e-6)
    mixed = nleep(Moments(blobs, generator.integers(0, 3, 150)))
    assert -np.log(3) <= mixed < -0.7


def test_same_seed_same_score_and_renamed_labels_change_nothing(sample):
    first = nleep(Moments(sample.features, sample.labels, seed=1))
    assert nleep(Moments(sample.features, sample.labels, seed=1)) == first
    assert nleep(Moments(sample.features, 3 * sample.labels + 2, seed=1)) == pytest.approx(first, abs=1e-9)


def test_few_distinct_rows_make_fewer_components():
    rows = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], 20, axis=0)
    assert len(starting_mixture(rows, 10, np.random.default_rng(0)).weights) == 3


def test_identical_rows_are_undefined():
    with pytest.raises(InputError, match="same features"):
        nleep(Moments(np.full((10, 3), 0.1), [0, 1] * 5))
