"""What a race expected, and what came of it."""

from dataclasses import replace

import pytest

from selection.outlook import borne_out, estimate, last_end, reached, stops, when_leaving
from selection.records import Estimate, Expected, Outcome, Standing


def named(outcome: Outcome) -> dict[str, Standing]:
    return {one.candidate.model.removeprefix("org/"): one for one in outcome.standings}


def expecting(outcome: Outcome, **ends: Estimate | None) -> Outcome:
    """The race with other ends expected by its last decision."""
    last = outcome.standings[0].expected[-1]
    changed = {f"org/{name}": (replace(last, end=end),) for name, end in ends.items()}
    standings = [replace(one, expected=changed.get(one.candidate.model, ())) for one in outcome.standings]
    return replace(outcome, standings=tuple(standings))


def test_each_stop_names_who_went_on_the_best_expected_first_and_counts_the_others(raced: Outcome) -> None:
    first, second, third = stops(raced)
    assert [one.candidate.model for one, _ in first.went_on] == ["org/a", "org/b", "org/f", "org/c"]
    assert (first.n_raced, first.n_back, first.n_behind) == (6, 0, 2)
    assert {one.candidate.model for one, _ in second.went_on} == {"org/a", "org/b", "org/d"}
    assert (second.n_raced, second.n_back, second.n_behind) == (3, 1, 2)  # f has failed; c and e stay behind
    assert (third.n_raced, third.n_back, third.n_behind) == (3, 0, 3)
    for stop in (first, second, third):
        assert stop.chance_behind + sum(of.chance for _, of in stop.went_on) == pytest.approx(1.0)


def test_what_was_expected_when_leaving_is_of_the_decision_that_dropped_it(raced: Outcome) -> None:
    left = {name: when_leaving(one) for name, one in named(raced).items()}
    assert {name: of.rung for name, of in left.items() if of} == {"a": 2, "b": 2, "c": 1, "d": 2, "e": 0, "f": 0}


def test_all_but_the_failed_have_an_end_that_the_last_decision_expected(raced: Outcome) -> None:
    ends = {name: last_end(one) for name, one in named(raced).items()}
    assert [name for name, end in ends.items() if end is None] == ["f"]
    assert named(raced)["e"].expected[-1].rung == 2


def test_only_whole_runs_have_come_to_something(raced: Outcome) -> None:
    came = {name: reached(raced, one) for name, one in named(raced).items()}
    assert came == {"a": 0.65, "b": 0.95, "c": None, "d": None, "e": None, "f": None}


def test_whether_expectations_held_is_judged_by_the_winners_test_score_and_the_others_validation(
    raced: Outcome,
) -> None:
    near, far = Estimate(0.6, 0.5, 0.7), Estimate(0.3, 0.2, 0.4)
    said = borne_out(expecting(raced, a=near, b=near))
    assert said == (
        "expected at step 50 to end at 0.600 [0.500, 0.700], the winner came to 0.650 on the test part: inside the "
        "90 % interval; the other that raced to the end came out outside its own, by validation score"
    )
    assert "0.650 on the test part: outside" in (borne_out(expecting(raced, a=far)) or "")
    best, second, *rest = expecting(raced, a=near, b=near).standings
    three = replace(raced, standings=(best, second, replace(second, place=3, progress=best.progress), *rest))
    assert "of the 2 others that raced to the end 1 came out inside theirs" in (borne_out(three) or "")


def test_the_verdict_is_of_the_numbers_as_they_are_shown(raced: Outcome) -> None:
    end = Estimate(0.7, 0.6503, 0.8)  # shown as [0.650, 0.800]
    assert "0.650 on the test part: inside" in (borne_out(replace(expecting(raced, a=end), test_score=0.6499)) or "")
    assert "0.649 on the test part: outside" in (borne_out(replace(expecting(raced, a=end), test_score=0.6491)) or "")


def test_nothing_is_said_of_a_race_that_expected_nothing_or_was_cut_off(raced: Outcome) -> None:
    assert borne_out(expecting(raced)) is None
    assert borne_out(expecting(raced, a=None, b=None)) is None
    cut = [replace(one, progress=replace(one.progress, step=50)) for one in raced.standings]
    assert borne_out(replace(raced, standings=tuple(cut))) is None


def test_an_end_reads_as_score_and_interval() -> None:
    assert estimate(Estimate(0.6123, 0.5, 0.7)) == "0.612 [0.500, 0.700]"
    assert estimate(None) == "–"


def test_stops_without_any_known_level_are_ordered_by_chance(raced: Outcome) -> None:
    blind = [replace(one, expected=(Expected(0, True, True, one.place / 10, None),)) for one in raced.standings]
    (stop,) = stops(replace(raced, standings=tuple(blind)))
    assert [one.place for one, _ in stop.went_on] == [6, 5, 4, 3, 2, 1]
