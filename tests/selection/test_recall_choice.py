from collections.abc import Sequence

import numpy as np
import pytest

from selection.recall.ability import Ability
from selection.recall.choice import Replay, choose, regret
from selection.recall.lists import POLICIES, Board
from selection.recall.profiles import profile

NAN = np.nan


def bare(history: Sequence[float], expected: Sequence[float]) -> Board:
    """A board without datasets: history ranks by the first, every other policy by the second."""
    models = len(history)
    nothing = np.zeros(models)
    ability = Ability(np.array(history, dtype=float), nothing, nothing, nothing, nothing, 0.0)
    none = np.zeros(0)
    return Board(profile(np.empty((models, 0))), none, none, ability, np.array(expected, dtype=float), nothing)


def board(scores: np.ndarray, left_out: int | None = None) -> Board:
    """The board of a full zoo in which what is expected is history, all others counting the same."""
    profiles = profile(scores)
    weights = np.array([float(d != left_out) for d in range(scores.shape[1])])
    mean = profiles.terms[0] @ weights / weights.sum()
    models = len(scores)
    ability = Ability(mean, np.zeros(models), np.zeros(models), np.ones(models), np.full(models, weights.sum()), 0.0)
    return Board(profiles, weights, weights, ability, mean, np.zeros(models))


def replays(scores: np.ndarray) -> list[Replay]:
    return [Replay(board(scores, d), scores[:, d]) for d in range(scores.shape[1])]


# Four models whose best has 3, median 1.5: a regret of 2/3 for the second, 4/3 for the third.
SCORES = np.array([3.0, 2.0, 1.0, 0.0])


def replay(history_first: int, expected_first: int) -> Replay:
    """A past dataset on which the two rankings have these models first."""
    places = np.arange(4)
    return Replay(bare(places == history_first, places == expected_first), SCORES)


def believed(saved: list[float] | np.ndarray, usual: float) -> tuple[float, float]:
    """The normal posterior of the share saved of the mean of both regrets, as a share of history's."""
    known = len(saved) / (np.var(saved, ddof=1) + 0.3)
    prior = 1 / 0.3**2
    gain = (prior * usual / (1 - usual / 2) + known * np.mean(saved)) / (prior + known)
    return gain / (1 + gain / 2), (prior + known) ** -0.5 / (1 + gain / 2) ** 2


def test_regret_is_the_share_of_best_minus_median_that_is_missed() -> None:
    order = np.array([2, 1, 3, 0])
    assert [regret(order, SCORES, k) for k in (1, 2, 3, 4, 9)] == pytest.approx([4 / 3, 2 / 3, 2 / 3, 0, 0])


def test_a_model_without_a_score_takes_no_place() -> None:
    scores = np.array([3.0, NAN, 1.0, 2.0])
    assert regret(np.array([1, 2, 3, 0]), scores, 1) == pytest.approx(2.0)
    assert regret(np.array([1, 3, 2, 0]), scores, 2) == pytest.approx(1.0)


@pytest.mark.parametrize("scores", [[NAN, NAN], [1.0, NAN], [1.0, 1.0], [1.0, 1.0, 0.0]])
def test_there_is_no_regret_where_nothing_is_better_than_the_median(scores: list[float]) -> None:
    assert np.isnan(regret(np.arange(len(scores)), np.array(scores), 1))


def test_the_gain_is_the_normal_posterior_about_what_is_usual() -> None:
    # History misses by 4/3 and 2/3, a mean of 1; what is expected by 0 and 2/3, a mean of 1/3: it saves 4/3 and 0.
    past = [replay(2, 0), replay(1, 1)]
    found = choose(bare([1, 0, 0, 0], [0, 0, 0, 1]), past, [1])[1]
    gain, deviation = believed(np.array([4 / 3, 0]) / (2 / 3), 0.05)
    assert found.policy == "expected"
    assert found.order.tolist() == [3, 0, 1, 2]
    assert (found.gain, found.deviation) == pytest.approx((gain, deviation))
    assert found.n_datasets == 2


def test_for_more_than_one_pick_more_is_usual() -> None:
    found = choose(bare([1, 0, 0, 0], [0, 0, 0, 1]), [], [1, 2])
    assert (found[1].gain, found[2].gain) == pytest.approx((0.05, 0.08))


def test_one_past_dataset_is_too_few_to_move_the_belief() -> None:
    found = choose(bare([1, 0, 0, 0], [0, 0, 0, 1]), [replay(0, 3)], [1])[1]
    assert (found.policy, found.n_datasets) == ("expected", 1)
    assert found.gain == pytest.approx(0.05)


def test_a_way_that_lost_on_past_datasets_is_left_for_history() -> None:
    found = choose(bare([1, 0, 0, 0], [0, 0, 0, 1]), [replay(0, 2)] * 3, [1, 2, 4])
    assert (found[1].policy, found[1].gain, found[1].deviation) == ("history", 0.0, 0.0)
    assert found[1].order.tolist() == [0, 3, 1, 2]
    # With the best among the first two either way, nothing is lost by what is expected.
    assert found[2].policy == "expected"
    assert (found[4].gain, found[4].n_datasets) != (found[2].gain, 3)
    assert found[4].n_datasets == 0  # who picks all has nothing to choose


def test_a_single_dataset_never_counts_more_than_twice_best_minus_median() -> None:
    worst = Replay(bare([1, 0, 0, 0, 0], [0, 0, 0, 0, 1]), np.array([1.1, 1.0, 1.0, 1.0, -50.0]))
    seen = [Replay(bare([0, 0, 1], [1, 0, 0]), np.array([1.0, 0.0, -1.0]))] * 6
    found = choose(bare([1, 0], [0, 1]), [worst, *seen], [1])[1]
    gain, _ = believed(np.array([-2.0, *[2.0] * 6]) / 1.0, 0.05)  # means of 12 / 7 and 2 / 7
    assert found.gain == pytest.approx(gain)


def test_where_history_misses_nothing_losses_are_not_divided_by_nothing() -> None:
    found = choose(bare([1, 0, 0, 0], [0, 0, 0, 1]), [replay(0, 0), replay(0, 0)], [1])[1]
    assert 0 < found.gain < 0.05
    assert choose(bare([1, 0, 0, 0], [0, 0, 0, 1]), [replay(0, 1), replay(0, 1)], [1])[1].policy == "history"


def test_a_regret_of_history_under_a_hundredth_is_as_good_as_one() -> None:
    nearly = Replay(bare([0, 1, 0, 0], [1, 0, 0, 0]), np.array([3.0, 2.997, 1.0, 0.0]))
    found = choose(bare([1, 0, 0, 0], [0, 0, 0, 1]), [nearly] * 3, [1])[1]
    gain, _ = believed([0.003 / 1.0015 / 0.01] * 3, 0.05)
    assert found.gain == pytest.approx(gain)


def test_large_and_rare_losses_count_where_history_never_misses() -> None:
    lost = [replay(0, 1)] * 6 + [replay(0, 0)] * 14
    assert choose(bare([1, 0, 0, 0], [0, 0, 0, 1]), lost, [1])[1].policy == "history"


def test_datasets_that_tell_no_regret_are_not_counted() -> None:
    flat = Replay(bare([1, 0, 0, 0], [0, 0, 0, 1]), np.ones(4))
    nothing = Replay(bare([1, 0, 0, 0], [0, 0, 0, 1]), np.full(4, NAN))
    target = bare([1, 0, 0, 0], [0, 0, 0, 1])
    with_them = choose(target, [flat, replay(2, 0), nothing, replay(1, 1)], [1])[1]
    without = choose(target, [replay(2, 0), replay(1, 1)], [1])[1]
    assert (with_them.gain, with_them.n_datasets) == (without.gain, 2)


def test_a_list_that_is_historys_own_is_called_history_and_promises_nothing() -> None:
    lost = Replay(bare(range(6), range(6)[::-1]), np.arange(6.0))
    found = choose(bare([3, 2, 1, 0], [3, 2, 0, 1]), [lost] * 3, [1, 2, 3])
    assert [found[k].policy for k in (1, 2, 3)] == ["history"] * 3
    assert [found[k].gain for k in (1, 2, 3)] == [0.0] * 3
    assert found[1].order.tolist() == [0, 1, 2, 3]


def specialists(seed: int) -> np.ndarray:
    """Three all-round models that are second everywhere, and for each of three kinds of datasets the one that wins."""
    rng = np.random.default_rng(seed)
    kind = np.arange(18) % 3
    scores = 0.2 * rng.normal(size=(24, 18))
    for m in range(3):
        scores[m] += np.where(kind == m, 3.0, -1.0)
    scores[3:6] += 1.0
    return scores


@pytest.mark.parametrize("seed", range(4))
def test_where_winners_differ_in_kind_the_list_that_covers_is_chosen(seed: int) -> None:
    scores = specialists(seed)
    found = choose(board(scores), replays(scores), [4])[4]
    assert found.policy == "cover"
    assert set(found.order[:4].tolist()) >= {0, 1, 2}
    assert found.gain > 3 * found.deviation
    assert found.n_datasets == 18


@pytest.mark.parametrize("datasets", [4, 6, 30])
@pytest.mark.parametrize("seed", range(4))
def test_where_winners_do_not_differ_in_kind_nothing_is_chosen_that_loses(seed: int, datasets: int) -> None:
    rng = np.random.default_rng(seed)
    scores = 0.5 * np.arange(20)[::-1, None] + 0.1 * rng.normal(size=(20, datasets))
    for k, found in choose(board(scores), replays(scores), [1, 3, 5]).items():
        assert 0 in found.order[:k]
        assert found.gain < 0.15


def test_without_past_datasets_what_gains_elsewhere_is_taken() -> None:
    scores = specialists(0)
    found = choose(board(scores), [], [1, 3])
    assert (found[3].policy, found[3].n_datasets) == ("cover", 0)
    assert found[3].gain == pytest.approx(0.15)
    assert found[1].policy in ("history", "upside", "expected")


@pytest.mark.parametrize(("every", "policy", "gain"), [(2, "cover", 0.15 * 0.5**0.5), (4, "history", 0.0)])
def test_what_is_usual_counts_less_where_models_were_measured_on_few_datasets(
    every: int, policy: str, gain: float
) -> None:
    places = np.add.outer(np.arange(16), np.arange(16)) % every
    scores = np.where(places == 0, np.random.default_rng(0).normal(size=(16, 16)), NAN)
    never = np.full((5, 16), NAN)
    # Models without any result are not held against it. What is expected is history's own list here.
    found = choose(board(np.vstack([scores, never])), [], [3])[3]
    assert (found.policy, found.gain) == (policy, pytest.approx(gain))


def test_choices_are_rankings_of_all_models_and_the_same_for_a_seed() -> None:
    scores = np.random.default_rng(3).normal(size=(15, 7))
    once, again = (choose(board(scores), replays(scores), [1, 4, 15], seed=2) for _ in range(2))
    for k, found in once.items():
        assert sorted(found.order.tolist()) == list(range(15))
        assert found.policy in POLICIES
        assert (found.policy, found.gain) == (again[k].policy, again[k].gain)
        np.testing.assert_array_equal(found.order, again[k].order)
