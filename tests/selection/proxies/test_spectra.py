import numpy as np
import pytest
from sklearn.decomposition import PCA

from selection.proxies.spectra import eigen_coordinates, largest_eigenvalue, log_determinant, principal_scores


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_eigen_coordinates_rebuild_the_matrix_and_its_effect_on_the_targets(size):
    generator = np.random.default_rng(size)
    root, targets = generator.standard_normal((size, size)), generator.standard_normal((size, 3))
    gram = root @ root.T
    before = gram.copy()
    values, coordinates = eigen_coordinates(gram, targets)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(gram), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose((coordinates.T * values) @ coordinates, targets.T @ gram @ targets, atol=1e-9)
    np.testing.assert_array_equal(gram, before)


@pytest.mark.parametrize("size", [1, 5, 200])
@pytest.mark.parametrize("scale", [1e-40, 1.0, 1e60])
def test_the_largest_eigenvalue_is_found_at_any_size_and_scale(size, scale):
    root = np.random.default_rng(size).standard_normal((size, size + 3))
    gram = scale * root @ root.T
    assert largest_eigenvalue(gram) == pytest.approx(np.linalg.eigvalsh(gram)[-1], rel=1e-9)


@pytest.mark.parametrize("size", [3, 200])
def test_the_largest_eigenvalue_of_nothing_is_zero(size):
    assert largest_eigenvalue(np.zeros((size, size))) == 0.0


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0, 1e12, 1e40])
def test_the_log_determinant_of_a_singular_gram_counts_its_true_directions_only(scale):
    root = np.random.default_rng(0).standard_normal((30, 4))
    values = scale * np.linalg.svd(root, compute_uv=False) ** 2
    gram = scale * root @ root.T
    assert log_determinant(gram, 30, 4) == pytest.approx(np.log1p(values).sum(), rel=1e-9)


def test_principal_scores_are_a_standardised_pca(sample):
    centered = np.asarray(sample.features, np.float64) - sample.features.mean(axis=0, dtype=np.float64)
    scores = principal_scores(centered, 5)
    expected = PCA(5, svd_solver="full").fit_transform(centered)
    np.testing.assert_allclose(np.abs(scores), np.abs(expected / expected.std(axis=0)), atol=1e-5)
