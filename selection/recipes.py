"""A sensible recipe for a dataset, and what one of its steps costs. Knows counts and seconds; no torch."""

import math
from collections.abc import Mapping
from dataclasses import replace

from selection.datasets import Dataset
from selection.errors import InputError
from selection.records import Candidate, Precision, Recipe
from selection.schedule import Overhead

EPOCHS = 3
MAX_EPOCHS = 1000
MIN_STEPS = 40
# One training step is a forward and a backward pass: three forward passes.
PASSES = 3.0
# Seconds that one AdamW step takes for each parameter (fused, one thread: 20 ms for 22 M).
OPTIMIZER_SECONDS = 0.9e-9
# Opening a checkpoint and encoding the rows.
START_SECONDS = 1.5


def recipe_for(
    dataset: Dataset, *, epochs: float = EPOCHS, precision: Precision = "float32", base: Recipe | None = None
) -> Recipe:
    """`base` with as many steps as `epochs` over the train part take (at least 40), a tenth of them warm-up.

    Raises:
        InputError: epochs that are no number above 0 and up to 1000, or a learning rate that is none from 0 to 1.
    """
    if not 0 < epochs <= MAX_EPOCHS:
        raise InputError(f"got {epochs:g} epochs; wanted more than 0 and at most {MAX_EPOCHS}: most tasks want 1 to 10")
    base = base or Recipe(learning_rate=1e-4, head_learning_rate=1e-2)
    if not 0 <= base.learning_rate <= 1:
        raise InputError(
            f"got a learning rate of {base.learning_rate:g}; wanted one from 0 to 1: 1e-5 to 1e-3 are usual"
        )
    steps = max(MIN_STEPS, math.ceil(epochs * dataset.train.size / base.batch_size))
    return replace(base, total_steps=steps, warmup_steps=max(1, steps // 10), precision=precision)


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
        passes = 1.2 if recipe.method == "head" else PASSES
        trained = 0 if recipe.method == "head" else candidate.n_parameters or 0
        rates[candidate.model] = passes * forward * recipe.batch_size + trained * OPTIMIZER_SECONDS
    return rates


def overhead_for(dataset: Dataset, recipe: Recipe) -> Overhead:
    """What a trial costs beside its training steps, in steps; rung 0 is free, its features are cached."""
    rows = recipe.batch_size * PASSES
    return Overhead(
        start_seconds=START_SECONDS,
        evaluation_steps=dataset.validation.size / rows,
        test_steps=dataset.test.size / rows,
    )
