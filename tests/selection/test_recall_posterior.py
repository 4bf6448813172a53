"""What is believed of a past dataset stands on the others alone, so the widths that held there hold on a new one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t

from selection.recall import Evidence
from selection.recall.history import learn_history, weigh_history
from selection.recall.posterior import learn_posterior
from selection.recall.prediction import Levels, learn_unit
from selection.recall.shapes import Shapes, standardise_proxy
from selection.recall.similarity import relate
from selection.recall.stacking import Belief, apply_trust, learn_trust
from selection.records import Candidate

NAN = np.nan


def zoo(models: int = 21, datasets: int = 4, **more) -> Evidence:
    """Models that differ by nothing but chance: what a dataset's own results tell of it is all leak."""
    rng = np.random.default_rng(3)
    scores = 0.5 + 0.1 * rng.normal(size=(models, datasets))
    return Evidence(
        tuple(Candidate(f"m{m}") for m in range(models)), tuple(f"d{d}" for d in range(datasets)), scores, **more
    )


def literal_width(missed: np.ndarray, level: float) -> float:
    """The level's quantile of |missed| over all cells of (M, D), widened for D datasets, in normal deviations."""
    ordered = np.sort(np.abs(missed).ravel())
    normal = norm.ppf((1 + level) / 2)
    widened = t.ppf((1 + level) / 2, missed.shape[1] - 1) / normal
    return float(ordered[int(np.ceil(level * ordered.size)) - 1] * widened / normal)


def test_calibration_compares_each_dataset_with_abilities_that_never_saw_it():
    evidence = zoo()
    history = learn_history(evidence.scores, evidence.candidates)
    missed = [
        (history.columns.z[:, d] - one.mean) / np.sqrt(one.variance + history.variances.noise)
        for d, one in enumerate(history.left_out)
    ]
    found = learn_posterior(evidence, 0.9).calibration.z
    assert found == pytest.approx(literal_width(np.stack(missed, axis=1), 0.9))


def test_calibration_gives_each_dataset_its_proxies_with_weights_that_never_saw_it():
    special = np.random.default_rng(4).normal(size=(21, 6))
    evidence = zoo(datasets=6, proxies={"p": special[:, 0]}, past_proxies={"p": zoo(datasets=6).scores + 0.1 * special})
    plain = learn_history(evidence.scores, evidence.candidates)
    history = weigh_history(plain, relate(plain.columns.z, {}))
    trust = learn_trust(history, evidence.past_proxies, ("p",))
    missed = []
    for d, one in enumerate(history.left_out):
        alone = Belief(one.mean, np.sqrt(one.variance + history.variances.noise))
        usual = Shapes.of(history.columns.z).usual(d)
        proxy = standardise_proxy(evidence.past_proxies["p"][:, d], usual)[None]
        belief = apply_trust(alone, one, proxy, trust, d)
        missed.append((history.columns.z[:, d] - belief.mean) / belief.sd)
    assert trust.with_history.weights[0] > 0.1
    found = learn_posterior(evidence, 0.9).calibration.z
    assert found == pytest.approx(literal_width(np.stack(missed, axis=1), 0.9))


def test_calibration_learns_how_hard_a_dataset_is_from_the_proxies_of_the_others():
    level = np.array([0.1, 0.2, 0.35, 0.4, 0.6, 0.8])
    proxy = level + 0.05 * np.random.default_rng(5).normal(size=(21, 6))
    base = zoo(datasets=6)
    evidence = replace(base, scores=base.scores + level, proxies={"p": proxy[:, 0]}, past_proxies={"p": proxy})
    history = learn_history(evidence.scores, evidence.candidates)
    trust = learn_trust(history, evidence.past_proxies, ("p",))
    levels = Levels.of(evidence.proxies, evidence.past_proxies)
    missed = []
    for d, one in enumerate(history.left_out):
        alone = Belief(one.mean, np.sqrt(one.variance + history.variances.noise))
        usual = Shapes.of(history.columns.z).usual(d)
        belief = apply_trust(alone, one, standardise_proxy(proxy[:, d], usual)[None], trust, d)
        unit = learn_unit(history.columns, d, levels)
        variance = unit.offset_variance + (unit.spread * belief.sd) ** 2 + unit.spread_variance * belief.mean**2
        missed.append((evidence.scores[:, d] - unit.offset - unit.spread * belief.mean) / np.sqrt(variance))
    above = np.sort(np.concatenate(missed))[int(np.ceil(0.95 * 126)) - 1]
    widened = t.ppf(0.95, 5) / norm.ppf(0.95)
    assert learn_unit(history.columns, 0, levels).offset_variance < learn_unit(history.columns, 0).offset_variance / 4
    assert learn_posterior(evidence, 0.9).calibration.high == pytest.approx(above * widened)


def test_a_belief_is_of_a_result_not_of_an_ability():
    evidence = zoo()
    history = learn_history(evidence.scores, evidence.candidates)
    found = learn_posterior(evidence, 0.9).prediction.sd
    np.testing.assert_allclose(found**2, history.ability.variance + history.variances.noise)


def test_draws_belong_to_their_models_and_are_as_wide_as_calibrated():
    evidence = zoo()
    posterior = learn_posterior(evidence, 0.9)
    order = np.arange(21)[::-1]
    drawn = posterior.draws(0, order)
    np.testing.assert_allclose(drawn.mean(axis=0), posterior.prediction.mean, atol=0.1)
    np.testing.assert_allclose(drawn.std(axis=0), posterior.calibration.z * posterior.prediction.sd, rtol=0.08)
    assert posterior.calibration.z > 1.1


def test_with_results_on_the_target_calibration_replays_results_of_the_same_models():
    measured = np.full(21, NAN)
    measured[:5] = 0.5
    cold, warm = learn_posterior(zoo(), 0.9), learn_posterior(zoo(measured=measured), 0.9)
    assert (warm.calibration.low, warm.calibration.high) != (cold.calibration.low, cold.calibration.high)


def test_the_unit_comes_from_datasets_of_the_same_metric_alone():
    scores = zoo(datasets=6).scores
    scores[:, 3:] = -20 + 10 * scores[:, 3:]
    mixed = learn_posterior(zoo_of(scores, in_metric=np.arange(6) < 3), 0.9)
    alone = learn_posterior(zoo_of(scores[:, :3]), 0.9)
    assert np.abs(mixed.prediction.score - alone.prediction.score).max() < 0.1
    assert 0.2 < mixed.prediction.score.mean() < 0.8
    assert (mixed.high - mixed.low).max() < 1.0


def zoo_of(scores: np.ndarray, **more) -> Evidence:
    models, datasets = scores.shape
    return Evidence(
        tuple(Candidate(f"m{m}") for m in range(models)), tuple(f"d{d}" for d in range(datasets)), scores, **more
    )


def test_datasets_of_no_comparable_metric_leave_scores_as_z():
    assert not learn_posterior(replace(zoo(), in_metric=np.zeros(4, dtype=bool)), 0.9).in_units
