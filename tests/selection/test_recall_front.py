import numpy as np
import pytest

from selection.errors import InputError
from selection.recall import Evidence, recall
from selection.recall.front import costs, pareto_front
from selection.records import Candidate

SCORES = np.array([[0.9, 0.91, 0.92], [0.8, 0.81, 0.82], [0.85, 0.86, 0.84], [0.5, 0.4, 0.45], [0.7, 0.7, 0.7]])


def zoo(sizes: tuple[int | None, ...], seconds: tuple[float, ...] | None = None) -> Evidence:
    candidates = tuple(Candidate(name, n_parameters=size) for name, size in zip("abcde", sizes, strict=True))
    spent = None if seconds is None else np.array(seconds)
    return Evidence(candidates, ("x", "y", "z"), SCORES, seconds=spent)


def test_the_front_holds_who_is_expected_best_of_all_that_cost_no_more():
    assert pareto_front([0, 2, 1, 4, 3], np.array([9.0, 3.0, 5.0, 5.0, np.nan])) == [0, 2, 1]
    assert pareto_front([], np.zeros(0)) == []


def test_recall_along_size_ends_at_the_smallest_and_skips_who_is_larger_and_worse():
    found = recall(zoo((900, 700, 100, 50, 400)), 5, along="n_parameters")
    assert [pick.model for pick in found] == ["a", "c", "d"]
    assert "the picks are the Pareto front of expected score against n_parameters, best expected first" in found.notes


def test_recall_along_measured_seconds():
    found = recall(zoo((None,) * 5, (5.0, 2.0, 4.0, float("nan"), 1.0)), 3, along="seconds")
    assert [pick.model for pick in found] == ["a", "c", "b"]


@pytest.mark.parametrize("along", ["n_parameters", "seconds"])
def test_a_cost_that_nobody_knows_is_refused(along):
    with pytest.raises(InputError, match=f"got no {along} of any candidate"):
        recall(zoo((None,) * 5), 3, along=along)


def test_an_unknown_cost_is_refused():
    with pytest.raises(InputError, match="got the cost 'flops'"):
        costs(zoo((1,) * 5), "flops")
