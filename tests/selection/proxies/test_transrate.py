import numpy as np
import pytest

from selection.proxies.moments import Moments
from selection.proxies.transrate import transrate


def literal(features, labels, distortion=1e-4):
    """Huang et al. 2022: coding rate by singular values, log det(I + s s' / (n e)) = sum log(1 + s^2 / (n e))."""

    def rate(rows):
        s = np.linalg.svd(rows, compute_uv=False)
        s = s[s > s.max(initial=0.0) * 2.220446049250313e-16 * max(rows.shape)]
        return 0.5 * np.log1p(s**2 / (len(rows) * distortion)).sum()

    centered = np.asarray(features, np.float64) - np.mean(features, axis=0, dtype=np.float64)
    return rate(centered) - np.mean([rate(centered[labels == c]) for c in np.unique(labels)])


def test_equals_the_coding_rates_by_singular_values(sample):
    value = transrate(Moments(sample.features, sample.labels))
    assert value == pytest.approx(literal(sample.features, sample.labels), rel=1e-8, abs=1e-8)


def test_one_feature_equals_the_formula_by_head():
    """Values -1, -1 | 1, 1: every class has the whole's mean square of 1, so nothing is gained by knowing it."""
    assert transrate(Moments([[-1.0], [-1.0], [1.0], [1.0]], [0, 0, 1, 1])) == pytest.approx(0.0, abs=1e-12)
    apart = transrate(Moments(np.eye(2)[[0, 0, 1, 1]] * 2, [0, 0, 1, 1]))
    assert apart == pytest.approx(0.0, abs=1e-9)


def test_classes_in_directions_of_their_own_gain_over_mixed_ones():
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 4
    features = generator.standard_normal((200, 8)) * np.repeat(np.eye(4), 2, axis=1)[labels]
    assert transrate(Moments(features, labels)) > transrate(Moments(features, generator.permutation(labels))) + 1


def test_rotating_moving_reordering_and_renaming_change_nothing(sample):
    generator = np.random.default_rng(1)
    rotation = np.linalg.qr(generator.standard_normal((sample.features.shape[1],) * 2))[0]
    rows = generator.permutation(len(sample.labels))
    other = Moments((sample.features.astype(np.float64) @ rotation + 3.0)[rows], (5 + 3 * sample.labels)[rows])
    assert transrate(other) == pytest.approx(transrate(Moments(sample.features, sample.labels)), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e8, 1e30])
@pytest.mark.parametrize("n_dims", [3, 40])
def test_a_huge_or_tiny_scale_costs_no_digits(scale, n_dims):
    generator = np.random.default_rng(2)
    features, labels = scale * generator.standard_normal((20, n_dims)), np.arange(20) % 2
    features[:, 1] = features[:, 0]
    assert transrate(Moments(features, labels)) == pytest.approx(literal(features, labels), rel=1e-6, abs=1e-12)


def test_identical_rows_score_zero():
    assert transrate(Moments(np.full((9, 4), 0.1), np.arange(9) % 3)) == 0.0
