from collections.abc import Mapping

import pytest

from selection.planning import LEAST_GAIN, Order, Prospects, ProxyPolicy, Turns, order_by, representatives
from selection.records import Candidate

MEANS = {"a1": 2.0, "a2": 1.5, "b1": 1.0, "b2": 1.8, "lone": -3.0}
COMMUNITIES = {"a1": "A", "a2": "A", "b1": "B", "b2": "B"}


def played(order: Order | None, seconds: Mapping[str, float], budget: float | None = None) -> list[str]:
    """Who has a turn where each takes as long as expected."""
    now = [0.0]
    turns = Turns(
        [Candidate(model) for model in seconds],
        order,
        seconds.__getitem__,
        lambda: None if budget is None else budget - now[0],
    )
    for candidate in turns:
        now[0] += seconds[candidate.model]
    assert budget is None or now[0] <= budget
    assert {*turns.begun, *turns.not_begun} == set(seconds)
    return turns.begun


def test_the_greatest_gain_per_second_comes_first_and_what_gains_nothing_never() -> None:
    prospects = Prospects(MEANS, {"a1": 0.2, "a2": 0.3, "b1": 0.1, "b2": LEAST_GAIN / 2})
    assert played(order_by("gain", prospects), dict.fromkeys(MEANS, 1.0)) == ["a2", "a1", "b1"]
    assert played(order_by("gain", prospects), dict.fromkeys(MEANS, 1.0) | {"a2": 10}) == ["a1", "b1", "a2"]


def test_the_first_quarter_of_the_time_goes_to_one_of_each_community() -> None:
    prospects = Prospects(MEANS, {"a1": 0.3, "a2": 0.2, "b1": 0.1, "b2": 0.05}, COMMUNITIES)
    seconds = dict.fromkeys(MEANS, 1.0)
    assert played(order_by("gain", prospects, 8.0), seconds, 8.0) == ["a1", "b1", "a2", "b2"]
    assert played(order_by("gain", prospects, 4.0), seconds, 4.0) == ["a1", "a2", "b1", "b2"]


def test_representatives_are_the_best_expected_of_each_community_and_loners_their_own() -> None:
    prospects = Prospects(MEANS, {}, COMMUNITIES)
    assert representatives(prospects) == ["a1", "b2", "lone"]
    assert played(order_by("representatives", prospects), dict.fromkeys(MEANS, 1.0)) == ["a1", "b2", "lone"]
    assert played(order_by("representatives", prospects), dict.fromkeys(MEANS, 1.0) | {"b2": 9}, 5) == ["a1", "lone"]


def test_all_are_taken_as_given_and_those_that_do_not_fit_are_passed_over() -> None:
    seconds = {"a": 3.0, "b": 4.0, "c": 2.0}
    assert played(order_by("all", Prospects({}, {})), seconds) == ["a", "b", "c"]
    assert played(order_by("all", Prospects({}, {})), seconds, budget=5.0) == ["a", "c"]


@pytest.mark.parametrize("policy", ["gain", "representatives", "all"])
def test_an_endless_budget_is_no_budget(policy: ProxyPolicy) -> None:
    prospects, seconds = Prospects(MEANS, dict.fromkeys(MEANS, 0.1)), dict.fromkeys(MEANS, 1.0)
    assert played(order_by(policy, prospects, 1e9), seconds, 1e9) == played(order_by(policy, prospects), seconds)


def test_seconds_are_asked_anew_before_each_turn() -> None:
    expected = {"a": 1.0, "b": 3.0, "c": 3.0}
    now = [0.0]
    turns = Turns([Candidate(model) for model in expected], None, expected.__getitem__, lambda: 8.0 - now[0])
    for _ in turns:
        now[0] += 1
        expected.update(b=10.0)  # the first one showed that b takes longer
    assert turns.begun == ["a", "c"]
    assert turns.not_begun == ("b",)


def test_where_the_first_guess_is_too_high_one_is_tried_and_none_where_it_is_far_too_high() -> None:
    seconds = {"a": 30.0, "b": 20.0}
    left = [4.0]
    turns = Turns([Candidate(model) for model in seconds], None, seconds.__getitem__, lambda: left[0])
    assert [one.model for one in turns] == ["a"]  # then, still expected to take longer than there is, none
    left = [1.0]
    assert list(Turns([Candidate(model) for model in seconds], None, seconds.__getitem__, lambda: left[0])) == []


def test_the_length_is_that_of_all_candidates_each_once() -> None:
    turns = Turns([Candidate("a"), Candidate("a"), Candidate("b")], None, lambda model: 1.0, lambda: None)
    assert len(turns) == 2
    assert [one.model for one in turns] == ["a", "b"]
