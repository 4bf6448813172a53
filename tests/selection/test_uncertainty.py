import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selection.metrics import METRICS
from selection.records import Candidate, Outcome, Plan, Progress, Standing
from selection.uncertainty import gap, interval, is_tied, last_met, standard_error


def standing(place: int, curve: tuple[float, ...]) -> Standing:
    steps = tuple(range(10, 10 * len(curve) + 1, 10))
    return Standing(place, Candidate(f"m{place}"), 1, Progress(steps[-1] if steps else 0, steps, curve, 1.0, 1.0))


def outcome(*curves: tuple[float, ...], n_validation: int | None = 400) -> Outcome:
    standings = tuple(standing(place, curve) for place, curve in enumerate(curves, 1))
    plan = Plan((), (), 0.0, 0.0, 0.0)
    return Outcome("beans", "accuracy", standings, 0.9, Path("best"), plan, 1.0, 1.0, n_validation=n_validation)


def test_the_error_of_an_accuracy_is_the_binomial_one() -> None:
    assert standard_error("accuracy", 0.8, 10_000) == pytest.approx(math.sqrt(0.8 * 0.2 / 10_000), rel=1e-3)


def test_a_perfect_score_is_not_certain() -> None:
    error = standard_error("accuracy", 1.0, 50)
    assert error is not None
    assert 0.02 < error < 0.03
    seen = interval("accuracy", 1.0, 50)
    assert seen is not None
    assert seen[1] == pytest.approx(1.0)
    assert seen[0] == pytest.approx(1 / (1 + 1.6449**2 / 50))


@pytest.mark.parametrize(
    ("metric", "score", "n"),
    [
        ("mcc", 0.5, 100),
        ("r2", 0.5, 100),
        ("accuracy", 0.5, None),
        ("accuracy", math.nan, 9),
        ("pearson", 0.5, 9),
        ("spearman", 1.0, 50),
    ],
)
def test_an_error_that_is_not_known_is_none(metric: str, score: float, n: int | None) -> None:
    assert standard_error(metric, score, n) is None
    assert interval(metric, score, n) is None


def test_wilsons_interval_is_the_textbooks() -> None:
    # 15 of 25 at 90 %: (0.6 + z2/50 -+ z sqrt(.24/25 + z2/2500)) / (1 + z2/25)
    seen = interval("accuracy", 0.6, 25)
    assert seen == pytest.approx((0.4368, 0.7437), abs=5e-4)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("labels", ["normal", "uniform"])
@pytest.mark.parametrize("true", [0.0, 0.5, 0.9])
def test_the_interval_of_a_correlation_holds_the_true_one_nine_times_in_ten(
    metric: str, labels: str, true: float
) -> None:
    rng, n = np.random.default_rng(0), 80

    def drawn(rows: int) -> float:
        truth = rng.standard_normal(rows) if labels == "normal" else rng.uniform(-math.sqrt(3), math.sqrt(3), rows)
        return METRICS[metric](truth, true * truth + math.sqrt(1 - true**2) * rng.standard_normal(rows))

    scores = [drawn(n) for _ in range(600)]
    wanted = drawn(400_000)
    held = [seen[0] <= wanted <= seen[1] for one in scores if (seen := interval(metric, one, n))]
    assert len(held) == 600
    assert 0.86 < np.mean(held) < 0.98
    error = standard_error(metric, wanted, n)
    assert error is not None
    assert 0.85 < error / np.std(scores) < 1.35


def test_the_interval_of_a_correlation_is_fishers() -> None:
    # atanh .5 = .5493; 1.6449 / sqrt(100) = .1645
    seen = interval("pearson", 0.5, 103)
    assert seen == pytest.approx((math.tanh(0.5493 - 0.1645), math.tanh(0.5493 + 0.1645)), abs=1e-4)
    assert standard_error("pearson", 0.5, 103) == pytest.approx(0.75 / 10)


def test_correlations_within_their_error_are_tied() -> None:
    race = replace(outcome((0.80,), (0.78,), (0.60,)), metric="spearman")
    assert [is_tied(race, one) for one in race.standings] == [False, True, False]


def test_candidates_are_compared_at_the_last_step_both_were_evaluated_at() -> None:
    race = outcome((0.5, 0.7, 0.9), (0.4, 0.68), ())
    assert gap(race, race.standings[1]) == pytest.approx(0.02)
    assert gap(race, race.standings[2]) is None


def test_a_gap_within_the_error_is_a_tie_and_a_wide_one_is_not() -> None:
    race = outcome((0.80,), (0.78,), (0.60,))
    assert [is_tied(race, one) for one in race.standings] == [False, True, False]


def test_a_candidate_that_failed_is_compared_like_any_other() -> None:
    race = outcome((0.80,), (0.79,), (0.95,), (0.60,))
    lost = [replace(one, dropped="failed") for one in race.standings[1:]]
    assert [is_tied(race, one) for one in lost] == [True, False, False]
    assert [gap(race, one) for one in lost] == pytest.approx([0.01, -0.15, 0.20])


def test_a_score_that_is_not_a_number_is_passed_over_for_the_last_that_is() -> None:
    race = outcome((0.5, 0.7, 0.9), (0.4, 0.68, math.nan))
    assert last_met(race, race.standings[1]) == (20, 0.7, 0.68)
    assert not is_tied(replace(race, n_validation=None), race.standings[1])
    assert is_tied(race, race.standings[1])


def test_equal_scores_are_tied_whatever_the_metric() -> None:
    race = replace(outcome((0.48,), (0.48,)), metric="macro_f1")
    assert is_tied(race, race.standings[1])
