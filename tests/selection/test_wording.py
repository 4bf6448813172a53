import math

import pytest

from selection.wording import duration, number, percent, plus_minus


def test_scores_have_three_decimals_and_a_dash_where_there_is_none() -> None:
    assert [number(score) for score in (0.84159, None, math.nan)] == ["0.842", "–", "–"]
    assert plus_minus(0.84159, 0.0258) == "0.842 ± 0.026"
    assert plus_minus(0.84159, None) == "0.842"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.25, "0.2 s"), (9.96, "10 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (3599.6, "1 h 0 min")],
)
def test_durations_use_the_units_that_matter(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_chance_is_never_said_to_be_none_or_certain() -> None:
    assert [percent(share) for share in (0.0, 0.004, 0.346, 0.99, 1.0)] == [
        "under 1 %", "under 1 %", "35 %", "99 %", "over 99 %",
    ]  # fmt: skip
