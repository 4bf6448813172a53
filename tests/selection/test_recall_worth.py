import numpy as np
import pytest

from selection.recall import Evidence
from selection.recall.posterior import learn_posterior
from selection.recall.stacking import apply_trust, learn_trust
from selection.recall.worth import gains, probe_gains, told_share
from selection.records import Candidate

PHI0 = 1 / np.sqrt(2 * np.pi)


def test_a_gain_by_hand_for_the_first_of_two() -> None:
    # Of two equal models one is picked: knowing a N(0, 1) move of either is worth E max(0, N(0, 1)).
    assert gains(np.zeros(2), np.ones(2), 1) == pytest.approx([PHI0, PHI0])
    # One behind by 1 with a move of 1: phi(1) - Phi(-1) = .24197 - .15866.
    assert gains(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1) == pytest.approx([0.0, 0.083315], abs=1e-6)
    # The way out is as long as the way in.
    assert gains(np.array([1.0, 0.0]), np.array([1.0, 0.0]), 1)[0] == pytest.approx(0.083315, abs=1e-6)


def test_gains_are_those_of_simulated_decisions() -> None:
    generator = np.random.default_rng(0)
    mean, move, k = generator.normal(size=6), generator.uniform(0.2, 1.5, 6), 1
    draws = generator.standard_normal(200_000)
    for model in range(6):
        known = np.tile(mean, (len(draws), 1))
        known[:, model] += move[model] * draws
        simulated = known.max(axis=1).mean() - mean.max()
        assert gains(mean, move, k)[model] == pytest.approx(simulated, abs=0.005)


def test_what_cannot_change_the_picks_gains_nothing() -> None:
    mean = np.array([3.0, 2.9, 1.0, 0.9, -5.0])
    found = gains(mean, np.full(5, 0.2), 1)
    assert found[0] == pytest.approx(found[1])
    assert found[1] > 1e-2
    assert found[4] < 1e-12
    assert gains(mean, np.zeros(5), 2).tolist() == [0.0] * 5
    assert gains(np.array([1.0]), np.ones(1), 5).tolist() == [0.0]


def test_lists_longer_than_the_pool_are_about_their_order() -> None:
    found = gains(np.array([1.0, 0.0, -1.0]), np.ones(3), 10)
    assert (found > 0).all()
    # For the best two the ways to the border are 2, 1 and 1, for the best one 1, 1 and 2.
    assert found == pytest.approx([0.045903, 0.083315, 0.045903], abs=1e-6)


def zoo(seed: int = 0, models: int = 40, datasets: int = 8, told: float = 0.8) -> Evidence:
    """Results with a proxy that tells of each by the correlation `told`; the last ten models have none."""
    generator = np.random.default_rng(seed)
    ability = generator.normal(size=models)
    scores = ability[:, None] + generator.normal(size=(models, datasets))
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    proxy = told * z + np.sqrt(1 - told**2) * generator.normal(size=scores.shape)
    scores[-10:] = np.nan
    return Evidence(
        tuple(Candidate(f"m{index}") for index in range(models)),
        tuple(f"d{index}" for index in range(datasets)),
        scores,
        past_proxies={"logme": proxy},
    )


@pytest.mark.parametrize("names", [("logme",), ("new",)])
def test_the_share_told_is_what_applying_the_proxies_takes_off_the_variance(names: tuple[str, ...]) -> None:
    evidence = zoo()
    posterior = learn_posterior(evidence, 0.9)
    belief, ability = posterior.target.belief, posterior.history.ability
    trust = learn_trust(posterior.history, evidence.past_proxies, names)
    assert trust.learnt == (names == ("logme",))
    after = apply_trust(belief, ability, np.random.default_rng(1).normal(size=(1, 40)), trust, None)
    assert 1 - (after.sd / belief.sd) ** 2 == pytest.approx(told_share(belief, ability, trust))


def test_models_that_cannot_be_picked_and_proxies_that_never_helped_gain_nothing() -> None:
    evidence = zoo()
    posterior = learn_posterior(evidence, 0.9)
    found = probe_gains(evidence, posterior, ["logme"], range(5, 40), 3)
    assert (found[:5] == 0).all()
    assert (found[5:] > 0).any()
    useless = zoo(told=0.0)
    assert (probe_gains(useless, learn_posterior(useless, 0.9), ["logme"], range(40), 3) == 0).all()


def test_relabelled_models_have_the_same_gains() -> None:
    evidence = zoo()
    order = np.random.default_rng(2).permutation(40)
    moved = Evidence(
        tuple(evidence.candidates[i] for i in order),
        evidence.datasets,
        evidence.scores[order],
        past_proxies={"logme": evidence.past_proxies["logme"][order]},
    )
    plain = probe_gains(evidence, learn_posterior(evidence, 0.9), ["logme"], range(40), 3)
    assert probe_gains(moved, learn_posterior(moved, 0.9), ["logme"], range(40), 3) == pytest.approx(plain[order])
