"""A sensible recipe for a dataset, which ones cannot be run, and what a step costs. Counts and seconds; no torch."""

import math
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec

from selection.datasets import Dataset
from selection.errors import InputError
from selection.metrics import METRICS_OF, Task, default_metric
from selection.rates import HEAD_LEARNING_RATE, LEARNING_RATES, least_search
from selection.records import Candidate, Method, Precision, Recipe
from selection.schedule import Overhead

EPOCHS = 3
MAX_EPOCHS = 1000
MIN_STEPS = 40
# One training step in forward passes over its batch: a forward and a backward pass are three of them. Adapters save the
# gradients of frozen weights and pay for their own products: 0.63 of a full step in all (benchmarks/finetune.py).
PASSES: Mapping[Method, float] = {"full": 3.0, "lora": 2.4}
# Forward passes over single rows that one step of a head on cached features costs.
HEAD_ROWS = 0.05
# Seconds that one AdamW step takes for each parameter (fused, one thread: 20 ms for 22 M).
OPTIMIZER_SECONDS = 0.9e-9
# Opening a checkpoint and encoding the rows.
START_SECONDS = 1.5


def recipe_for(
    dataset: Dataset, *, epochs: float = EPOCHS, precision: Precision = "float32", base: Recipe | None = None
) -> Recipe:
    """`base` with as many steps as `epochs` over the train part take (at least 40), a tenth of them warm-up.

    Without a `base` the rates are the family's, and the metric is the task's default.

    Raises:
        InputError: epochs that are no number above 0 and up to 1000, a learning rate not above 0 and up to 1, or what
            `check_recipe` refuses.
    """
    if not 0 < epochs <= MAX_EPOCHS:
        raise InputError(f"got {epochs:g} epochs; wanted more than 0 and at most {MAX_EPOCHS}: most tasks want 1 to 10")
    base = base or default_recipe(dataset.task)
    if not 0 < base.learning_rate <= 1:
        raise InputError(
            f"got a learning rate of {base.learning_rate:g}; wanted one above 0 and up to 1: 1e-5 to 1e-3 are usual"
        )
    check_recipe(base, dataset.task)
    steps = max(MIN_STEPS, math.ceil(epochs * dataset.train.size / base.batch_size))
    return replace(base, total_steps=steps, warmup_steps=max(1, steps // 10), precision=precision)


def default_recipe(task: Task, method: Method = "full") -> Recipe:
    """What a method is run with where nothing else is asked for: each family's own rate, the task's first metric."""
    return Recipe(
        method=method,
        learning_rate=LEARNING_RATES[method],
        head_learning_rate=HEAD_LEARNING_RATE,
        metric=default_metric(task),
        family_rate=True,
    )


def check_recipe(recipe: Recipe, task: Task) -> None:
    """Refuses what no checkpoint could be fine-tuned by.

    Raises:
        InputError: a metric of another task, class weights for numbers, a method that is not installed, or adapters or
            rate factors that are none.
    """
    known = METRICS_OF[task]
    if recipe.metric not in known:
        raise InputError(f"got the metric {recipe.metric!r}; wanted one of {', '.join(known)} ({task})")
    if recipe.class_weights != "none" and task == "regression":
        raise InputError(f"got class weights {recipe.class_weights!r}; a regression has no classes: leave them out")
    if recipe.method == "lora" and find_spec("peft") is None:
        raise InputError("the method 'lora' needs peft, which is not installed: pip install 'zoo-graph[lora]'")
    if recipe.lora_rank < 1 or recipe.lora_alpha < 1:
        raise InputError(f"got adapters of rank {recipe.lora_rank} and alpha {recipe.lora_alpha}; wanted both above 0")
    factors = recipe.rate_factors
    if not all(0 < factor < math.inf for factor in factors) or len(set(factors)) < len(factors):
        told = ", ".join(f"{factor:g}" for factor in factors)
        raise InputError(f"got the rate factors {told}; wanted different ones above 0, such as 0.3, 1, 3")


def seconds_per_step(
    candidates: list[Candidate] | tuple[Candidate, ...], recipe: Recipe, row_seconds: Mapping[str, float]
) -> dict[str, float]:
    """Expected seconds of a step by model, from the measured seconds of one row's forward pass.

    A model whose forward pass is not known costs what the dearest known one does (none known: 0.01 s a row).
    """
    dearest = max(row_seconds.values(), default=0.01)
    rates = {}
    for candidate in candidates:
        forward = max(row_seconds.get(candidate.model, dearest), 1e-6)
        trained = (candidate.n_parameters or 0) if recipe.method == "full" else 0
        rates[candidate.model] = forward * _rows_per_step(recipe) + trained * OPTIMIZER_SECONDS
    return rates


def overhead_for(dataset: Dataset, recipe: Recipe) -> Overhead:
    """What a trial costs beside its training steps, in steps.

    Rung 0 is charged with what is paid once by each candidate: a head's features, and the steps of a search among
    rates that the best of them does not need. Its own probe is free, those features are cached.
    """
    rows = _rows_per_step(recipe)
    search = max(0, len(recipe.rate_factors) - 1) * least_search(recipe)
    features = dataset.train.size + dataset.validation.size if recipe.method == "head" else 0
    return Overhead(
        start_seconds=START_SECONDS,
        probe_steps=search + features / rows,
        evaluation_steps=0.0 if recipe.method == "head" else dataset.validation.size / rows,
        test_steps=dataset.test.size / rows,
    )


def _rows_per_step(recipe: Recipe) -> float:
    """One step in forward passes over a row."""
    return HEAD_ROWS if recipe.method == "head" else PASSES[recipe.method] * recipe.batch_size
