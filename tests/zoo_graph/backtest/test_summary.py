"""Means over targets and over matrices, and paired tests, on numbers one can add up by head."""

import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test

from zoo_graph.backtest.records import Record
from zoo_graph.backtest.summary import mean_of, results, sign_flip_p


def judged(matrix: str, target: str, ranker: str, regret: float, n_evaluated: int = 0) -> Record:
    return Record(matrix, target, n_evaluated, ranker, "judged", {"regret1": regret})


RECORDS = [
    *(judged("a", f"t{i}", "history", value) for i, value in enumerate((0.4, 0.2, 0.6))),
    *(judged("a", f"t{i}", "ours", value) for i, value in enumerate((0.2, 0.2, 0.2))),
    judged("b", "t0", "history", 1.0),
    judged("b", "t0", "ours", 1.2),
    judged("b", "t0", "history", 0.5, 3),
    Record("b", "t1", 0, "ours", "failed", {}, reason="ValueError: x"),
    Record("b", "t1", 0, "history", "silent", {}),
]


def test_means_over_targets_and_over_matrices_differ() -> None:
    cold = results(RECORDS)["cold"]
    assert cold.mean("history", "regret1").value == pytest.approx(0.55)
    assert cold.mean("history", "regret1", over="matrices").value == pytest.approx(0.7)
    assert cold.mean("history", "regret1", ["a"]).value == pytest.approx(0.4)
    assert cold.mean("history", "regret1").n == 4
    assert cold.matrices == ("a", "b")


def test_regimes_are_apart_and_cold_is_first() -> None:
    found = results(RECORDS[::-1])
    assert list(found) == ["cold", "warm3"]
    assert found["warm3"].mean("history", "regret1").value == 0.5


def test_a_difference_is_paired_by_target_or_by_matrix() -> None:
    cold = results(RECORDS)["cold"]
    by_target, by_matrix = cold.paired("ours", "regret1"), cold.paired("ours", "regret1", over="matrices")
    assert by_target.difference.value == pytest.approx((-0.2 + 0 - 0.4 + 0.2) / 4)
    assert by_target.relative == pytest.approx(-0.1 / 0.55)
    assert by_matrix.difference.value == pytest.approx((-0.2 + 0.2) / 2)
    assert by_target.is_tie
    assert not cold.paired("ours", "regret1", ["a"]).is_tie


def test_only_targets_that_both_were_judged_on_are_compared() -> None:
    extra = [judged("a", "t9", "history", 9.0), judged("a", "t8", "ours", 9.0)]
    undefined = [judged("a", "t7", "history", np.nan), judged("a", "t7", "ours", 0.0)]
    assert results([*RECORDS, *extra, *undefined])["cold"].paired("ours", "regret1").difference.n == 4


def test_a_ranker_never_judged_has_a_mean_of_nothing() -> None:
    nothing = results(RECORDS)["cold"].mean("unheard of", "regret1")
    assert nothing.n == 0
    assert np.isnan([nothing.value, nothing.stderr]).all()


def test_the_standard_error_is_that_of_a_mean() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    assert mean_of(values).stderr == pytest.approx(values.std(ddof=1) / 2)


def test_the_sign_flip_test_equals_scipys() -> None:
    differences = np.random.default_rng(0).standard_normal(9) + 0.4
    expected = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_p(differences) == pytest.approx(expected)


def test_zeros_change_nothing_and_nothing_else_is_certain() -> None:
    differences = np.array([0.3, -0.1, 0.2])
    assert sign_flip_p(np.append(differences, [0.0, 0.0])) == sign_flip_p(differences)
    assert sign_flip_p(np.zeros(4)) == 1.0
    assert np.isnan(sign_flip_p(np.array([])))


def test_many_differences_are_tested_by_random_flips_close_to_the_exact_p() -> None:
    differences = np.random.default_rng(1).standard_normal(15) + 0.5
    signs = np.array(list(itertools.product((1, -1), repeat=15)))
    exact = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
    assert sign_flip_p(differences) == pytest.approx(exact, abs=0.01)


def test_p_does_not_depend_on_the_order_of_the_targets() -> None:
    differences = np.random.default_rng(2).standard_normal(30) + 0.2
    assert sign_flip_p(differences) == sign_flip_p(differences[::-1])
