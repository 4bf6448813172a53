import numpy as np
import pytest

from selection.recall.ability import Metadata, Variances, fit_ability, learn_variances, read_metadata
from selection.records import Candidate

NAN = np.nan


def plain(models: int) -> Metadata:
    return Metadata(np.zeros(models), np.ones(models, dtype=np.bool_), np.arange(models))


def test_one_result_is_shrunk_by_noise_over_noise_plus_ability():
    variances = Variances(noise=0.6, own=0.3, family=0.1)
    ability = fit_ability(np.array([2.0, 0.0]), np.array([1.0, 0.0]), plain(2), variances)
    assert ability.trust[0] == pytest.approx(0.4 / (0.4 + 0.6))
    np.testing.assert_allclose(ability.mean, [0.8, 0.0])
    np.testing.assert_allclose(ability.variance, [0.4 * 0.6, 0.4])


def test_the_posterior_equals_the_literal_gaussian_conditional():
    rng = np.random.default_rng(3)
    family = np.array([0, 0, 0, 1, 1, 2])
    count = np.array([3.0, 1.0, 0.0, 2.0, 5.0, 1.0])
    total = rng.normal(size=6) * count
    variances = Variances(noise=0.5, own=0.4, family=0.3)
    metadata = Metadata(np.zeros(6), np.ones(6, dtype=np.bool_), family)
    ability = fit_ability(total, count, metadata, variances)
    prior = 0.4 * np.eye(6) + 0.3 * (family[:, None] == family)
    seen = count > 0
    noisy = prior[np.ix_(seen, seen)] + np.diag(0.5 / count[seen])
    gain = prior[:, seen] @ np.linalg.inv(noisy)
    np.testing.assert_allclose(ability.mean, gain @ (total[seen] / count[seen]))
    np.testing.assert_allclose(ability.variance, np.diag(prior - gain @ prior[seen]))


def test_more_results_with_the_same_mean_leave_less_doubt():
    ability = fit_ability(np.array([1.0, 10.0]), np.array([1.0, 10.0]), plain(2), Variances())
    assert ability.mean[1] > ability.mean[0]
    assert ability.variance[1] < ability.variance[0]


def test_a_model_without_results_takes_after_its_family():
    metadata = Metadata(np.zeros(4), np.ones(4, dtype=np.bool_), np.array([0, 0, 0, 1]))
    ability = fit_ability(np.array([9.0, 9.0, 0.0, 0.0]), np.array([9.0, 9.0, 0.0, 0.0]), metadata, Variances())
    assert ability.mean[2] > 0.1
    assert ability.mean[3] == pytest.approx(0.0)
    assert ability.variance[2] < ability.variance[3]


def test_variances_are_recovered_from_a_large_zoo():
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(60), 5)
    ability = rng.normal(0, 0.8, 60)[family] + rng.normal(0, 0.4, 300)
    z = ability[:, None] + rng.normal(0, 0.5, (300, 12))
    z[rng.random(z.shape) < 0.4] = NAN
    found = learn_variances(z, Metadata(np.zeros(300), np.ones(300, dtype=np.bool_), family))
    assert found.noise == pytest.approx(0.25, rel=0.15)
    assert found.own == pytest.approx(0.16, rel=0.4)
    assert found.family == pytest.approx(0.64, rel=0.6)


def test_without_results_the_variances_are_the_prior_ones():
    assert learn_variances(np.full((3, 2), NAN), plain(3)) == Variances()


def test_family_names_are_compared_without_case_and_unknown_ones_stay_apart():
    codes = read_metadata(
        (Candidate("a", family="Bert"), Candidate("b", family="bert"), Candidate("c"), Candidate("d"))
    )
    first, second, third, fourth = codes.family
    assert first == second
    assert len({first, third, fourth}) == 3


def test_nearly_equal_sizes_are_not_blown_up():
    sizes = read_metadata((Candidate("a", n_parameters=100), Candidate("b", n_parameters=110))).size
    assert np.abs(sizes).max() < 0.1
