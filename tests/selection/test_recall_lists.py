from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection.recall import lists
from selection.recall.ability import Ability
from selection.recall.lists import MAX_COVER, POLICIES, Board, make_lists
from selection.recall.profiles import profile

NAN = np.nan


def board(scores: np.ndarray, moved: np.ndarray | None = None, prior: np.ndarray | None = None) -> Board:
    """A board of datasets that all count the same, trusting a model's results as soon as it has any."""
    profiles = profile(scores)
    z, count = profiles.terms[0], profiles.seen.sum(axis=1).astype(float)
    prior = np.zeros(len(scores)) if prior is None else prior
    moved = np.zeros(len(scores)) if moved is None else moved
    mean = np.where(count > 0, z.sum(axis=1) / np.maximum(count, 1), prior)
    ability = Ability(mean, np.zeros(len(scores)), prior, (count > 0).astype(float), count, 0.0)
    ones = np.ones(scores.shape[1])
    return Board(profiles, ones, ones, ability, mean + moved, moved)


def two_kinds(*rows: tuple[float, float]) -> Board:
    """Each row is a model: its score on the seven datasets of one kind, and on the five of another."""
    return board(np.array([[row[0]] * 7 + [row[1]] * 5 for row in rows]))


def some(seed: int, models: int = 30, datasets: int = 9, hidden: float = 0.0) -> Board:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(models, 1)) + rng.normal(size=(models, datasets))
    return board(np.where(rng.random(scores.shape) < hidden, NAN, scores))


def first(found: dict[lists.Policy, np.ndarray], policy: lists.Policy, k: int) -> list[int]:
    return found[policy][:k].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_a_list_that_covers_holds_the_best_of_each_kind_where_the_mean_holds_two_of_one(seed: int) -> None:
    found = make_lists(two_kinds((1.0, 0.0), (0.9, 0.0), (0.0, 1.0), (0.2, 0.2)), seed)
    assert first(found, "expected", 2) == first(found, "history", 2) == first(found, "upside", 2) == [0, 1]
    assert first(found, "cover", 2) == [0, 2]


def test_who_wins_now_and_then_is_ahead_by_its_best_of_who_never_does() -> None:
    found = make_lists(two_kinds((0.7, 0.7), (1.0, 0.0), (0.65, 0.65), (0.0, 1.0)))
    assert first(found, "expected", 2) == [0, 2]
    assert sorted(first(found, "upside", 2)) == [0, 1]
    assert first(found, "tail", 2) == [1, 0]


def test_who_is_second_everywhere_is_no_use_beside_the_first() -> None:
    scores = np.vstack([np.linspace(0.9, 1, 8), np.linspace(0.89, 0.99, 8), np.zeros((6, 8))])
    scores[2:] += 0.3 * np.random.default_rng(0).random((6, 8))
    assert first(make_lists(board(scores)), "cover", 2) == [0, 1]
    scores[2, 0] = 1.0
    assert first(make_lists(board(scores)), "cover", 2) == [0, 2]


def test_history_is_by_ability_and_equals_are_ranked_as_expected_then_as_given() -> None:
    plain = board(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [-1.0, 2.0]]))
    ability = replace(plain.ability, mean=np.array([0.5, 0.5, 0.9, 0.5]))
    found = make_lists(replace(plain, ability=ability, expected=np.array([0.1, 0.3, 0.0, 0.3])))
    assert found["history"].tolist() == [2, 1, 3, 0]
    assert found["expected"].tolist() == [1, 3, 0, 2]


def test_a_difference_by_the_order_of_summation_decides_nothing() -> None:
    plain = some(0, models=3)
    dust = replace(plain.ability, mean=np.array([0.3, 0.1 + 0.2, 0.3]))
    assert make_lists(replace(plain, ability=dust, expected=np.zeros(3)))["history"].tolist() == [0, 1, 2]


@given(st.integers(1, 25), st.integers(0, 6), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_ranking_holds_every_model_once_whatever_is_missing(
    models: int, datasets: int, hidden: float, seed: int
) -> None:
    found = make_lists(some(seed, models, datasets, hidden))
    assert tuple(found) == POLICIES
    for order in found.values():
        assert sorted(order.tolist()) == list(range(models))


@given(st.floats(0, 0.95), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_possible_targets_are_numbers_whatever_is_missing(hidden: float, seed: int) -> None:
    given_board = some(seed, 12, 6, hidden)
    if (given_board.profiles.seen.any(axis=0)).sum() < 2:
        return
    draws = lists._draw_targets(given_board, np.arange(12), seed)
    assert np.isfinite(draws.regret).all()
    assert draws.regret.min() >= 0
    assert draws.regret.max() <= 1
    assert (draws.regret.min(axis=0) == 0).all()
    assert draws.weight.sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_models_in_another_order_make_the_same_lists(seed: int) -> None:
    plain = some(seed, hidden=0.3)
    order = np.random.default_rng(seed).permutation(30)
    moved = replace(
        plain,
        profiles=plain.profiles.of(order, np.arange(9)),
        ability=plain.ability.of(order),
        expected=plain.expected[order],
        moved=plain.moved[order],
    )
    ours, theirs = make_lists(plain), make_lists(moved)
    for policy in POLICIES:
        assert ours[policy].tolist() == order[theirs[policy]].tolist()


def test_a_seed_gives_the_same_lists_and_only_covering_hangs_on_it() -> None:
    plain = some(1, models=60)
    once, again, other = (make_lists(plain, seed) for seed in (3, 3, 4))
    for policy in POLICIES:
        np.testing.assert_array_equal(once[policy], again[policy])
        assert policy == "cover" or once[policy].tolist() == other[policy].tolist()
    assert once["cover"].tolist() != other["cover"].tolist()


def test_a_dataset_of_no_weight_says_nothing() -> None:
    plain = some(2)
    weights = np.where(np.arange(9) == 4, 0.0, np.linspace(0.5, 2, 9))
    without = replace(plain, weights=weights, chances=weights)
    swapped = plain.profiles.terms.copy()
    swapped[:, :, 4] = swapped[:, ::-1, 4]
    level = plain.profiles.level.copy()
    level[:, 4] = level[::-1, 4]
    changed = replace(without, profiles=replace(plain.profiles, terms=swapped, level=level))
    for policy, order in make_lists(without).items():
        np.testing.assert_array_equal(order, make_lists(changed)[policy])


def test_datasets_weigh_by_their_weights_in_means_and_by_their_chances_in_cover() -> None:
    plain = two_kinds((1.0, 0.0), (0.9, 0.0), (0.0, 1.0), (0.0, 0.9), (0.2, 0.2))
    kinds = np.arange(12) < 7
    assert first(make_lists(plain), "tail", 2) == [0, 2]
    heavy = replace(plain, weights=np.where(kinds, 0.1, 1.0))
    assert first(make_lists(heavy), "tail", 2) == [2, 3]
    likely = replace(plain, chances=np.where(kinds, 1e-6, 1.0))
    assert first(make_lists(likely), "cover", 2) == [0, 2]
    assert first(make_lists(replace(likely, weights=heavy.weights)), "cover", 2) == [2, 3]


def test_other_evidence_moves_every_list_but_history() -> None:
    rows = ((1.0, 0.0), (0.9, 0.0), (0.0, 1.0), (0.2, 0.2))
    plain = two_kinds(*rows)
    moved = np.array([0.0, 0.0, 0.0, 5.0])
    found = make_lists(replace(plain, expected=plain.expected + moved, moved=moved))
    assert first(found, "history", 1) == [0]
    for policy in POLICIES[1:]:
        assert first(found, policy, 1) == [3]


def test_a_model_moved_far_ahead_leaves_nothing_to_cover_but_the_better_models() -> None:
    plain = two_kinds((1.0, 0.0), (0.9, 0.0), (0.0, 1.0), (0.2, 0.2))
    moved = np.array([9.0, 0.0, 0.0, 0.0])
    found = make_lists(replace(plain, expected=plain.expected + moved, moved=moved))
    assert first(found, "cover", 1) == [0]
    draws = lists._draw_targets(replace(plain, moved=moved), np.arange(4), 0)
    assert draws.regret[0].max() == 0


def test_a_model_without_results_is_listed_by_what_is_expected_of_it() -> None:
    rng = np.random.default_rng(0)
    scores = np.arange(10)[::-1, None] + 0.5 * rng.normal(size=(10, 6))
    scores[7] = NAN
    for prior, places in ((3.0, [0]), (-3.0, [8, 9])):
        found = make_lists(board(scores, prior=np.where(np.arange(10) == 7, prior, 0.0)))
        for policy in POLICIES[:4]:
            assert found[policy].tolist().index(7) in places


@pytest.mark.parametrize("weights", [[0.0] * 4, [0.0, 3.0, 0.0, 0.0]])
def test_on_fewer_than_two_datasets_there_is_history_and_what_is_expected(weights: list[float]) -> None:
    plain = some(3, models=6, datasets=4)
    given_board = replace(plain, weights=np.array(weights), expected=-plain.ability.mean)
    found = make_lists(given_board)
    assert found["history"].tolist() == found["expected"].tolist()[::-1]
    for policy in POLICIES[1:]:
        np.testing.assert_array_equal(found[policy], found["expected"])


def test_two_models_have_no_profile_and_are_listed_as_expected() -> None:
    two = board(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]))
    for order in make_lists(replace(two, expected=np.array([0.0, 1.0]))).values():
        assert order.tolist() == [1, 0]


def test_equal_models_and_equal_datasets_are_listed_as_expected() -> None:
    equal = board(np.full((5, 4), 0.5))
    for order in make_lists(replace(equal, expected=np.arange(5.0))).values():
        assert order.tolist() == [4, 3, 2, 1, 0]


def test_possible_targets_are_past_ones_with_noise() -> None:
    plain = two_kinds((1.0, 0.0), (0.8, 0.1), (0.0, 1.0), (0.2, 0.2), (0.3, 0.1))
    draws = lists._draw_targets(plain, np.arange(5), 0)
    assert draws.regret.shape == (5, 12 * 3 * (480 // 36))
    kinds = np.tile(np.arange(12) < 7, 39)
    assert (draws.regret[:, kinds].argmin(axis=0) == 0).mean() > 0.8
    assert (draws.regret[:, ~kinds].argmin(axis=0) == 2).mean() > 0.95
    assert draws.regret[3].mean() > 0.6


def test_a_model_whose_results_are_erratic_is_drawn_so() -> None:
    rng = np.random.default_rng(0)
    scores = np.arange(8)[:, None] + 0.2 * rng.normal(size=(8, 10))
    scores[3] = np.where(np.arange(10) % 2, 0.0, 6.0)
    drawn = lists._draw_targets(board(scores), np.arange(8), 0).regret
    # The second column starts from the dataset after the first's; each tenth from the same one.
    spread = drawn[:, ::10].std(axis=1)
    assert spread[3] > 1.5 * spread[[1, 2, 4, 5]].max()


def test_greedy_cover_is_that_of_a_slow_literal() -> None:
    rng = np.random.default_rng(0)
    regret, weight, tail = rng.random((14, 40)), rng.random(40), rng.normal(size=20)
    pool = rng.permutation(20)[:14]
    draws = lists._Draws(pool, regret, weight / weight.sum())
    upside = rng.normal(size=20)
    picks = [max(range(14), key=lambda place: upside[pool[place]])]
    while len(picks) < MAX_COVER:
        left = [min(regret[place, s] for place in picks) for s in range(40)]

        def worth(place: int, left: list[float] = left) -> float:
            saved = [max(0.0, old - new) for old, new in zip(left, regret[place], strict=True)]
            return (np.average(saved, weights=weight) + 0.001) * np.exp(0.3 * tail[pool[place]])

        picks.append(max((place for place in range(14) if place not in picks), key=worth))
    found = lists._covering(draws, upside, tail, np.arange(20)[::-1])
    chosen = pool[picks].tolist()
    assert found.tolist() == chosen + [model for model in range(19, -1, -1) if model not in chosen]


def test_after_the_list_that_covers_come_the_others_by_how_often_they_are_ahead() -> None:
    plain = some(4, models=40)
    ahead = plain.profiles.terms[1].mean(axis=1)
    rest = make_lists(plain)["cover"][MAX_COVER:]
    assert (np.diff(ahead[rest]) <= 0).all()


def test_the_tail_score_is_the_sum_of_four_standardised_means() -> None:
    plain = some(5)
    weights = np.linspace(0.2, 2, 9)
    means = plain.profiles.terms @ weights / weights.sum()
    score = sum((term - term.mean()) / term.std() for term in means)
    found = make_lists(replace(plain, weights=weights))["tail"]
    np.testing.assert_array_equal(found, np.argsort(-score))


def test_upside_is_what_is_expected_and_the_gain_reached_at_best_in_equal_parts() -> None:
    plain = some(6)
    gain = plain.profiles.terms[3].mean(axis=1)
    score = sum((term - term.mean()) / term.std() for term in (plain.expected, gain))
    np.testing.assert_array_equal(make_lists(plain)["upside"], np.argsort(-score))
