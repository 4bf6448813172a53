import pytest

from selection.chart import how_it_ended, short_name, spread
from selection.records import Candidate, DroppedBecause, Progress, Standing


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
