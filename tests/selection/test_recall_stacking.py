from dataclasses import replace

import numpy as np
import pytest

from selection.recall.ability import Ability
from selection.recall.history import learn_history
from selection.recall.shapes import Shapes, standardise_proxy
from selection.recall.stacking import (
    PRIOR_CORRELATION,
    Belief,
    Regime,
    Trust,
    apply_trust,
    learn_trust,
)
from selection.records import Candidate

NAN = np.nan


def zoo(models: int = 40, datasets: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, what is special about each pair, and a proxy that sees it through noise."""
    rng = np.random.default_rng(seed)
    special = rng.normal(size=(models, datasets))
    scores = rng.normal(size=(models, 1)) + special
    return scores, special, special + 0.5 * rng.normal(size=(models, datasets))


def history(scores):
    return learn_history(scores, tuple(Candidate(f"m{m}") for m in range(len(scores))))


def test_a_helpful_proxy_earns_weight_and_a_random_one_next_to_none():
    scores, _, proxy = zoo()
    noise = np.random.default_rng(9).normal(size=scores.shape)
    trust = learn_trust(history(scores), {"good": proxy, "random": noise}, ("good", "random"))
    assert trust.learnt
    assert trust.with_history.weights[0] > 0.3
    assert trust.with_history.weights[1] < 0.03
    assert trust.with_history.remaining < 0.7


@pytest.mark.parametrize("seed", range(10))
def test_random_proxies_alone_get_no_weight_or_next_to_none(seed):
    scores, _, _ = zoo(seed=seed)
    noise = np.random.default_rng(100 + seed).normal(size=scores.shape)
    trust = learn_trust(history(scores), {"random": noise}, ("random",))
    assert trust.with_history.weights[0] < 0.05


def test_a_proxy_that_points_the_wrong_way_gets_no_weight():
    scores, _, proxy = zoo()
    assert learn_trust(history(scores), {"wrong": -proxy}, ("wrong",)).with_history.weights[0] == 0


def test_a_proxy_that_repeats_history_adds_nothing_to_it_but_serves_models_without():
    scores, _, _ = zoo(models=60, datasets=12)
    ability = scores.mean(axis=1, keepdims=True)
    repeats = np.repeat(ability, 12, axis=1) + 0.3 * np.random.default_rng(2).normal(size=scores.shape)
    trust = learn_trust(history(scores), {"repeats": repeats}, ("repeats",))
    assert trust.without.weights[0] > 0.3
    assert trust.with_history.weights[0] < trust.without.weights[0]


def test_a_proxy_that_tells_only_who_fails_warns_of_more_than_it_promises():
    rng = np.random.default_rng(3)
    proxy = rng.normal(size=(40, 12))
    scores = np.minimum(proxy, 0) + 0.3 * rng.normal(size=(40, 12))
    # In the shape of such results the good models are alike already, so results of another shape are put beside them.
    found = learn_trust(history(np.where(rng.random((40, 12)) < 0.5, scores, NAN)), {"p": proxy}, ("p",)).without
    above, below = found.solution[:2]
    assert below > 0.1
    assert found.weights[0] == above + below / 2


def test_units_and_sample_sizes_of_past_datasets_do_not_matter():
    scores, _, proxy = zoo()
    scaled = proxy * np.linspace(1, 50, proxy.shape[1]) + np.arange(proxy.shape[1]) * 7
    plain = learn_trust(history(scores), {"p": proxy}, ("p",))
    other = learn_trust(history(scores), {"p": scaled}, ("p",))
    np.testing.assert_allclose(plain.with_history.weights, other.with_history.weights)


def test_three_past_datasets_are_too_few_to_learn_from():
    scores, _, proxy = zoo(datasets=3)
    assert not learn_trust(history(scores), {"p": proxy}, ("p",)).learnt
    scores, _, proxy = zoo(datasets=4)
    assert learn_trust(history(scores), {"p": proxy}, ("p",)).learnt


def test_an_untested_proxy_moves_the_unknown_model_more_than_the_known():
    scores, _, _ = zoo(models=3, datasets=1)
    ability = history(scores).ability
    belief = Belief(np.zeros(3), np.array([1.0, 1.0, 0.3]))
    untested = Trust(("p",), None, None, 0)
    moved = apply_trust(belief, ability, np.array([[-1.2, 0.0, 1.2]]), untested, None)
    assert moved.mean[0] == pytest.approx(-PRIOR_CORRELATION * np.sqrt(1.5), rel=0.05)
    assert abs(moved.mean[2]) < abs(moved.mean[0]) / 3
    assert moved.sd[0] == pytest.approx(np.sqrt(1 - PRIOR_CORRELATION**2))


def test_a_model_without_proxies_is_neither_praised_nor_blamed():
    scores, _, proxy = zoo()
    past = history(scores)
    trust = learn_trust(past, {"p": proxy}, ("p",))
    belief = Belief(past.ability.mean, np.ones(40))
    values = np.random.default_rng(1).normal(size=40)
    values[:20] = NAN
    usual = Shapes.of(past.columns.z).usual()
    moved = apply_trust(belief, past.ability, standardise_proxy(values, usual)[None], trust, None)
    np.testing.assert_array_equal(moved.mean[:20], belief.mean[:20])
    np.testing.assert_array_equal(moved.sd[:20], belief.sd[:20])
    assert (moved.sd[20:] < 1).all()


def test_no_proxies_at_all_leave_the_belief_as_it_is():
    scores, _, _ = zoo()
    past = history(scores)
    belief = Belief(past.ability.mean, np.ones(40))
    moved = apply_trust(belief, past.ability, np.full((1, 40), NAN), Trust(("p",), None, None, 0), None)
    np.testing.assert_array_equal(moved.mean, belief.mean)


def told_nothing(models):
    """An ability of zero, trusted by half."""
    zeros = np.zeros(models)
    return Ability(zeros, zeros + 1, zeros, zeros + 0.5, zeros + 1, 0.0)


def test_a_proxy_is_judged_beside_beliefs_that_never_saw_the_dataset():
    scores, _, proxy = zoo(datasets=5)
    past = history(scores)
    blind = replace(past, ability=told_nothing(40))  # what all the results say must not matter
    ours, theirs = learn_trust(past, {"p": proxy}, ("p",)), learn_trust(blind, {"p": proxy}, ("p",))
    for regime, other in ((ours.with_history, theirs.with_history), (ours.without, theirs.without)):
        np.testing.assert_array_equal(regime.solution, other.solution)
        assert regime.remaining == other.remaining


def test_the_weights_for_a_past_dataset_are_learnt_without_it():
    scores, _, proxy = zoo()
    past = history(scores)
    changed = proxy.copy()
    changed[:, 2] = np.random.default_rng(1).normal(size=40)
    ours, theirs = (learn_trust(past, {"p": values}, ("p",)).with_history for values in (proxy, changed))
    np.testing.assert_allclose(ours.left_out[2], theirs.left_out[2])
    assert ours.weights[0] > theirs.weights[0]
    assert ours.left_out[3][0] > theirs.left_out[3][0]


@pytest.mark.parametrize(("right", "trusted"), [(6, False), (8, True)])
def test_a_proxy_that_is_wrong_on_one_dataset_needs_eight_right_ones_to_be_trusted(right, trusted):
    # Left-out gains, with the ridge of one dataset: 2w - w^2 where right, w = (right - 2) / (right + 1), and
    # -2w - w^2 where wrong, w = right / (right + 1): .35 +- .47 over seven datasets, .51 +- .38 over nine.
    z = np.linspace(-1, 1, 9)
    past = history(np.tile(z[:, None], right + 1))
    past = replace(past, left_out=(told_nothing(9),) * (right + 1))
    proxy = np.tile(z[:, None], right + 1)
    proxy[:, 0] *= -1
    trust = learn_trust(past, {"p": proxy}, ("p",))
    wanted = (right - 1) / (right + 2) if trusted else 0.0
    # About: the weight below the middle, of a ridge of its own, adds a hundredth.
    assert trust.with_history.weights[0] == pytest.approx(wanted, abs=0.02 if trusted else 0)
    assert trust.with_history.remaining == pytest.approx(0.495 if trusted else 1.0, abs=0.02)


def test_proxies_of_models_without_results_teach_nothing():
    scores, _, proxy = zoo()
    scores[20:] = NAN
    other = proxy.copy()
    other[20:] = 100 * np.random.default_rng(1).normal(size=(20, 10))
    ours, theirs = (learn_trust(history(scores), {"p": values}, ("p",)) for values in (proxy, other))
    np.testing.assert_array_equal(ours.with_history.weights, theirs.with_history.weights)


def test_a_dataset_where_four_models_have_a_proxy_does_not_count():
    scores, _, proxy = zoo(datasets=5)
    proxy[4:, 4] = NAN
    trust = learn_trust(history(scores), {"p": proxy}, ("p",))
    assert trust.n_datasets == 4
    assert sorted(trust.with_history.left_out) == [0, 1, 2, 3]


# Three models: one known by its results alone, one not at all, one by half.
KNOWN = Ability(
    mean=np.array([1.0, -1.0, 0.0]),
    variance=np.zeros(3),
    prior=np.array([0.3, -0.3, 0.0]),
    trust=np.array([1.0, 0.0, 0.5]),
    n_results=np.ones(3),
    slope=0.0,
)
TRUST = Trust(
    ("p",),
    Regime(np.array([0.5, 0.0, 0.1, 0.2]), 0.64, {2: np.array([0.2, 0.0, 0.0, 0.0])}),
    Regime(np.array([0.2, 0.1, 0.4, 0.0]), 0.25, {2: np.array([0.1, 0.0, 0.0, 0.0])}),
    5,
)


def test_a_known_model_is_moved_by_one_regime_and_an_unknown_one_by_the_other():
    belief = Belief(KNOWN.mean, np.ones(3))
    moved = apply_trust(belief, KNOWN, np.array([[1.0, -1.0, 0.0]]), TRUST, None)
    # By the first .5 - .1 - .2, -.5 + .1 and 0, by the second .2 - .4 * .3, -.2 - .1 + .4 * .3 and 0, each centred.
    confident, blind = np.array([0.2, -0.4, 0.0]) + 0.2 / 3, np.array([0.08, -0.18, 0.0]) + 0.1 / 3
    wanted = [1 + confident[0], -1 + blind[1], (confident[2] + blind[2]) / 2]
    np.testing.assert_allclose(moved.mean, wanted)
    np.testing.assert_allclose(moved.sd, [0.8, 0.5, np.sqrt(0.5 * 0.64 + 0.5 * 0.25)])


def test_a_past_dataset_is_treated_with_the_weights_that_never_saw_it():
    belief = Belief(KNOWN.mean, np.ones(3))
    proxies = np.array([[1.0, -1.0, 0.0]])
    np.testing.assert_allclose(apply_trust(belief, KNOWN, proxies, TRUST, 2).mean, [1 + 0.2, -1 - 0.1, 0])
    had_no_say = apply_trust(belief, KNOWN, proxies, TRUST, 7)
    np.testing.assert_array_equal(had_no_say.mean, apply_trust(belief, KNOWN, proxies, TRUST, None).mean)
