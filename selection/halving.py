"""Who goes on: the decisions of each policy, as functions of plain scores. No training, no files, no clock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def ranked(scores: Mapping[str, float], probes: Mapping[str, float | None]) -> tuple[str, ...]:
    """Models best first: higher score, then higher probe, then name; a nan score comes last, a missing probe too."""
    return tuple(sorted(scores, key=lambda model: (_worst_last(scores[model]), _worst_last(probes.get(model)), model)))


def ranked_by_probe(models: Sequence[str], probes: Mapping[str, float | None]) -> tuple[str, ...]:
    """Models best first by probe score; ties keep the order given (recall's).

    A probe that is missing or nan says nothing against a model: it counts as the median of the others.
    """
    known = [probe for model in models if (probe := probes.get(model)) is not None and not math.isnan(probe)]
    middle = median(known) if known else 0.0
    return tuple(sorted(models, key=lambda model: _worst_last(probes.get(model), middle)))


def probe_survivors(models: Sequence[str], n: int, probes: Mapping[str, float | None]) -> tuple[str, ...]:
    """The best `n` by `ranked_by_probe`, in that order."""
    return ranked_by_probe(models, probes)[:n]


def _worst_last(score: float | None, missing: float = -math.inf) -> float:
    """A sort key that puts the largest score first and a missing or nan one where `missing` stands."""
    return -missing if score is None or math.isnan(score) else -score


@dataclass(frozen=True, slots=True)
class Lookahead:
    """What it may show to train on up to a later stop, after which the best expected goes on to the end alone.

    `draws` (n, K) are joint draws of the final scores that will be expected then, `costs` (K,) what training each up to
    there costs, `rest` what the one costs from there, in scores; `at_most` so many may be trained up to there.
    """

    draws: FloatArray
    costs: FloatArray
    rest: float
    at_most: int

    def among(self, places: Sequence[int]) -> "Lookahead":
        """The same of these candidates only."""
        return replace(self, draws=self.draws[:, places], costs=self.costs[places])


def worth_racing(ahead: Sequence[Lookahead]) -> tuple[int, ...]:
    """Places of the candidates worth training on, best first; one at least.

    For each stop ahead, the next to be taken is the one that raises the expected best of those taken by most, less what
    training it costs; nobody who raises it by less than that is taken. The stop counts at which most is gained in all,
    the first of equals. So a sure winner races alone, and so does the best of candidates that more training will not
    tell apart; those that it will tell apart race on, and one that only copies another's chances does not.
    """
    return max(map(_worth, ahead), key=lambda one: one[0])[1]


def _worth(ahead: Lookahead) -> tuple[float, tuple[int, ...]]:
    """What is gained in all, and by whom."""
    gained, best = -math.inf, np.full(len(ahead.draws), -np.inf)
    taken: list[int] = []
    while len(taken) < min(ahead.at_most, ahead.draws.shape[1]):
        net = np.maximum(best[:, None], ahead.draws).mean(axis=0) - ahead.costs - (best.mean() if taken else 0.0)
        net[taken] = -np.inf
        place = int(np.argmax(net))
        if taken and net[place] <= 0.0:
            break
        gained = net[place] + (gained if taken else 0.0)
        taken.append(place)
        best = np.maximum(best, ahead.draws[:, place])
    return gained - ahead.rest, tuple(taken)


def two_phase_survivors(
    order: Sequence[str], scores: Mapping[str, float], finals: Mapping[str, float]
) -> tuple[str, ...]:
    """2PS's fine-selection (section 4.2): who is behind another in score and in predicted end is dropped, then halving.

    `order` is best score first. A predicted end that is nan is the score itself.
    """
    end = {model: scores[model] if math.isnan(finals.get(model, math.nan)) else finals[model] for model in order}
    left = [
        model
        for place, model in enumerate(order)
        if not any(scores[other] > scores[model] and end[other] > end[model] for other in order[:place])
    ]
    return tuple(left[: max(1, len(order) // 2)])


def hyperband_brackets(models: Sequence[str], n_stops: int, eta: int = 2) -> dict[str, int]:
    """The bracket of each model: its place among the stops at which it is first judged (0: every stop, halved most).

    As large as Hyperband's (Li et al., JMLR 2018, algorithm 1: ceil(B / (s + 1) eta^s), s = stops left), scaled to the
    candidates there are; dealt in turn, so that every bracket has some of the best recalled.
    """
    sizes = [math.ceil(n_stops / (s + 1) * eta**s) for s in reversed(range(n_stops))]
    quotas = [len(models) * size / sum(sizes) for size in sizes]
    filled = [0] * n_stops
    found = {}
    for model in models:
        bracket = max(range(n_stops), key=lambda b: (quotas[b] - filled[b], -b))
        filled[bracket] += 1
        found[model] = bracket
    return found


def hyperband_survivors(order: Sequence[str], brackets: Mapping[str, int], stop: int, eta: int = 2) -> tuple[str, ...]:
    """Of each bracket that is judged at this stop (0 the first) the best eta-th part, of the others all; best first."""
    left: list[str] = []
    for bracket in sorted(set(brackets.values())):
        members = [model for model in order if brackets[model] == bracket]
        left += members if bracket > stop else members[: max(1, len(members) // eta)]
    return tuple(model for model in order if model in left)
