"""Which candidate is probed next: policies on plain numbers, told what each would gain and how long it would take.

Does not know what a gain is made of (`selection.recall.worth`), how seconds are expected (`pace`) or what a probe does.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from selection.records import Candidate

ProxyPolicy = Literal["gain", "representatives", "all"]
# Expected seconds of those waiting that still fit (one at least), those begun in turn, and the seconds left (None:
# without end) -> the next; None: no other is worth it.
Order = Callable[[Mapping[str, float], Sequence[str], float | None], str | None]

# A gain that no one would notice, in standard deviations of results: a thousandth of what repeats differ by.
LEAST_GAIN = 1e-4
# Gains that are expected say little until some of each kind were looked at: as much of the time goes there first.
SPREAD_SHARE = 0.25
# How much too high the first guess of seconds may be: another machine's speed.
GUESS_OFF = 10.0


@dataclass(frozen=True, slots=True)
class Prospects:
    """What is expected of each model: its result (`means`, on any one scale) and the `gains` of knowing its proxy.

    `communities` maps models to their community; models without one are each their own.
    """

    means: Mapping[str, float]
    gains: Mapping[str, float]
    communities: Mapping[str, str] = field(default_factory=dict)

    def community(self, model: str) -> str:
        """The community of a model, or the model itself."""
        return self.communities.get(model, f"model {model}")


def order_by(policy: ProxyPolicy, prospects: Prospects, budget_seconds: float | None = None) -> Order | None:
    """The order in which the policy probes; None: as they are given.

    "gain": the greatest expected gain per second, in the first quarter of the time one of each community; those that
    gain nothing are left out. "representatives": of each community the one with the best expected result, the best
    first (2PS's rule). "all": all of them.
    """
    if policy == "gain":
        return _ByGain(prospects, math.inf if budget_seconds is None else (1 - SPREAD_SHARE) * budget_seconds)
    if policy == "representatives":
        best = representatives(prospects)
        return lambda seconds, begun, left: next((model for model in best if model in seconds), None)
    return None


@dataclass(frozen=True, slots=True)
class _ByGain:
    prospects: Prospects
    spread_until: float  # seconds left

    def __call__(self, seconds: Mapping[str, float], begun: Sequence[str], left: float | None) -> str | None:
        gains, community = self.prospects.gains, self.prospects.community
        worth = {model: gains[model] for model in seconds if gains.get(model, 0.0) > LEAST_GAIN}
        if left is not None and left > self.spread_until:
            seen = {community(model) for model in begun}
            worth = {model: gain for model, gain in worth.items() if community(model) not in seen} or worth
        if not worth:
            return None
        return min(worth, key=lambda model: (-worth[model] / max(seconds[model], 1e-9), model))


def representatives(prospects: Prospects) -> list[str]:
    """The model of each community with the best expected result, best first; equals by name."""
    ranked = sorted(prospects.means, key=lambda model: (-prospects.means[model], model))
    found: dict[str, str] = {}
    for model in ranked:
        found.setdefault(prospects.community(model), model)
    return list(found.values())


class Turns:
    """The candidates in the order they are probed, each chosen when it is asked for; `len` counts all of them.

    `left()` are the seconds left (None: without end), `expect(model)` those a probe is expected to take: one that does
    not fit is not begun. Before the first, when seconds are a mere guess and none fits by it, one may be begun that
    fits if all takes a tenth: it is what tells the pace, and is cut off like any other. Afterwards `begun` names who
    had a turn.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        order: Order | None,
        expect: Callable[[str], float],
        left: Callable[[], float | None],
    ) -> None:
        self._waiting = {candidate.model: candidate for candidate in candidates}
        self._n_candidates = len(self._waiting)
        self._order = order
        self._expect = expect
        self._left = left
        self.begun: list[str] = []

    def __len__(self) -> int:
        return self._n_candidates

    def __iter__(self) -> Iterator[Candidate]:
        while (chosen := self._next()) is not None:
            self.begun.append(chosen)
            yield self._waiting.pop(chosen)

    @property
    def not_begun(self) -> tuple[str, ...]:
        """Who had no turn, as given."""
        return tuple(self._waiting)

    def _next(self) -> str | None:
        left = self._left()
        if left is None and self._order is None:
            return next(iter(self._waiting), None)
        seconds = {model: self._expect(model) for model in self._waiting}
        fitting = seconds if left is None else _within(seconds, left)
        if left is not None and not fitting and not self.begun:
            fitting = _within(seconds, GUESS_OFF * left)
        if not fitting:
            return None
        return self._order(fitting, self.begun, left) if self._order else next(iter(fitting))


def _within(seconds: Mapping[str, float], left: float) -> dict[str, float]:
    return {model: expected for model, expected in seconds.items() if expected <= left}
