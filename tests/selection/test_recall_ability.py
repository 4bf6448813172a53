import numpy as np
import pytest

from selection.recall.ability import (
    Metadata,
    Variances,
    fit_ability,
    learn_history,
    learn_variances,
    read_metadata,
    recentre,
    standardise,
)
from selection.records import Candidate

NAN = np.nan


def plain(models: int) -> Metadata:
    return Metadata(np.zeros(models), np.ones(models, dtype=np.bool_), np.arange(models))


def candidates(models: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(f"m{m}") for m in range(models))


def test_columns_are_standardised_over_the_models_measured_there():
    columns = standardise(np.array([[1.0, 5.0], [3.0, NAN], [NAN, 9.0]]))
    np.testing.assert_allclose(columns.z, [[-1, -1], [1, NAN], [NAN, 1]])
    np.testing.assert_allclose(columns.offset, [2, 7])
    np.testing.assert_allclose(columns.scale, [1, 2])


def test_columns_that_tell_nothing_become_nan():
    columns = standardise(np.array([[0.7, 0.5, NAN, 0.1], [0.7, NAN, NAN, 0.2]]))
    assert columns.usable.tolist() == [False, False, False, True]
    assert np.isnan(columns.z[:, :3]).all()


def test_equal_results_with_rounding_noise_do_not_become_a_ranking():
    assert not standardise(np.array([[0.1 + 0.2], [0.3]])).usable[0]


def test_a_dataset_only_strong_models_were_tried_on_counts_for_them():
    columns = standardise(np.array([[0.0], [2.0], [NAN]]))
    moved = recentre(columns, np.array([1.0, 1.4, -5.0]))
    np.testing.assert_allclose(moved.z[:2, 0], [0.2, 2.2])
    # An average model (z = 0) is below both: the score at z is unchanged for the models measured.
    np.testing.assert_allclose(moved.offset + moved.scale * moved.z[:2, 0], [0.0, 2.0])


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


def test_leaving_a_dataset_out_leaves_no_trace_of_it():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(12, 4))
    history = learn_history(scores, candidates(12))
    only = np.delete(history.columns.z, 2, axis=1)
    literal = fit_ability(only.sum(axis=1), np.full(12, 3.0), history.metadata, history.variances)
    np.testing.assert_allclose(history.left_out[2].mean, literal.mean)


def test_among_models_measured_everywhere_the_order_is_that_of_the_mean():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(30, 1)) + rng.normal(size=(30, 8))
    history = learn_history(scores, candidates(30))
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    assert np.argsort(history.ability.mean).tolist() == np.argsort(z.mean(axis=1)).tolist()


def test_metadata_that_do_not_help_sway_no_model_with_results():
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(40, 1)) * 2 + rng.normal(size=(40, 10))
    sized = tuple(Candidate(f"m{m}", n_parameters=int(10 ** rng.uniform(6, 9)), family="abc"[m % 3]) for m in range(40))
    history = learn_history(scores, sized)
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    assert not history.described
    assert np.argsort(history.ability.mean).tolist() == np.argsort(z.mean(axis=1)).tolist()


def test_metadata_that_explain_everything_rank_models_without_results():
    rng = np.random.default_rng(5)
    sizes = 10 ** rng.uniform(6, 9, 40)
    scores = np.log10(sizes)[:, None] + 0.1 * rng.normal(size=(40, 6))
    scores[30:] = NAN
    sized = tuple(Candidate(f"m{m}", n_parameters=int(size)) for m, size in enumerate(sizes))
    ability = learn_history(scores, sized).ability
    assert np.corrcoef(ability.mean[30:], np.log10(sizes[30:]))[0, 1] > 0.99
    assert ability.slope > 0.4


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
