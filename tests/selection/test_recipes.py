import pytest

from selection.datasets import Dataset, Limits, from_rows
from selection.errors import InputError
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


@pytest.mark.parametrize("epochs", [0, -1, float("nan"), float("inf"), 1e300, 1001])
def test_epochs_that_no_run_can_have_are_refused(epochs: float) -> None:
    with pytest.raises(InputError, match="wanted more than 0 and at most 1000"):
        recipe_for(dataset(40), epochs=epochs)


@pytest.mark.parametrize("rate", [-1e-4, 2.0, float("nan"), float("inf")])
def test_a_learning_rate_that_no_run_can_have_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="wanted one from 0 to 1"):
        recipe_for(dataset(40), base=Recipe(learning_rate=rate))


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
