import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from selection.errors import InputError
from selection.proxies.moments import Moments
from selection.proxies.parc import label_spearman, parc, parc_of
from selection.proxies.sampling import stratified_sample


def literal(features, labels, rows=500, seed=0):
    """Bolya et al. 2021: PCA, standardise, correlate rows, rank. Labels' ties are exact: distances 0 and 1."""
    chosen = stratified_sample(labels, rows, seed)
    probe, labels = np.asarray(features, np.float64)[chosen], labels[chosen]
    centered = probe - probe.mean(axis=0)
    rank = np.linalg.matrix_rank(centered, tol=1e-7 * np.linalg.norm(centered, 2))
    reduced = PCA(min(32, rank), svd_solver="full").fit_transform(probe)
    reduced /= reduced.std(axis=0)
    reduced *= np.sign(reduced[np.abs(reduced).argmax(axis=0), range(reduced.shape[1])])
    pairs = np.triu_indices(len(labels), 1)
    distances = (1 - np.corrcoef(reduced))[pairs]
    return 100 * spearmanr(np.round(distances, 11), (labels[:, None] != labels[None, :])[pairs]).statistic


def test_equals_spearman_with_exact_ties(sample):
    assert parc(Moments(sample.features, sample.labels)) == pytest.approx(
        literal(sample.features, sample.labels), abs=1e-6
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_label_spearman_equals_spearman_whatever_the_ties(pairs):
    distances, same = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if len(set(distances)) < 2 or len(set(same)) < 2:
        with pytest.raises(InputError):
            label_spearman(distances, distances[same])
        return
    expected = spearmanr(distances, ~same).statistic
    assert label_spearman(distances.copy(), distances[same]) == pytest.approx(expected, abs=1e-12)


def test_label_spearman_is_exact_on_many_untied_pairs():
    generator = np.random.default_rng(0)
    distances, same = generator.random(124_750), generator.random(124_750) < 0.1
    expected = spearmanr(distances, ~same).statistic
    assert label_spearman(distances.copy(), distances[same]) == pytest.approx(expected, abs=1e-12)


def test_label_spearman_of_three_pairs_by_hand():
    """Distances 1, 2, 3 of which the smallest joins equal labels: ranks 1 | 2, 3 against 0 | 1, 1."""
    assert label_spearman(np.array([3.0, 1.0, 2.0]), np.array([1.0])) == pytest.approx(np.sqrt(3) / 2, abs=1e-12)


def test_equals_the_auc_form_without_ties():
    generator = np.random.default_rng(1)
    distances, same = generator.random(3000), generator.random(3000) < 0.3
    p = 1 - same.mean()
    auc = (distances[~same][:, None] > distances[same][None, :]).mean()
    value = label_spearman(distances.copy(), distances[same])
    assert value == pytest.approx(np.sqrt(3 * p * (1 - p)) * (2 * auc - 1), rel=1e-6)


def test_looks_at_500_rows_of_many_and_at_all_when_asked():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 5, 1050)
    features = generator.standard_normal((1050, 40)) + generator.standard_normal((5, 40))[labels]
    moments = Moments(features, labels, seed=3)
    assert parc(moments) == pytest.approx(literal(features, labels, 500, seed=3), abs=1e-8)
    assert parc_of(moments, 1050) == pytest.approx(literal(features, labels, 1050), abs=1e-8)


def test_rotating_scaling_and_reordering_change_nothing(sample):
    generator = np.random.default_rng(4)
    rotation = np.linalg.qr(generator.standard_normal((sample.features.shape[1],) * 2))[0]
    rows = generator.permutation(len(sample.labels))
    other = Moments(3.0 * (sample.features.astype(np.float64) @ rotation)[rows], (8 - sample.labels)[rows])
    assert parc(other) == pytest.approx(parc(Moments(sample.features, sample.labels)), abs=1e-4)


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.arange(6.0)[:, None], [0, 1, 0, 1, 0, 1]),
        (np.ones((6, 3)), [0, 1, 0, 1, 0, 1]),
        (np.eye(2), [0, 1]),
        (np.random.default_rng(0).standard_normal((4, 3)), [0, 1, 2, 3]),
    ],
    ids=["one dimension", "identical rows", "one pair", "no two rows of one class"],
)
def test_is_undefined_without_two_components_and_both_kinds_of_pairs(features, labels):
    with pytest.raises(InputError, match="wanted"):
        parc(Moments(features, labels))
