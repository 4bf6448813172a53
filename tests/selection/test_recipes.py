from typing import Any

import pytest

from selection import recipes
from selection.datasets import Dataset, Limits, from_rows
from selection.errors import InputError
from selection.metrics import Task
from selection.recipes import (
    OPTIMIZER_SECONDS,
    PASSES,
    START_SECONDS,
    check_recipe,
    default_recipe,
    overhead_for,
    recipe_for,
    seconds_per_step,
)
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


@pytest.mark.parametrize("rate", [0.0, -1e-4, 2.0, float("nan"), float("inf")])
def test_a_learning_rate_that_no_run_can_have_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="wanted one above 0 and up to 1"):
        recipe_for(dataset(40), base=Recipe(learning_rate=rate))


def test_a_step_costs_three_forward_passes_and_the_optimizer() -> None:
    known, unknown = Candidate("known", n_parameters=10**9), Candidate("unknown")
    rates = seconds_per_step([known, unknown], Recipe(batch_size=10), {"known": 0.01, "other": 0.02})
    assert rates == pytest.approx({"known": 0.3 + 1e9 * OPTIMIZER_SECONDS, "unknown": 0.6})
    adapters = seconds_per_step([known], Recipe(batch_size=10, method="lora"), {"known": 0.01})
    assert adapters == pytest.approx({"known": 10 * 0.01 * PASSES["lora"]})
    assert seconds_per_step([unknown], Recipe(batch_size=10), {}) == pytest.approx({"unknown": 0.3})


def test_evaluations_are_counted_in_steps() -> None:
    data = dataset(2000)
    overhead = overhead_for(data, Recipe(batch_size=16))
    assert overhead.start_seconds == START_SECONDS
    assert (overhead.evaluation_steps, overhead.test_steps) == (2, pytest.approx(400 / 48))


def test_a_head_costs_its_features_once_and_next_to_nothing_a_step() -> None:
    data, recipe = dataset(2000), Recipe(method="head", total_steps=100)
    step = seconds_per_step([Candidate("known")], recipe, {"known": 0.01})["known"]
    overhead = overhead_for(data, recipe)
    assert step * 100 < 0.1
    assert step * overhead.probe_steps == pytest.approx(0.01 * (1504 + 96))
    assert step * overhead.test_steps == pytest.approx(0.01 * 400)
    assert overhead.evaluation_steps == 0


def test_a_search_among_rates_costs_the_steps_of_those_that_lose() -> None:
    recipe = Recipe(total_steps=160, warmup_steps=16, rate_factors=(0.3, 1, 3))
    assert overhead_for(dataset(40), recipe).probe_steps == 2 * 32


def test_without_a_recipe_the_rates_are_the_familys_and_the_metric_the_tasks() -> None:
    recipe = recipe_for(dataset(40))
    assert (recipe.method, recipe.learning_rate, recipe.family_rate, recipe.metric) == ("full", 1e-4, True, "accuracy")
    numbers = from_rows("n", "text", [f"t{i}" for i in range(60)], [i / 7 for i in range(60)])
    assert recipe_for(numbers).metric == "r2"
    assert default_recipe("classification", "lora").learning_rate == 1e-3


@pytest.mark.parametrize(
    ("changes", "task", "message"),
    [
        ({"metric": "r2"}, "classification", "got the metric 'r2'; wanted one of accuracy, .* \\(classification\\)"),
        ({"metric": "accuracy"}, "regression", "wanted one of r2, pearson, spearman, mse"),
        ({"metric": "r2", "class_weights": "balanced"}, "regression", "a regression has no classes"),
        ({"lora_rank": 0}, "classification", "got adapters of rank 0"),
        ({"rate_factors": (1, 1)}, "classification", "got the rate factors 1, 1; wanted different ones above 0"),
        ({"rate_factors": (0, 1)}, "classification", "got the rate factors 0, 1"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused(changes: dict[str, Any], task: Task, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_recipe(Recipe(**changes), task)


def test_adapters_without_peft_are_told_how_to_come_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs peft, which is not installed: pip install 'zoo-graph\[lora\]'"):
        check_recipe(Recipe(method="lora"), "classification")
