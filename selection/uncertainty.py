"""How far a score on n rows can be trusted, and which candidates cannot be told apart by it."""

import math

from selection.policies import score_at
from selection.records import Outcome, Standing

Z90 = 1.6449  # two-sided 90 % of the normal distribution
# Metrics whose error follows from a score and the number of its rows.
WITH_ERROR = ("accuracy", "pearson", "spearman")
_FEWEST = 10  # rows for a correlation's


def standard_error(metric: str, score: float, n: int | None) -> float | None:
    """Standard error of a score over n rows; None where it is not known: n or the metric's error is not.

    Accuracy's is binomial, with two hits and two misses added, so that a score of 1 does not claim certainty (Agresti
    and Coull 1998, The American Statistician 52, section 3). A correlation's is that of its `_fisher` z, carried back.
    The other metrics' would need each row's prediction.
    """
    if metric not in WITH_ERROR or not n or math.isnan(score):
        return None
    if metric != "accuracy":
        z = _fisher(metric, score, n)
        return None if z is None else (1 - score**2) * z[1]
    share = (score * n + 2) / (n + 4)
    return math.sqrt(share * (1 - share) / (n + 4))


def interval(metric: str, score: float, n: int | None) -> tuple[float, float] | None:
    """A score's 90 % interval over n rows; None where `standard_error` is None.

    Wilson's of an accuracy (1927, JASA 22), Fisher's of a correlation.
    """
    if standard_error(metric, score, n) is None or not n:
        return None
    if (z := _fisher(metric, score, n)) is not None:
        return math.tanh(z[0] - Z90 * z[1]), math.tanh(z[0] + Z90 * z[1])
    middle = (score + Z90**2 / (2 * n)) / (1 + Z90**2 / n)
    half = Z90 / (1 + Z90**2 / n) * math.sqrt(max(0.0, score * (1 - score)) / n + Z90**2 / (4 * n**2))
    return middle - half, middle + half


def _fisher(metric: str, score: float, n: int) -> tuple[float, float] | None:
    """A correlation's z and its standard error; None of other metrics, of under ten rows and of 1, which has none.

    1 / sqrt(n - 3) of Pearson's (Fisher 1921, Metron 1), times sqrt(1 + r^2 / 2) of Spearman's (Bonett and Wright 2000,
    Psychometrika 65). Both suppose labels and predictions to be jointly normal; Pearson's is too small where rows lie
    far out.
    """
    if metric not in ("pearson", "spearman") or n < _FEWEST or abs(score) >= 1:
        return None
    spread = 1 + score**2 / 2 if metric == "spearman" else 1.0
    return math.atanh(score), math.sqrt(spread / (n - 3))


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
