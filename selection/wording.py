"""Numbers as people read them."""

import math
from collections.abc import Iterable

from selection.records import Plan, Recipe, Standing


def number(score: float | None) -> str:
    """A score with three decimals; a dash where there is none.

    >>> number(0.84159), number(float("nan"))
    ('0.842', '–')
    """
    return "–" if score is None or math.isnan(score) else f"{score:.3f}"


def metric_name(metric: str) -> str:
    """A metric as its scores are: larger is better, so that an error is negated.

    >>> metric_name("mse"), metric_name("r2")
    ('negative mse', 'r2')
    """
    return "negative mse" if metric == "mse" else metric


def plus_minus(score: float | None, error: float | None) -> str:
    """A score with its standard error, where that is known.

    >>> plus_minus(0.84159, 0.0258)
    '0.842 ± 0.026'
    """
    return number(score) if error is None else f"{number(score)} ± {error:.3f}"


def percent(share: float) -> str:
    """A probability in whole percent.

    >>> percent(0.004), percent(0.346), percent(0.998)
    ('under 1 %', '35 %', 'over 99 %')
    """
    if share > 0.99:
        return "over 99 %"
    return "under 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def stop_name(plan: Plan, rung: int) -> str:
    """Where a rung ends, in words."""
    return f"step {plan.rungs[rung].until_step}" if rung else "the probe"


def trained_weights(recipe: Recipe) -> str:
    """What a recipe trains.

    >>> trained_weights(Recipe(method="lora"))
    'adapters (LoRA, rank 8) and the head'
    """
    match recipe.method:
        case "full":
            return "all weights"
        case "lora":
            return f"adapters (LoRA, rank {recipe.lora_rank}) and the head"
        case "head":
            return "the head only"


def rates_tried(recipe: Recipe) -> str:
    """Which learning rates a recipe with `rate_factors` chooses from.

    >>> rates_tried(Recipe(rate_factors=(0.3, 1.0)))
    'each candidate at the best of 0.3, 1 times its rate'
    """
    tried = ", ".join(f"{factor:g}" for factor in recipe.rate_factors)
    return f"each candidate at the best of {tried} times its rate"


def rates_chosen(standings: Iterable[Standing]) -> str:
    """At which of its rates each candidate went on; empty where there was no choice."""
    known = ((one.candidate.model, one.progress.rate_factor) for one in standings)
    return ", ".join(f"{model} at {factor:g} times its own" for model, factor in known if factor is not None)


def duration(seconds: float) -> str:
    """Seconds in the two units that matter.

    >>> duration(0.25), duration(42), duration(200), duration(7300)
    ('0.2 s', '42 s', '3 min 20 s', '2 h 1 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds else "0 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
