"""Learning rates: what a method and a family usually want, and where a search among some of them ends.

Plain numbers. Does not know training.
"""

from collections.abc import Mapping
from dataclasses import replace

from selection.records import Method, Recipe, Trial

# Full fine-tuning of small encoders on hundreds to thousands of rows. Adapters want about ten times a full fine-tune's
# rate, whatever their rank (Schulman et al. 2025, LoRA Without Regret); under `head` the encoder is not trained.
LEARNING_RATES: Mapping[Method, float] = {"full": 1e-4, "lora": 1e-3, "head": 1e-4}
HEAD_LEARNING_RATE = 1e-2

# The middle of the rates that a family's authors fine-tuned with, over BERT's 3e-5 (Devlin et al. 2019, appendix A.3:
# 2e-5, 3e-5, 5e-5). Families that are not here take BERT's.
FAMILY_FACTORS: Mapping[str, float] = {
    "roberta": 0.67,  # Liu et al. 2019, table 10: 1e-5, 2e-5, 3e-5
    "xlm-roberta": 0.67,  # the same training
    "deberta": 0.67,  # He et al. 2021: 1.5e-5 to 4e-5 for base
    "deberta-v2": 0.67,
    "electra": 3.0,  # Clark et al. 2020, table 7: 1e-4 for base
}


def family_rates(recipe: Recipe, model_type: str) -> tuple[float, float]:
    """The rates of the encoder (or its adapters) and of the head, for a checkpoint of this `model_type`."""
    factor = FAMILY_FACTORS.get(model_type, 1.0) if recipe.family_rate else 1.0
    return recipe.learning_rate * factor, recipe.head_learning_rate * factor


def rate_share(recipe: Recipe, step: int) -> float:
    """Share of the learning rate at `step` (from 1): warm-up, then level, then down over the last `cooldown` steps.

    Warmup-stable-decay (Hu et al., arXiv 2404.06395): up to the cooldown no step depends on how many there will be.
    """
    up = step / max(1, recipe.warmup_steps)
    down = (recipe.total_steps + 1 - step) / max(1.0, recipe.cooldown * recipe.total_steps)
    return min(1.0, up, down)


def with_each_rate(trial: Trial) -> list[Trial]:
    """The trial once for each of its rate factors, each with that one alone."""
    return [with_rate(trial, factor) for factor in trial.recipe.rate_factors]


def with_rate(trial: Trial, factor: float) -> Trial:
    """The trial at `factor` times its rates, without a search."""
    recipe = replace(
        trial.recipe,
        learning_rate=trial.recipe.learning_rate * factor,
        head_learning_rate=trial.recipe.head_learning_rate * factor,
        rate_factors=(),
    )
    return replace(trial, recipe=recipe)


def search_end(trial: Trial) -> int:
    """The step at which the trial's rates are compared; 0 where there is none or one.

    It is the first evaluation at or after `least_search`; a plan sets one there.
    """
    if not trial.recipe.rate_factors:
        return 0
    least = least_search(trial.recipe)
    return next((step for step in trial.eval_steps if step >= least), trial.eval_steps[-1])


def least_search(recipe: Recipe) -> int:
    """Twice the warm-up and a sixteenth of the run at least: the very first scores say nothing of the last."""
    return max(2 * recipe.warmup_steps, recipe.total_steps // 16)
