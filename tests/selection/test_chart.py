from dataclasses import replace

import pytest
from matplotlib.axes import Axes

from selection.chart import draw, how_it_ended, short_name, spread
from selection.records import Candidate, DroppedBecause, Outcome, Progress, Standing


def test_heights_that_are_too_near_move_apart_around_their_mean() -> None:
    assert spread([1.0, 1.0, 5.0], 1.0) == pytest.approx([2 / 3, 5 / 3, 14 / 3])
    assert spread([1.0, 3.0], 1.0) == [1.0, 3.0]
    assert spread([], 1.0) == []


def test_a_long_name_loses_its_middle() -> None:
    assert short_name("org/bert-base-uncased") == "bert-base-uncased"
    assert short_name("org/" + "a" * 20 + "b" * 20, 11) == "aaaaa…bbbbb"


@pytest.mark.parametrize(
    ("place", "rung", "dropped", "said"),
    [
        (1, 3, None, "won"),
        (2, 3, None, "raced to the end"),
        (2, 1, "dropped", "left at step 25"),
        (2, 0, "dropped", "left at the probe"),
        (2, 1, "cut off", "cut off at step 25"),
        (2, 2, "failed", "failed in rung 2"),
    ],
)
def test_every_end_has_its_words(place: int, rung: int, dropped: DroppedBecause | None, said: str) -> None:
    progress = Progress(25, (25,), (0.5,), 1.0, 1.0)
    assert how_it_ended(Standing(place, Candidate("a"), rung, progress, dropped=dropped)) == said


def lines_of(axes: Axes, style: str) -> list[tuple[list[float], list[float]]]:
    """x and y of the lines that have this marker, or this line style."""
    found = [line for line in axes.get_lines() if style in (line.get_marker(), line.get_linestyle())]
    return [(list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))) for line in found]


def test_each_candidate_has_its_expected_end_with_an_interval_in_the_column_of_its_place(raced: Outcome) -> None:
    _, beside = draw(raced).axes
    means = {x: y for (x,), (y,) in lines_of(beside, "o")}
    assert set(means) == {1, 2, 3, 4, 5}  # the sixth has failed
    whiskers = {xs[0]: ys for xs, ys in lines_of(beside, "-") if len(xs) == 2}
    for one in raced.standings[:5]:
        end = one.expected[-1].end
        assert end is not None
        assert means[one.place] == end.score
        assert whiskers[one.place] == [end.low, end.high]


def test_what_whole_runs_came_to_stands_beside_what_was_expected(raced: Outcome) -> None:
    _, beside = draw(raced).axes
    assert lines_of(beside, "D") == [([1.0], [0.65]), ([2.0], [0.95])]
    assert "test score expected at step 50" in beside.get_title()


def test_dotted_lines_lead_from_where_curves_stop_to_the_expected_ends(raced: Outcome) -> None:
    race, _ = draw(raced).axes
    ways = [(xs, ys) for xs, ys in lines_of(race, "--") if xs[0] != xs[1]]
    ends = {one.candidate.model: one.expected[-1].end for one in raced.standings}
    d, c = ends["org/d"], ends["org/c"]
    assert d is not None
    assert c is not None
    assert sorted(ways) == [([25.0, 100.0], [0.3, c.score]), ([50.0, 100.0], [0.45, d.score])]


def test_all_that_is_drawn_beside_the_race_lies_within_it(raced: Outcome) -> None:
    race, beside = draw(raced).axes
    low, high = race.get_ylim()
    assert race.get_ylim() == beside.get_ylim()
    drawn = [y for line in beside.get_lines() for y in map(float, line.get_ydata())]
    assert low <= min(drawn) < max(drawn) <= high


def test_a_race_that_expected_nothing_has_curves_alone(raced: Outcome) -> None:
    bare = replace(raced, standings=tuple(replace(one, expected=()) for one in raced.standings))
    assert len(draw(bare).axes) == 1
    blind = [replace(one, expected=tuple(replace(of, end=None) for of in one.expected)) for one in raced.standings]
    assert len(draw(replace(raced, standings=tuple(blind))).axes) == 1


def test_stops_say_who_went_on_and_who_came_back_and_texts_never_overlap(raced: Outcome) -> None:
    race, _ = draw(raced).axes
    said = {float(text.xy[0]): text.get_text() for text in race.texts if "→" in text.get_text()}
    assert said == {0.0: "probe 6 → 4", 25.0: "3 → 3, 1 back", 50.0: "3 → 2"}
    rungs = [replace(rung, until_step=step) for rung, step in zip(raced.plan.rungs, (0, 2, 4, 100), strict=True)]
    close = replace(raced, plan=replace(raced.plan, rungs=tuple(rungs)))
    texts = [text for text in draw(close).axes[0].texts if "→" in text.get_text()]
    assert [(text.get_text(), text.xyann[1]) for text in texts] == [("probe 6 → 4", 5), ("3 → 3, 1 back", 17)]


def test_a_stop_at_which_one_only_came_back_is_told_of(raced: Outcome) -> None:
    kept = [one for one in raced.standings if one.candidate.model != "org/c"]
    race, _ = draw(replace(raced, standings=tuple(kept))).axes
    assert "2 → 3, 1 back" in [text.get_text() for text in race.texts]
