"""Tables as a terminal shows them."""

from collections.abc import Sequence

import pytest

from selection.records import Candidate, Pick, Recall
from zoo_graph.cli.output import table
from zoo_graph.cli.recommendation import recall_lines


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.676, 0.68271, 1.0, 0.0], ["0.6760", "0.6827", "1.0000", "0.0000"]),
        ([81.5, 79.0, 61.25], ["81.50", "79.00", "61.25"]),
        ([1.0, 2.0, 30.0], ["1", "2", "30"]),
        ([123456.7, 12.0], ["123457", "12"]),
        ([123456.7, 0.5], ["1.235e+05", "0.5"]),
        ([0.5, None, -0.25], ["0.5000", "", "-0.2500"]),
        ([0.5, 3, "x"], ["0.5000", "3", "x"]),
        ([0.5, 1e-7], ["0.5", "1e-07"]),
        ([0.5, float("nan"), float("inf")], ["0.5000", "nan", "inf"]),
        ([1e300, 0.5], ["1e+300", "0.5"]),
        ([5e-324, 1.5e-323], ["4.941e-324", "1.482e-323"]),
    ],
)
def test_the_numbers_of_a_column_have_as_many_decimals_each(values: Sequence[object], shown: Sequence[str]) -> None:
    assert [line.strip() for line in table(["x"], [[value] for value in values])[2:]] == list(shown)


def test_a_table_of_no_rows_has_its_head() -> None:
    assert table(["a", "bb"], []) == ["a  bb", "-  --"]


def pick(rank: int, tie: int) -> Pick:
    return Pick(rank, Candidate(f"m{rank}"), 0.5, 0.4, 0.6, "accuracy", tie, ())


def test_ties_among_the_picks_shown_are_told_as_ranges() -> None:
    picks = tuple(pick(rank, tie) for rank, tie in enumerate([1, 2, 2, 2, 2, 3, 3, 2], start=1))
    lines = recall_lines(Recall(picks, (), ()))[2:10]
    tied = [line.split("]")[1].strip() for line in lines]
    assert tied == ["", "3-5, 8", "2, 4, 5, 8", "2, 3, 5, 8", "2-4, 8", "7", "6", "2-5"]
