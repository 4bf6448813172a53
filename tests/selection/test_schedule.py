import math
from functools import partial
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection import schedule
from selection.errors import BudgetError, InputError
from selection.policies import Rehearsal, rehearse
from selection.rates import search_end
from selection.records import Candidate, Plan, Policy, Progress, Recipe
from selection.schedule import (
    Overhead,
    eval_steps,
    geometric_stops,
    planned_steps,
    probe_cut,
    rung_sizes,
)
from selection.schedule import plan as plan_by_policy

plan = partial(plan_by_policy, policy="successive_halving")


def candidates(n: int) -> list[Candidate]:
    return [Candidate(f"org/m{index:02}") for index in range(n)]


def one_second(candidate: Candidate) -> float:
    return 1.0


def numbers(result: Plan) -> list[tuple[int, int, int]]:
    return [(rung.n_candidates, rung.n_survivors, rung.until_step) for rung in result.rungs]


def test_eight_candidates_pass_a_probe_and_halve_down_to_one_full_run() -> None:
    result = plan(candidates(8), Recipe(total_steps=100, warmup_steps=5), seconds_per_step=one_second)
    assert numbers(result) == [(8, 4, 0), (4, 2, 25), (2, 1, 50), (1, 1, 100)]
    assert planned_steps(result) == 4 * 25 + 2 * 25 + 50
    assert result.expected_seconds == result.worst_seconds == 200
    assert result.brute_force_seconds == 800
    assert result.notes == ()


def test_every_rung_ends_at_an_evaluation_point() -> None:
    result = plan(candidates(8), Recipe(total_steps=100), seconds_per_step=one_second)
    points = result.trials[0].eval_steps
    assert [rung.until_step for rung in result.rungs[1:]] == list(points)
    more = plan(candidates(8), Recipe(total_steps=100), seconds_per_step=one_second, eval_points=8).trials[0].eval_steps
    assert set(points) < set(more)
    assert len(more) == 8


@pytest.mark.parametrize(("policy", "n"), [("power_law", 8), ("brute_force", 8), ("two_phase", 5), ("racing", 3)])
def test_curves_have_points_between_the_stops_where_something_is_read_off_them(policy: Policy, n: int) -> None:
    made = plan_by_policy(candidates(8), Recipe(total_steps=100), seconds_per_step=one_second, policy=policy)
    assert len(made.trials[0].eval_steps) == n


@pytest.mark.parametrize(("n", "epochs", "cost"), [(10, 5, 19), (20, 8, 41), (50, 10, 101)])
def test_halving_each_epoch_costs_what_the_paper_says(n: int, epochs: int, cost: int) -> None:
    recipe = Recipe(total_steps=epochs, warmup_steps=0)
    result = plan(candidates(n), recipe, seconds_per_step=one_second, stops=range(1, epochs + 1), probe_survivors=n)
    formula = sum(max(1, n // 2 ** (epoch - 1)) for epoch in range(1, epochs + 1))
    assert planned_steps(result) == formula == cost


def test_one_candidate_is_one_full_run() -> None:
    result = plan(candidates(1), Recipe(total_steps=40), seconds_per_step=one_second)
    assert numbers(result) == [(1, 1, 0), (1, 1, 40)]
    assert result.worst_seconds == result.brute_force_seconds == 40


def test_no_rung_ends_before_the_scores_say_anything() -> None:
    assert geometric_stops(16, 100, first_stop=20) == (25, 50, 100)
    assert geometric_stops(16, 100) == (6, 12, 25, 50, 100)
    assert geometric_stops(4, 3) == (1, 3)
    assert geometric_stops(4, 1, first_stop=9) == (1,)


def test_a_larger_eta_drops_more_at_once() -> None:
    assert rung_sizes(9, 3, eta=3) == (9, 3, 1)
    assert geometric_stops(9, 90, eta=3) == (10, 30, 90)


def test_the_probe_never_decides_among_the_last_four() -> None:
    assert [probe_cut(n) for n in (1, 3, 4, 5, 8, 9, 14)] == [1, 3, 4, 4, 4, 5, 7]


def test_the_worst_case_lets_the_slowest_survive() -> None:
    rates = {"org/m00": 1.0, "org/m01": 1.0, "org/m02": 1.0, "org/m03": 5.0}
    result = plan(candidates(4), Recipe(total_steps=100, warmup_steps=5), seconds_per_step=rates)
    assert result.worst_seconds == 25 * (1 + 1 + 1 + 5) + 25 * (1 + 5) + 50 * 5
    assert result.expected_seconds == 2.0 * 200


def test_overheads_are_counted() -> None:
    extra = Overhead(start_seconds=3, probe_steps=2, evaluation_steps=4, test_steps=10)
    result = plan(candidates(1), Recipe(total_steps=40), seconds_per_step=one_second, overhead=extra, eval_points=2)
    assert result.worst_seconds == 2 + 3 + (40 + 2 * 4) + 10


def test_two_workers_take_half_the_time_of_an_even_rung() -> None:
    recipe = Recipe(total_steps=100, warmup_steps=5)
    result = plan(candidates(4), recipe, seconds_per_step=one_second, workers=2)
    assert [rung.expected_seconds for rung in result.rungs] == [0, 50, 25, 50]
    assert result.brute_force_seconds == 200


def test_a_test_of_the_winner_is_counted_once_in_each_cost() -> None:
    extra = Overhead(start_seconds=3, evaluation_steps=4, test_steps=10)
    result = plan(candidates(2), Recipe(total_steps=40), seconds_per_step=one_second, overhead=extra, stops=[40])
    alone = 3 + 40 + 1 * 4
    assert result.brute_force_seconds == result.expected_seconds == result.worst_seconds == 2 * alone + 10


def test_each_stage_pays_for_its_own_evaluations() -> None:
    recipe, extra = Recipe(total_steps=100, warmup_steps=5), Overhead(evaluation_steps=4)
    result = plan(candidates(4), recipe, seconds_per_step=one_second, overhead=extra, eval_points=3)
    assert result.trials[0].eval_steps == (25, 50, 100)
    assert [rung.expected_seconds for rung in result.rungs] == [0, 4 * 29, 2 * 29, 54]


def test_two_workers_may_end_on_the_slowest_at_worst() -> None:
    rates = {"org/m00": 1.0, "org/m01": 1.0, "org/m02": 1.0, "org/m03": 5.0}
    recipe = Recipe(total_steps=100, warmup_steps=5)
    result = plan(candidates(4), recipe, seconds_per_step=rates, workers=2)
    assert result.worst_seconds == (200 + 125) / 2 + (150 + 125) / 2 + 250


def test_the_first_rung_is_no_shorter_than_two_warm_ups_or_a_sixteenth() -> None:
    def first(n: int, **recipe: int) -> int:
        return plan(candidates(n), Recipe(**recipe), seconds_per_step=one_second).rungs[1].until_step  # type: ignore[arg-type]

    assert first(4, total_steps=160, warmup_steps=30) == 80  # 40 is below 60
    assert first(80, total_steps=1600, warmup_steps=0) == 100  # 50 is below 1600 / 16


def test_more_probe_survivors_than_candidates_are_all_of_them_and_none_is_one() -> None:
    def passing(wanted: int) -> int:
        recipe = Recipe(total_steps=100)
        return plan(candidates(6), recipe, seconds_per_step=one_second, probe_survivors=wanted).rungs[0].n_survivors

    assert [passing(9), passing(0)] == [6, 1]


@pytest.mark.parametrize("n", [2, 5, 13, 30])
def test_hyperband_races_as_many_as_it_plans(n: int) -> None:
    made = plan_by_policy(candidates(n), Recipe(total_steps=80), seconds_per_step=one_second, policy="hyperband")
    points = made.trials[0].eval_steps
    runs = {
        one.candidate.model: Progress(80, points, tuple(place + point / 100 for point in points), 0.0, 0.0)
        for place, one in enumerate(made.trials)
    }
    assert [len(raced) for raced in rehearse(made, runs).raced] == [rung.n_candidates for rung in made.rungs[1:]]


def test_a_budget_too_small_to_probe_all_drops_the_last_recalled() -> None:
    extra = Overhead(probe_steps=50)
    recipe = Recipe(total_steps=100)
    result = plan(candidates(3), recipe, seconds_per_step=one_second, overhead=extra, budget_seconds=210)
    assert [trial.candidate.model for trial in result.trials] == ["org/m00", "org/m01"]
    assert "for the budget: 2 of 3 candidates are probed" in result.notes


def test_a_budget_lets_fewer_pass_the_probe_and_says_so() -> None:
    recipe = Recipe(total_steps=100, warmup_steps=5)
    result = plan(candidates(8), recipe, seconds_per_step=one_second, budget_seconds=160)
    assert numbers(result) == [(8, 2, 0), (2, 1, 50), (1, 1, 100)]
    assert result.notes == ("for the budget: 2 instead of 4 candidates pass the probe",)


def test_a_tight_budget_shortens_the_first_rung_then_leaves_the_choice_to_the_probe() -> None:
    recipe = Recipe(total_steps=100, warmup_steps=5)
    short = plan(candidates(8), recipe, seconds_per_step=one_second, budget_seconds=130)
    least = plan(candidates(8), recipe, seconds_per_step=one_second, budget_seconds=100)
    assert numbers(short) == [(8, 2, 0), (2, 1, 25), (1, 1, 100)]
    assert "the first rung ends at step 25" not in " ".join(least.notes)
    assert numbers(least) == [(8, 1, 0), (1, 1, 100)]
    assert "the probe alone decides" in least.notes[-1]


def test_a_candidate_that_could_never_finish_is_left_out_by_name() -> None:
    rates = {"org/m00": 100.0, "org/m01": 1.0}
    result = plan(candidates(2), Recipe(total_steps=100), seconds_per_step=rates, budget_seconds=200)
    assert [trial.candidate.model for trial in result.trials] == ["org/m01"]
    assert "org/m00" in result.notes[0]


def test_a_budget_below_one_full_run_is_refused_with_numbers() -> None:
    rates = {"org/m00": 1.0, "org/m01": 0.5}
    with pytest.raises(
        BudgetError, match=r"got a budget of 10\.0 s, wanted at least 50\.0 s .*org/m01.*give more time"
    ):
        plan(candidates(2), Recipe(total_steps=100), seconds_per_step=rates, budget_seconds=10)


@pytest.mark.parametrize("policy", get_args(Policy))
@pytest.mark.parametrize("stops", [None, (20, 40, 80)])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_a_budget_for_one_full_run_is_enough_for_every_policy(
    n: int, stops: tuple[int, ...] | None, policy: Policy
) -> None:
    recipe, pool = Recipe(total_steps=80, warmup_steps=4), candidates(n)
    made = partial(plan_by_policy, recipe=recipe, seconds_per_step=lambda _: 0.1, overhead=Overhead(1.5))
    least = made(pool[:1]).worst_seconds
    result = made(pool, policy=policy, stops=stops, budget_seconds=least)
    assert result.worst_seconds <= least
    assert [(rung.n_candidates, rung.until_step) for rung in result.rungs[1:]] == [(1, 80)]
    whole = Progress(80, result.trials[0].eval_steps, (0.5,) * len(result.trials[0].eval_steps), 0.0, 0.0)
    assert [len(raced) for raced in rehearse(result, {one.model: whole for one in pool}).raced] == [1]


def test_stops_that_the_budget_has_no_room_for_are_named() -> None:
    result = plan(
        candidates(1), Recipe(total_steps=80), seconds_per_step=one_second, overhead=Overhead(2.0), stops=(20, 40, 80),
        budget_seconds=83,
    )  # fmt: skip
    assert numbers(result) == [(1, 1, 0), (1, 1, 80)]
    assert result.notes == ("for the budget: one stop, at step 80, instead of those at 20, 40, 80",)


def test_a_cost_that_is_no_number_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"got a worst case of nan s .* org/m00, wanted at most inf s"):
        plan(candidates(2), Recipe(), seconds_per_step=one_second, overhead=Overhead(math.nan))


@pytest.mark.parametrize(
    ("names", "rate", "stops", "said"),
    [
        ((), 1.0, None, "no candidates"),
        (("a", "a"), 1.0, None, "got a more than once"),
        (("a",), 0.0, None, "0.0 seconds per step for a"),
        (("a",), math.nan, None, "nan seconds per step for a"),
        (("a",), 1.0, (50, 10), "ascending"),
        (("a",), 1.0, (), "ascending"),
        (("a",), 1.0, (10, 50), "the last of them 100"),
    ],
)
def test_impossible_input_is_refused(
    names: tuple[str, ...], rate: float, stops: tuple[int, ...] | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        plan([Candidate(name) for name in names], Recipe(), seconds_per_step=dict.fromkeys(names, rate), stops=stops)


def test_evaluation_points_halve_the_widest_gap() -> None:
    assert eval_steps(100, (25, 50, 100), 5) == (12, 25, 50, 75, 100)
    assert eval_steps(3, (3,), 8) == (1, 2, 3)
    assert eval_steps(8, (1, 2, 3, 4, 8), 2) == (1, 2, 3, 4, 8)


@settings(max_examples=300, deadline=None)
@given(
    rates=st.lists(st.floats(1e-3, 50), min_size=1, max_size=20),
    total=st.integers(1, 500),
    workers=st.integers(1, 4),
    budget=st.floats(0.01, 50_000),
    extra=st.builds(Overhead, *[st.floats(0, 20)] * 4),
)
def test_no_schedule_exceeds_its_budget(
    rates: list[float], total: int, workers: int, budget: float, extra: Overhead
) -> None:
    pool = candidates(len(rates))
    by_model = {candidate.model: rate for candidate, rate in zip(pool, rates, strict=True)}
    recipe = Recipe(total_steps=total)
    try:
        result = plan(pool, recipe, seconds_per_step=by_model, overhead=extra, workers=workers, budget_seconds=budget)
    except BudgetError:
        assert min(rates) * total + extra.start_seconds > budget - 50 * (20 + 20 + 8 * 20)
        return
    assert result.worst_seconds <= budget
    assert result.rungs[-1].until_step == total
    assert result.rungs[0].n_candidates == len(result.trials)
    for before, after in zip(result.rungs, result.rungs[1:], strict=False):
        assert after.n_candidates == before.n_survivors <= before.n_candidates
        assert after.until_step > before.until_step


@given(rates=st.lists(st.floats(1e-3, 50), min_size=1, max_size=20), total=st.integers(1, 500))
def test_the_expected_cost_lies_within_the_worst(rates: list[float], total: int) -> None:
    pool = candidates(len(rates))
    by_model = {candidate.model: rate for candidate, rate in zip(pool, rates, strict=True)}
    result = plan(pool, Recipe(total_steps=total), seconds_per_step=by_model)
    assert result.expected_seconds <= result.worst_seconds * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(
    rates=st.lists(st.floats(1e-3, 50), min_size=2, max_size=12), total=st.integers(2, 200), workers=st.integers(1, 5)
)
def test_a_race_is_expected_to_take_no_longer_than_its_worst(rates: list[float], total: int, workers: int) -> None:
    pool = candidates(len(rates))
    by_model = {candidate.model: rate for candidate, rate in zip(pool, rates, strict=True)}
    result = plan_by_policy(pool, Recipe(total_steps=total), seconds_per_step=by_model, workers=workers, price=0.0)
    assert result.expected_seconds <= result.worst_seconds * (1 + 1e-9)
    assert result.expected_steps is not None
    assert result.expected_steps <= planned_steps(result)


def test_a_race_takes_as_long_as_its_slow_piece_and_one_that_comes_back_goes_on_where_it_was() -> None:
    terms = schedule._Terms(Recipe(total_steps=40), {"org/m00": 10.0, "org/m01": 0.1}, Overhead(), 1, 2)
    made = plan_by_policy(
        candidates(2), Recipe(total_steps=40), seconds_per_step=terms.rates, stops=(10, 20, 40), eval_points=1
    )
    race = Rehearsal((("org/m00", "org/m01"), ("org/m00",), ("org/m01",)), "org/m01")
    assert schedule._spent(made, race, terms) == ([20, 10, 30], pytest.approx([100.0, 100.0, 3.0]))


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("budget", [None, 70.0, 1000.0])
def test_racing_is_planned_as_halving_is_and_expected_to_cost_no_more(n: int, budget: float | None) -> None:
    racing, halving = (
        plan_by_policy(
            candidates(n), Recipe(total_steps=60), seconds_per_step=one_second, budget_seconds=budget, policy=policy
        )
        for policy in ("racing", "successive_halving")
    )
    assert numbers(racing) == numbers(halving)
    assert racing.worst_seconds == halving.worst_seconds
    assert racing.expected_seconds <= halving.expected_seconds + 1e-9
    assert racing.expected_steps is not None
    assert racing.expected_steps <= planned_steps(racing)


def test_rates_are_compared_at_a_point_of_their_own_where_no_stop_is_as_early() -> None:
    recipe = Recipe(total_steps=160, warmup_steps=5, rate_factors=(0.3, 1.0, 3.0))
    made = plan_by_policy(candidates(3), recipe, seconds_per_step=one_second)
    assert [rung.until_step for rung in made.rungs[1:]] == [80, 160]
    assert made.trials[0].eval_steps == (10, 80, 160)
    assert search_end(made.trials[0]) == 10


def test_a_race_is_expected_to_take_what_its_likely_winner_does_and_not_an_average_candidate() -> None:
    pool, rates = candidates(4), {"org/m00": 10.0, "org/m01": 1.0, "org/m02": 1.0, "org/m03": 1.0}
    probes = {"org/m00": 0.9, "org/m01": 0.2, "org/m02": 0.2, "org/m03": 0.2}
    made = plan_by_policy(
        pool, Recipe(total_steps=60), seconds_per_step=rates, probes=probes, overhead=Overhead(test_steps=1)
    )
    assert 600 < made.expected_seconds < made.worst_seconds


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"policy": "succesive_halving"}, "got the policy 'succesive_halving', wanted one of brute_force"),
        ({"price": -1.0}, "got a price of -1.0"),
        ({"price": math.nan}, "got a price of nan"),
        ({"price": math.inf}, "got a price of inf"),
    ],
)
def test_a_policy_or_price_that_is_none_is_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan(candidates(2), Recipe(), seconds_per_step=one_second, **how)
