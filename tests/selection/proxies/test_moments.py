import numpy as np
import pytest

from selection.errors import InputError
from selection.proxies.moments import Moments


def test_statistics_equal_their_definitions(sample):
    moments = Moments(sample.features, sample.labels)
    features = np.asarray(sample.features, np.float64)
    centered = features - features.mean(axis=0)
    np.testing.assert_allclose(moments.centered_gram, centered.T @ centered, atol=1e-9)
    np.testing.assert_allclose(moments.centered_kernel, centered @ centered.T, atol=1e-9)
    np.testing.assert_allclose(moments.target_sums, sample.one_hot.T @ centered, atol=1e-9)
    means = np.stack([centered[sample.labels == label].mean(axis=0) for label in sample.labels])
    np.testing.assert_allclose(moments.within, centered - means, atol=1e-9)
    np.testing.assert_allclose(moments.within_gram, (centered - means).T @ (centered - means), atol=1e-9)
    np.testing.assert_allclose(moments.squared_norms, np.square(centered).sum(axis=1), atol=1e-9)
    assert moments.counts.tolist() == np.bincount(sample.labels).tolist()


@pytest.mark.parametrize("which", ["spectrum", "centered_spectrum"])
def test_a_spectrum_holds_the_squared_singular_values_and_the_labels_share_in_each(sample, which):
    features = np.asarray(sample.features, np.float64)
    features = features - features.mean(axis=0) if which == "centered_spectrum" else features
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    spectrum = getattr(Moments(sample.features, sample.labels), which)
    rank = len(spectrum.values)
    assert rank == np.linalg.matrix_rank(features, tol=1e-6 * s[0])
    np.testing.assert_allclose(spectrum.values[::-1], s[:rank] ** 2, rtol=1e-6, atol=1e-9 * s[0] ** 2)
    expected = np.square(u[:, :rank].T @ sample.one_hot)
    np.testing.assert_allclose(np.square(spectrum.projections)[::-1], expected, atol=1e-5)


def test_reducing_replaces_the_features_by_standardised_components(sample):
    moments = Moments(sample.features, sample.labels, reduce_to=5)
    assert moments.n_dims == 5
    np.testing.assert_allclose(moments.centered_gram / moments.n_rows, np.eye(5), atol=1e-8)


def test_reducing_to_more_dimensions_than_there_are_keeps_the_rank():
    generator = np.random.default_rng(0)
    flat = generator.standard_normal((50, 3)) @ generator.standard_normal((3, 20))
    assert Moments(flat, np.arange(50) % 2, reduce_to=32).n_dims == 3


def test_identical_rows_cannot_be_reduced():
    with pytest.raises(InputError, match="same row"):
        _ = Moments(np.full((5, 3), 0.1), [0, 1, 0, 1, 0], reduce_to=2).features


def test_a_reduction_to_nothing_is_refused():
    with pytest.raises(InputError, match="reduce_to: got 0"):
        Moments(np.eye(3), [0, 1, 1], reduce_to=0)


def test_labels_may_be_any_integers():
    moments = Moments(np.eye(4), np.array([900, 7, 900, 31], dtype=np.uint16))
    assert moments.labels.tolist() == [2, 0, 2, 1]
    assert moments.counts.tolist() == [1, 1, 2]


def test_compact_rows_keep_their_distances_in_no_more_dims_than_rows(sample):
    moments = Moments(sample.features, sample.labels)
    assert moments.compact.n_dims <= moments.n_rows
    np.testing.assert_allclose(moments.compact.centered_kernel, moments.centered_kernel, atol=1e-9)


def test_scatter_within_tight_classes_far_apart_keeps_its_digits():
    generator = np.random.default_rng(0)
    labels, tight = np.arange(60) % 2, 1e-6 * generator.standard_normal((60, 3))
    moments = Moments(tight + 1e3 * labels[:, None], labels)
    expected = sum(np.cov(tight[labels == c].T, bias=True) * 30 for c in (0, 1))
    np.testing.assert_allclose(moments.within_gram, expected, rtol=1e-3)


def test_a_class_whose_rows_are_equal_has_no_scatter_at_all():
    moments = Moments(np.repeat([[0.1, 0.7], [0.3, -0.2]], 7, axis=0), np.repeat([0, 1], 7))
    assert not moments.within.any()
