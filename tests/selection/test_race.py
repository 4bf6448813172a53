from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import truncnorm

from selection import race as races
from selection.policies import forecast_at, survivors
from selection.race import CutOff, Decided, Event, Failed, Probed, Race, Revived, Trained, replay, standings
from selection.records import Candidate, Estimate, Expected, Policy, Progress, Recipe
from selection.schedule import Learnt, plan
from selection.trends import Forecast

PLAN = plan([Candidate(name) for name in "abcd"], Recipe(total_steps=100, warmup_steps=5), seconds_per_step=lambda _: 1)
OPENING: list[Event] = [Probed({"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}), Decided(0, ("a", "b", "c", "d"), ())]


def trained(rung: int, model: str, *curve: float) -> Trained:
    steps = (25, 50, 100)[: len(curve)]
    return Trained(rung, model, Progress(steps[-1], steps, curve, 1.0, 1.0))


def after(*events: Event) -> Race:
    return replay(PLAN, [*OPENING, *events])


def test_a_race_waits_for_everyone_active_who_has_not_failed() -> None:
    race = after(trained(1, "a", 0.5), Failed(1, "b", "gated"))
    assert race.waiting() == ["c", "d"]
    assert race.current.until_step == 25


def test_survivors_wait_for_the_next_rung() -> None:
    first = [trained(1, model, score) for model, score in zip("abcd", (0.1, 0.2, 0.3, 0.4), strict=True)]
    race = after(*first, Decided(1, ("d", "c"), ("b", "a")))
    assert race.waiting() == ["d", "c"]
    assert race.reserves() == ["b", "a"]


def test_the_latest_dropped_come_back_first() -> None:
    first = [trained(1, model, score) for model, score in zip("abcd", (0.1, 0.2, 0.3, 0.4), strict=True)]
    second = [trained(2, "d", 0.4, 0.6), trained(2, "c", 0.3, 0.5)]
    race = after(*first, Decided(1, ("d", "c"), ("b", "a")), *second, Decided(2, ("d",), ("c",)), Failed(3, "d", "nan"))
    assert race.reserves() == ["c", "b", "a"]
    back = after(
        *first, Decided(1, ("d", "c"), ("b", "a")), *second, Decided(2, ("d",), ("c",)), Failed(3, "d", "nan"),
        Revived(3, ("c",)),
    )  # fmt: skip
    assert back.waiting() == ["c"]
    assert back.reserves() == ["b", "a"]


def test_one_dropped_twice_is_in_reserve_once() -> None:
    first = [trained(1, model, score) for model, score in zip("abcd", (0.1, 0.2, 0.3, 0.4), strict=True)]
    second = [trained(2, "d", 0.4, 0.6), trained(2, "a", 0.1, 0.5)]
    race = after(*first, Decided(1, ("d", "a"), ("c", "b")), *second, Decided(2, ("c",), ("d", "a", "b")))
    assert race.reserves() == ["d", "a", "b"]


def test_after_a_cut_off_candidates_compare_at_the_step_all_of_them_reached() -> None:
    first = [trained(1, model, score) for model, score in zip("abcd", (0.1, 0.2, 0.3, 0.4), strict=True)]
    race = after(*first, Decided(1, ("d", "c"), ("b", "a")), trained(2, "c", 0.3, 0.9), CutOff(2, 60))
    assert race.waiting() == []
    assert race.finalists() == ("d", "c")  # at step 25, though c has shown more since


def test_after_a_cut_off_in_the_first_rung_only_those_who_trained_may_win() -> None:
    race = after(trained(1, "c", 0.3), trained(1, "d", 0.4), CutOff(1, 60))
    assert race.finalists() == ("d", "c")
    ends = standings(race)
    assert [one.candidate.model for one in ends] == ["d", "c", "a", "b"]
    assert [one.dropped for one in ends] == [None, "cut off", "cut off", "cut off"]


def test_a_tested_winner_that_then_fails_is_no_longer_the_winner() -> None:
    race = after(races.Tested("a", 0.5), Failed(3, "a", "disk"))
    assert race.tested is None


def test_the_latest_to_fail_comes_before_those_who_failed_earlier() -> None:
    first = [trained(1, "c", 0.1), trained(1, "d", 0.0)]
    ends = standings(after(Failed(1, "a", "gated"), Failed(2, "b", "nan"), *first))
    assert [one.candidate.model for one in ends] == ["c", "d", "b", "a"]


def test_after_a_cut_off_who_never_trained_still_comes_before_who_failed_the_probe() -> None:
    eight = plan([Candidate(name) for name in "abcdefgh"], PLAN.trials[0].recipe, seconds_per_step=lambda _: 1)
    opening = [Probed(dict.fromkeys("abcdefgh")), Decided(0, ("a", "b", "c", "d"), ("e", "f", "g", "h"))]
    ends = standings(replay(eight, [*opening, trained(1, "c", 0.1), CutOff(1, 60)]))
    assert [one.candidate.model for one in ends] == ["c", "a", "b", "d", "e", "f", "g", "h"]


def test_who_came_to_the_end_before_the_clock_was_beaten_and_not_cut_off() -> None:
    two_rungs = plan(
        [Candidate(name) for name in "abc"], PLAN.trials[0].recipe, seconds_per_step=lambda _: 1, stops=[100]
    )
    opening = [Probed({}), Decided(0, ("a", "b", "c"), ())]
    ends = standings(
        replay(two_rungs, [*opening, trained(1, "a", 0.1, 0.2, 0.3), trained(1, "b", 0.1, 0.2, 0.4), CutOff(1, 60)])
    )
    assert [(one.candidate.model, one.dropped) for one in ends] == [("b", None), ("a", None), ("c", "cut off")]
    assert ends[1].reason == "below the winner at step 100"


FIRST = [trained(1, model, score) for model, score in zip("abcd", (0.1, 0.2, 0.3, 0.4), strict=True)]
STOP = Decided(1, ("d", "c"), ("b", "a"))
SECOND = [trained(2, "d", 0.4, 0.5), trained(2, "c", 0.3, 0.45)]


def expected(race: Race) -> dict[str, tuple[Expected, ...]]:
    return {one.candidate.model: one.expected for one in standings(race)}


def test_each_decision_says_of_everyone_what_it_expected_and_who_went_on() -> None:
    found = expected(after(*FIRST, STOP, *SECOND))
    assert [(one.rung, one.raced, one.went_on) for one in found["d"]] == [(0, True, True), (1, True, True)]
    assert [(one.rung, one.raced, one.went_on) for one in found["a"]] == [(0, True, True), (1, True, False)]
    for place in (0, 1):
        assert sum(of[place].chance for of in found.values()) == pytest.approx(1.0)
    by_probe = [end.score for model in "abcd" if (end := found[model][0].end)]
    assert by_probe == sorted(by_probe, reverse=True)
    assert len(set(by_probe)) == 4


def test_an_expected_end_is_the_forecast_the_decision_went_by_with_its_90_percent_interval() -> None:
    facts = after(*FIRST).facts()
    made = forecast_at(facts, facts.alive)
    for place, model in enumerate(facts.alive):
        end = expected(after(*FIRST, STOP))[model][1].end
        assert end is not None
        bounds = (-made.mean / made.sd)[place], ((1 - made.mean) / made.sd)[place]
        cut = truncnorm(*bounds, loc=made.mean[place], scale=made.sd[place])
        assert end.score == pytest.approx(cut.mean(), abs=1e-6)
        assert cut.cdf(end.high) - cut.cdf(end.low) == pytest.approx(0.9, abs=1e-6)


def made_of(mean: float, sd: float, metric: str = "accuracy") -> Estimate:
    one = np.array([[mean]])
    return races._ends(Forecast(("a",), np.ones(1), one, np.array([[[sd**2]]]), True), metric)["a"]


def test_an_end_far_from_the_bounds_is_the_mean_and_1_64_standard_deviations() -> None:
    end = made_of(0.6, 0.05)
    assert (end.score, end.low, end.high) == pytest.approx((0.6, 0.6 - 1.6449 * 0.05, 0.6 + 1.6449 * 0.05), abs=1e-4)


def test_an_end_near_a_bound_keeps_off_it_while_its_interval_may_reach_it() -> None:
    # of N(1.05, .083) what lies below 1: mean 1.05 - .083 phi(.602) / Phi(-.602), its lowest tenth below .8905
    end = made_of(1.05, 0.083)
    assert (end.score, end.low, end.high) == pytest.approx((0.949, 0.8905, 1.0), abs=1e-3)
    below = made_of(-0.05, 0.083)
    assert (below.score, below.low, below.high) == pytest.approx((0.051, 0.0, 0.1095), abs=1e-3)


def test_the_better_forecast_of_two_beyond_the_bound_still_ends_higher() -> None:
    ends = [made_of(mean, 0.05) for mean in (0.97, 1.02, 1.2, 3.0)]
    assert [end.score for end in ends] == sorted({end.score for end in ends})
    assert all(end.low < end.score < end.high == 1.0 for end in ends)


@pytest.mark.parametrize(("mean", "sd"), [(0.5, 0.0), (1.5, 0.0), (-2.0, 1e-12), (0.5, 50.0)])
def test_a_forecast_of_any_width_is_a_score(mean: float, sd: float) -> None:
    end = made_of(mean, sd)
    assert 0.0 <= end.low <= end.score <= end.high <= 1.0


def test_one_dropped_is_weighed_again_at_later_stops_but_does_not_race_there() -> None:
    found = expected(after(*FIRST, STOP, *SECOND, Decided(2, ("b",), ("d", "c"))))
    assert [(one.rung, one.raced, one.went_on) for one in found["b"]][1:] == [(1, True, False), (2, False, True)]
    assert [(one.rung, one.raced, one.went_on) for one in found["a"]][1:] == [(1, True, False), (2, False, False)]


def test_what_was_expected_is_not_changed_by_what_came_later() -> None:
    events = [*FIRST, STOP, *SECOND, Decided(2, ("b",), ("d", "c"))]
    then = expected(after(*events))
    assert expected(after(*events, trained(3, "b", 0.2, 0.95, 0.99))) == then


def test_one_that_failed_is_expected_nothing_of_from_then_on() -> None:
    found = expected(after(*FIRST, STOP, Failed(2, "d", "nan"), SECOND[1], Decided(2, ("c",), ())))
    assert [one.rung for one in found["d"]] == [0, 1]
    assert [one.rung for one in found["c"]] == [0, 1, 2]


def test_without_any_score_there_are_chances_and_no_expected_end() -> None:
    blind: list[Event] = [Probed(dict.fromkeys("abcd")), Decided(0, ("a", "b"), ("c", "d"))]
    for (one,) in expected(replay(PLAN, [*blind, *FIRST[:2]])).values():
        assert one.end is None
        assert 0.15 < one.chance < 0.35


def test_an_expected_end_is_a_score_that_the_metric_can_have() -> None:
    for metric, score, most in (("accuracy", 0.99, 1.0), ("mse", -0.01, 0.0)):
        trials = tuple(replace(trial, recipe=replace(trial.recipe, metric=metric)) for trial in PLAN.trials)
        first = [trained(1, model, score) for model in "abcd"]
        race = replay(replace(PLAN, trials=trials), [Probed(dict.fromkeys("abcd")), OPENING[1], *first, STOP])
        ends = [of[1].end for of in expected(race).values()]
        assert [(end.low < score - 0.01, end.high) for end in ends if end] == [(True, most)] * 4


def test_a_finalist_with_the_higher_score_that_does_not_win_is_told_why() -> None:
    recalled = dict(zip("abcd", (-1.0, -1.0, 3.0, -3.0), strict=True))
    made = replace(PLAN, trials=tuple(replace(one, recalled=recalled[one.candidate.model]) for one in PLAN.trials))
    last = [trained(3, "d", 0.4, 0.5, 0.6), trained(3, "c", 0.3, 0.45, 0.599)]
    opening = [Probed(dict.fromkeys("abcd")), *OPENING[1:], *FIRST, STOP, *SECOND, Decided(2, ("d", "c"), ())]
    race = replay(made, [*opening, *last])
    assert race.finalists() == ("c", "d")
    ends = standings(race)
    assert (ends[1].candidate.model, ends[1].dropped) == ("d", None)
    assert ends[1].reason == "expected to be below the winner, by all that is known at step 100"
    by_score = replay(replace(made, policy="successive_halving"), [*opening, *last])
    assert by_score.finalists() == ("d", "c")
    assert standings(by_score)[1].reason == "below the winner at step 100"
    tied = [trained(3, "d", 0.4, 0.5, 0.6), trained(3, "c", 0.3, 0.45, 0.6)]
    alike = replay(replace(made, policy="successive_halving"), [*opening, *tied])
    assert standings(alike)[1].reason == "below the winner at step 100"  # by the probe, and by name


def test_other_policies_expect_nothing() -> None:
    halving = replay(replace(PLAN, policy="successive_halving"), [*OPENING, *FIRST, STOP, *SECOND])
    assert set(expected(halving).values()) == {()}
    assert standings(halving)[-1].reason == "place 4 of 4 at step 25; 2 went on"


def why(policy: Policy, scores: dict[str, float], going_on: str) -> dict[str, str | None]:
    """The reasons of those dropped at the first stop of a race of these scores."""
    recipe = Recipe(total_steps=100, warmup_steps=5)
    made = plan([Candidate(name) for name in scores], recipe, seconds_per_step=lambda _: 1, policy=policy)
    step = made.rungs[1].until_step
    seen = [Trained(1, model, Progress(step, (step,), (score,), 1.0, 1.0)) for model, score in scores.items()]
    opening = [Probed(dict.fromkeys(scores)), Decided(0, tuple(scores), ()), *seen]
    assert survivors(replay(made, opening).facts()) == tuple(going_on)
    ends = standings(replay(made, [*opening, Decided(1, tuple(going_on), tuple(set(scores) - set(going_on)))]))
    return {one.candidate.model: one.reason for one in ends if one.dropped}


def test_who_was_dropped_by_its_bracket_is_told_its_place_by_score_and_in_the_bracket() -> None:
    # a and c are one bracket, of which half goes on; b is judged later
    said = why("hyperband", {"a": 0.8, "b": 0.5, "c": 0.7}, "ab")
    assert said == {"c": "place 2 of 3 at step 50; 2 went on, 1 of the 2 in its bracket"}


def test_who_was_dropped_by_its_trend_is_told_so_beside_its_place() -> None:
    def trends(end: float) -> tuple[tuple[tuple[float, float], ...], ...]:
        return (((0.5, end),),) * 8

    ends = {"a": 0.9, "b": 0.7, "c": 0.95, "d": 0.5}
    clusters = {model: trends(end) for model, end in ends.items()}
    recipe = Recipe(total_steps=100, warmup_steps=5)
    made = plan(
        [Candidate(name) for name in ends],
        recipe,
        seconds_per_step=lambda _: 1,
        policy="two_phase",
        learn=lambda _: Learnt(clusters=clusters),
    )
    scores = {"a": 0.6, "b": 0.5, "c": 0.4, "d": 0.3}
    seen = [Trained(1, model, Progress(20, (20,), (score,), 1.0, 1.0)) for model, score in scores.items()]
    events = [Probed(dict.fromkeys(ends)), Decided(0, tuple(ends), ()), *seen, Decided(1, ("a", "c"), ("b", "d"))]
    assert survivors(replay(made, events[:-1]).facts()) == ("a", "c")
    reasons = {one.candidate.model: one.reason for one in standings(replay(made, events))}
    assert reasons["d"] == "place 4 of 4 at step 20; 2 went on"
    assert reasons["b"] == (
        "place 2 of 4 at step 20; 2 went on; behind another in score and in the end that its trend foretells"
    )
