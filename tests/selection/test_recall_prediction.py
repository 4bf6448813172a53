import numpy as np
import pytest
from scipy.stats import norm, t

from selection.recall import Evidence
from selection.recall.columns import standardise
from selection.recall.posterior import learn_posterior
from selection.recall.prediction import Levels, Target, Unit, calibrate, draw, learn_unit, predict, shared_residuals
from selection.recall.stacking import Belief
from selection.records import Candidate

NAN = np.nan
UNIT = Unit(offset=0.7, offset_variance=0.01, spread=0.1, spread_variance=0.0)


def target(measured, loadings=None, unit=UNIT):
    models = len(measured)
    belief = Belief(np.linspace(-1, 1, models), np.full(models, 0.5))
    return Target(belief, unit, np.zeros((models, 1)) if loadings is None else loadings, np.array(measured))


def test_a_new_dataset_is_expected_to_be_like_the_others():
    unit = learn_unit(standardise(np.array([[0.4, 0.6, 0.5], [0.6, 1.0, 0.5]])))
    assert unit.offset == pytest.approx(0.65)
    assert unit.spread == pytest.approx(0.15)
    assert learn_unit(standardise(np.array([[0.5], [0.5]]))) is None


def test_the_doubt_of_a_mean_over_few_datasets_is_added_to_their_spread():
    unit = learn_unit(standardise(np.array([[0.4, 0.6], [0.6, 1.0]])))  # offsets .5 and .8, spreads .1 and .2
    assert unit.offset_variance == pytest.approx(0.045 * (1 + 1 / 2))
    assert unit.spread_variance == pytest.approx(0.005 * (1 + 1 / 2))


def test_a_unit_learnt_without_a_dataset_knows_nothing_of_it():
    columns = standardise(np.array([[0.4, 0.6, 5.0], [0.6, 1.0, 9.0]]))
    assert learn_unit(columns, left_out=2) == learn_unit(standardise(np.array([[0.4, 0.6], [0.6, 1.0]])))
    assert learn_unit(standardise(np.array([[0.4], [0.6]])), left_out=0) is None


def test_a_cold_score_is_offset_plus_spread_times_z_and_doubts_both():
    prediction = predict(target([NAN, NAN, NAN]))
    np.testing.assert_allclose(prediction.score, [0.6, 0.7, 0.8])
    np.testing.assert_allclose(prediction.score_sd, np.sqrt(0.01 + 0.05**2))


def test_a_measured_result_all_but_settles_its_own_model():
    prediction = predict(target([NAN, NAN, 0.95]))
    assert prediction.score[2] == pytest.approx(0.95, abs=0.005)
    assert prediction.score_sd[2] < 0.011
    assert prediction.sd[0] == pytest.approx(0.5)


def test_a_measured_result_fixes_the_targets_level_for_all():
    high, low = predict(target([NAN, 0.9, NAN])), predict(target([NAN, 0.5, NAN]))
    assert high.score[0] > 0.7
    assert low.score[0] < 0.5
    assert high.score_sd[0] < predict(target([NAN, NAN, NAN])).score_sd[0]


def test_results_spread_twice_as_wide_as_expected_spread_the_others_too():
    belief = Belief(np.array([-1.0, 0.0, 1.0, 2.0]), np.full(4, 0.05))
    loose = Unit(offset=0.5, offset_variance=1e-6, spread=0.1, spread_variance=0.01)
    prediction = predict(Target(belief, loose, np.zeros((4, 1)), np.array([0.3, 0.5, 0.7, NAN])))
    assert prediction.score[3] == pytest.approx(0.9, abs=0.03)  # .7 by the spread expected


def test_a_surprise_is_shared_by_models_whose_residuals_went_together():
    loadings = np.array([[0.9], [0.0], [0.9]])
    known = Unit(0.7, 1e-8, 0.1, 0.0)
    prediction = predict(target([NAN, NAN, 0.9], loadings, known))
    assert prediction.mean[0] > -0.5
    assert prediction.mean[1] == pytest.approx(0.0)
    assert prediction.sd[0] < 0.4


def test_shared_residuals_never_correlate_fully_and_missing_ones_not_at_all():
    loadings = shared_residuals(np.array([[1.0, 1.0], [1.0, 1.0], [NAN, NAN]]))
    shared = loadings @ loadings.T
    assert shared[0, 1] == pytest.approx(2 / 22)
    assert (shared[2] == 0).all()


@pytest.mark.parametrize("measured", [[NAN, NAN, NAN], [NAN, 0.75, 0.9]])
def test_draws_have_the_mean_and_spread_that_are_predicted(measured):
    loadings = np.array([[0.6, 0.1], [0.0, 0.5], [0.6, 0.0]])
    known = target(measured, loadings)
    drawn = draw(known, 40_000, np.random.default_rng(0))
    prediction = predict(known)
    np.testing.assert_allclose(drawn.mean(axis=0), prediction.mean, atol=0.01)
    np.testing.assert_allclose(drawn.std(axis=0), prediction.sd, rtol=0.02)


def synthetic(seed, models=30, datasets=16):
    rng = np.random.default_rng(seed)
    ability = rng.normal(size=(models, 1))
    residual = 0.7 * rng.standard_t(4, size=(models, datasets))
    scores = 0.5 + rng.normal(0, 0.2, datasets) + rng.uniform(0.03, 0.1, datasets) * (ability + residual)
    scores[rng.random(scores.shape) < 0.2] = NAN
    return scores


@pytest.mark.parametrize("n_warm", [0, 4])
def test_intervals_cover_what_they_say_on_new_datasets(n_warm):
    covered = []
    for seed in range(40):
        scores = synthetic(seed)
        past, truth = scores[:, 1:], scores[:, 0]
        measured = np.where(np.arange(len(truth)) < n_warm, truth, NAN)
        names = tuple(Candidate(f"m{m}") for m in range(len(truth)))
        posterior = learn_posterior(Evidence(names, tuple(map(str, range(15))), past, measured=measured), 0.9)
        inside = (truth >= posterior.low) & (truth <= posterior.high)
        covered.append(inside[~np.isnan(truth) & np.isnan(measured)].mean())
    assert 0.85 <= np.mean(covered) <= 0.95


def test_a_higher_level_gives_a_wider_interval():
    scores = synthetic(0)
    names = tuple(Candidate(f"m{m}") for m in range(30))
    evidence = Evidence(names, tuple(map(str, range(16))), scores)
    narrow, wide = learn_posterior(evidence, 0.6), learn_posterior(evidence, 0.95)
    assert (wide.high - wide.low > narrow.high - narrow.low).all()


def widened(level, n_datasets):
    """Student's over the normal quantile: what few datasets add to every width (two degrees at least)."""
    return float(t.ppf((1 + level) / 2, max(2, n_datasets - 1)) / norm.ppf((1 + level) / 2))


def test_a_dataset_is_calibrated_with_the_unit_of_the_others_alone():
    scores = np.array([[0.4, 0.7], [0.6, 0.9]])  # offsets .5 and .8, spread .1: z is -1 and 1 on both
    columns = standardise(scores)
    beliefs = [Belief(columns.z[:, d], np.ones(2)) for d in range(2)]
    found = calibrate(beliefs, scores, columns, np.zeros((2, 2)), np.zeros(2, dtype=bool), 0.9)
    # From one other dataset: offset variance (2 spread)^2, spread variance spread^2 / 4.
    missed = 0.3 / np.sqrt(0.04 + 0.01 + 0.0025)
    assert [found.low, found.high] == pytest.approx([missed * widened(0.9, 2)] * 2)


def test_a_prediction_that_was_always_too_low_is_widened_upwards_alone():
    scores = np.array([[0.4, 0.4], [0.6, 0.6]])
    columns = standardise(scores)
    beliefs = [Belief(columns.z[:, d] - 3, np.ones(2)) for d in range(2)]
    found = calibrate(beliefs, scores, columns, np.zeros((2, 2)), np.zeros(2, dtype=bool), 0.9)
    assert found.low == pytest.approx(0.1 * widened(0.9, 2))
    assert found.high > 10 * found.low


def test_models_that_went_together_on_one_dataset_alone_do_not_help_each_other_there():
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    columns = standardise(scores)  # z is 1 and -1
    # The first two surprise by 9 deviations on the first dataset, the last two on the second; the others never.
    means = np.array([[0.0, -1.0], [0.0, -1.0], [-1.0, 0.0], [-1.0, 0.0]])
    beliefs = [Belief(means[:, d], np.full(4, 1 / 9)) for d in range(2)]
    residuals = 9 * (columns.z - means)
    warm = np.array([True, False, True, False])
    found = calibrate(beliefs, scores, columns, residuals, warm, 0.9)
    assert found.z == pytest.approx(9 * widened(0.9, 2) / norm.ppf(0.95))


def test_models_measured_on_the_target_are_not_asked_for_in_the_calibration():
    scores = np.array([[1.0, 1.0], [0.0, 0.0], [0.5, 0.5]])
    columns = standardise(scores)
    far = [Belief(np.array([-50.0, 0.0, 0.0]), np.ones(3))] * 2
    warm = np.array([True, False, False])
    found = calibrate(far, scores, columns, np.zeros((3, 2)), warm, 0.9)
    assert found.z < 5


def test_a_dataset_of_many_models_weighs_no_more_than_one_of_few():
    # Two models on the first dataset are missed by 3 deviations, twenty on each of the others by next to nothing.
    scores = np.full((22, 4), NAN)
    scores[:2, 0] = 0.4, 0.6
    scores[2:, 1:] = np.tile([0.4, 0.6], 10)[:, None]
    columns = standardise(scores)
    beliefs = [Belief(np.nan_to_num(columns.z[:, d]) + (3.0 if d == 0 else 0.1), np.ones(22)) for d in range(4)]
    found = calibrate(beliefs, scores, columns, np.zeros((22, 4)), np.zeros(22, dtype=bool), 0.8)
    assert found.z == pytest.approx(3 * widened(0.8, 4) / norm.ppf(0.9))
    assert found.n_datasets == 4


def test_a_probes_level_tells_how_hard_the_target_is() -> None:
    level = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.55])
    scores = level + np.array([[0.02], [-0.02]]) + 0.05
    levels = Levels(past=level[None], target=np.array([0.95]))
    unit = learn_unit(standardise(scores), levels=levels)
    assert unit is not None
    assert unit.offset == pytest.approx(1.0)
    assert unit.offset_variance == pytest.approx(0, abs=1e-12)
    plain = learn_unit(standardise(scores))
    assert plain is not None
    assert plain.offset == pytest.approx(float(scores.mean()))


def test_a_left_out_dataset_is_expected_at_its_own_level_by_the_others() -> None:
    level = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.55])
    scores = level + np.array([[0.02], [-0.02]])
    scores[:, 2] += 0.1
    unit = learn_unit(standardise(scores), 2, Levels(level[None], np.array([0.95])))
    assert unit is not None
    assert unit.offset == pytest.approx(0.7)


def test_a_level_that_told_nothing_before_changes_nothing() -> None:
    offsets = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.55])
    scores = offsets + np.array([[0.02], [-0.02]])
    noise = np.array([[0.9, 0.1, 0.8, 0.2, 0.5, 0.4]])
    assert learn_unit(standardise(scores), levels=Levels(noise, np.array([5.0]))) == learn_unit(standardise(scores))


def test_levels_are_means_over_the_models_probed_on_the_target() -> None:
    past = {"knn": np.array([[0.2, 0.4], [0.4, 0.6], [0.9, 0.9]]), "old": np.ones((3, 2))}
    levels = Levels.of({"knn": np.array([0.5, 0.7, np.nan]), "new": np.ones(3)}, past)
    assert levels is not None
    np.testing.assert_allclose(levels.past, [[0.3, 0.5]])
    np.testing.assert_allclose(levels.target, [0.6])
    assert Levels.of({"new": np.ones(3)}, past) is None


def test_a_model_without_a_past_does_not_silence_the_levels_of_the_others() -> None:
    past = {"knn": np.array([[0.2, 0.4], [0.4, 0.6], [np.nan, 0.9], [np.nan, np.nan]])}
    levels = Levels.of({"knn": np.array([0.5, 0.7, 0.1, 0.2])}, past)
    assert levels is not None
    np.testing.assert_allclose(levels.past, [[0.3, 0.5]])
    np.testing.assert_allclose(levels.target, [0.6])


def test_a_level_that_one_dataset_alone_decides_is_no_level() -> None:
    offsets = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.55])
    scores = offsets + np.array([[0.02], [-0.02]])
    lonely = np.array([[0.5, 0.5, 0.5, 0.5, 0.9, 0.5]])
    assert learn_unit(standardise(scores), levels=Levels(lonely, np.array([0.9]))) == learn_unit(standardise(scores))


def test_one_other_dataset_of_fractions_says_little_of_the_next_ones_level() -> None:
    unit = learn_unit(standardise(np.array([[0.80], [0.82]])))
    assert unit is not None
    assert unit.offset_variance == pytest.approx(0.04)
