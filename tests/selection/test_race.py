from selection import race as races
from selection.race import CutOff, Decided, Event, Failed, Probed, Race, Revived, Trained, replay, standings
from selection.records import Candidate, Progress, Recipe
from selection.schedule import plan

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
