import pytest

from selection.datasets import Dataset, Limits, from_rows
from selection.recipes import OPTIMIZER_SECONDS, START_SECONDS, overhead_for, recipe_for, seconds_per_step
from selection.records import Candidate, Recipe


def dataset(n: int) -> Dataset:
    return from_rows("d", "text", [f"t{i}" for i in range(n)], ["a", "b"] * (n // 2), limits=Limits(validation=96))


def test_a_recipe_runs_its_epochs_and_at_least_forty_steps() -> None:
    data = dataset(2000)  # 1,600 rows beside the test part, 96 of them for validation
    long = recipe_for(data, epochs=2)
    assert (data.train.size, long.total_steps, long.warmup_steps) == (1504, 94, 9)
    short = recipe_for(dataset(40), base=Recipe(metric="mcc", seed=3), precision="bfloat16")
    assert (short.total_steps, short.warmup_steps, short.metric, short.seed, short.precision) == (
        40,
        4,
        "mcc",
        3,
        "bfloat16",
    )


def test_a_step_costs_three_forward_passes_and_the_optimizer() -> None:
    known, unknown = Candidate("known", n_parameters=10**9), Candidate("unknown")
    rates = seconds_per_step([known, unknown], Recipe(batch_size=10), {"known": 0.01, "other": 0.02})
    assert rates == pytest.approx({"known": 0.3 + 1e9 * OPTIMIZER_SECONDS, "unknown": 0.6})
    frozen = seconds_per_step([known], Recipe(batch_size=10, method="head"), {"known": 0.01})
    assert frozen == pytest.approx({"known": 0.12})
    assert seconds_per_step([unknown], Recipe(batch_size=10), {}) == pytest.approx({"unknown": 0.3})


def test_evaluations_are_counted_in_steps() -> None:
    data = dataset(2000)
    overhead = overhead_for(data, Recipe(batch_size=16))
    assert overhead.start_seconds == START_SECONDS
    assert (overhead.evaluation_steps, overhead.test_steps) == (2, pytest.approx(400 / 48))
