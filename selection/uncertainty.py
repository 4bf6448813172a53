"""How far a score on n rows can be trusted, and which candidates cannot be told apart by it."""

import math

from selection.policies import score_at
from selection.records import Outcome, Standing

Z90 = 1.6449  # two-sided 90 % of the normal distribution


def standard_error(metric: str, score: float, n: int | None) -> float | None:
    """Standard error of a score over n rows; None where it is not known (another metric than accuracy, n unknown).

    Binomial, with two hits and two misses added, so that a score of 1 does not claim certainty (Agresti and Coull
    1998, The American Statistician 52, section 3).
    """
    if metric != "accuracy" or not n or math.isnan(score):
        return None
    share = (score * n + 2) / (n + 4)
    return math.sqrt(share * (1 - share) / (n + 4))


def interval(metric: str, score: float, n: int | None) -> tuple[float, float] | None:
    """Wilson's 90 % interval of a score over n rows (1927, JASA 22); None where `standard_error` is None."""
    if standard_error(metric, score, n) is None or not n:
        return None
    middle = (score + Z90**2 / (2 * n)) / (1 + Z90**2 / n)
    half = Z90 / (1 + Z90**2 / n) * math.sqrt(max(0.0, score * (1 - score)) / n + Z90**2 / (4 * n**2))
    return middle - half, middle + half


def last_met(outcome: Outcome, standing: Standing) -> tuple[int, float, float] | None:
    """The last step at which both it and the winner have a score, the winner's score there, and its own."""
    winner, own = outcome.best.progress, standing.progress
    met = [(step, score_at(winner, step), score_at(own, step)) for step in own.curve_steps]
    return next((one for one in reversed(met) if not math.isnan(one[1] + one[2])), None)


def gap(outcome: Outcome, standing: Standing) -> float | None:
    """How far below the winner, where they last met (negative: above); None where they never did."""
    met = last_met(outcome, standing)
    return None if met is None else met[1] - met[2]


def is_tied(outcome: Outcome, standing: Standing) -> bool:
    """Whether the validation rows cannot tell this candidate from the winner, where they last met.

    True where the gap is under 1.64 standard errors of a difference. Both were scored on the same rows, which makes
    the true error smaller: so this calls too many tied rather than too few. Equal scores are tied whatever the
    metric; other gaps are not where the error is not known. False for the winner.
    """
    met = last_met(outcome, standing)
    if standing.place == 1 or met is None:
        return False
    _, best, own = met
    if best == own:
        return True
    error = standard_error(outcome.metric, own, outcome.n_validation)
    return error is not None and abs(best - own) < Z90 * math.sqrt(2) * error
