"""A race as the list of what happened in it: the events, and the standing that follows from them.

Everything the runner decides follows from `replay(plan, events)`, so a run that was killed and one that was not
decide alike. Knows no files, no training and no clock.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from selection.halving import hyperband_brackets, ranked, ranked_by_probe
from selection.policies import Facts, best_of, chances, forecast_at, score_at
from selection.records import DroppedBecause, Estimate, Expected, Plan, Progress, Rung, Standing, Trial
from selection.trends import Forecast
from selection.wording import percent, stop_name

NO_PROGRESS = Progress(0, (), (), 0.0, 0.0)
# What a score of these metrics can be; of the others it lies in [0, 1].
_BOUNDS = {
    "mcc": (-1.0, 1.0),
    "pearson": (-1.0, 1.0),
    "spearman": (-1.0, 1.0),
    "r2": (-math.inf, 1.0),
    "mse": (-math.inf, 0.0),
}
# How many standard deviations beyond what a score can be a forecast's mean counts, at most.
_FARTHEST = 8.0


@dataclass(frozen=True, slots=True)
class Probed:
    """The scores rung 0 went by; None where a model has none."""

    scores: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A candidate reached the end of a rung."""

    rung: int
    model: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class Failed:
    """A candidate failed for good; `progress` is what it had shown, where it came that far."""

    rung: int
    model: str
    reason: str
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A rung ended: who goes on and who was dropped, both best first."""

    rung: int
    survivors: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revived:
    """All of a rung's candidates failed, so candidates dropped earlier take their place."""

    rung: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CutOff:
    """The clock ended the race in this rung; nothing is trained after it."""

    rung: int
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Tested:
    """The winner's score on the test part, measured once."""

    model: str
    score: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The winner's checkpoint is saved."""

    model: str


Event = Probed | Trained | Failed | Decided | Revived | CutOff | Tested | Finished


@dataclass(slots=True)
class Race:
    """Where a race stands. `active` race now; `reached` is the last rung a candidate completed.

    `grounds` are what each of the `decisions` went by.
    """

    plan: Plan
    probes: Mapping[str, float | None] | None = None
    rung: int = 0
    active: tuple[str, ...] = ()
    decisions: list[Decided] = field(default_factory=list)
    grounds: list[Facts] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)
    cut_off: CutOff | None = None
    tested: Tested | None = None
    finished: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def current(self) -> Rung:
        """The rung being raced."""
        return self.plan.rungs[self.rung]

    def trial(self, model: str) -> Trial:
        """The plan's trial of this model."""
        return next(trial for trial in self.plan.trials if trial.candidate.model == model)

    def alive(self) -> list[str]:
        """Active candidates that have not failed, in racing order."""
        return [model for model in self.active if model not in self.failed]

    def waiting(self) -> list[str]:
        """Candidates still to train in this rung; none once the clock has ended the race."""
        return [] if self.cut_off else [model for model in self.alive() if self.reached.get(model, 0) < self.rung]

    def ranking(self, models: Sequence[str]) -> tuple[str, ...]:
        """These models best first by the score at the last stop all of them reached; by the probe, before any."""
        common = min((self.reached.get(model, 0) for model in models), default=0)
        if common == 0:
            return ranked_by_probe(models, self.probes or {})
        step = self.plan.rungs[common].until_step
        return ranked({model: score_at(self.progress[model], step) for model in models}, self.probes or {})

    def reserves(self) -> list[str]:
        """Dropped candidates that could come back, the latest dropped and best first."""
        dropped = [model for decision in reversed(self.decisions) for model in decision.dropped]
        others = {*self.failed, *self.active}
        return [model for model in dict.fromkeys(dropped) if model not in others]  # once, though dropped twice

    def facts(self) -> Facts:
        """What the decision at the end of the current rung goes by."""
        return Facts(
            self.plan, self.rung, tuple(self.alive()), tuple(self.reserves()), dict(self.progress), self.probes or {}
        )

    def finalists(self) -> tuple[str, ...]:
        """Who may win, best first: the last rung's candidates; after a cut-off whoever trained at all, by score."""
        trained = [model for model in self.alive() if self.reached.get(model, 0) > 0]
        if self.cut_off and not trained:
            return tuple(model for model in self.reserves() if self.reached.get(model, 0) > 0)
        last = len(self.plan.rungs) - 1
        is_run = bool(trained) and all(self.reached.get(model, 0) == last for model in self.alive())
        return best_of(self.facts()) if is_run else self.ranking(trained)


def replay(plan: Plan, events: Iterable[Event]) -> Race:
    """The race as it stands after these events."""
    race = Race(plan, active=tuple(trial.candidate.model for trial in plan.trials))
    for event in events:
        _apply(race, event)
    return race


def _apply(race: Race, event: Event) -> None:
    match event:
        case Probed(scores):
            race.probes = scores
        case Trained(rung, model, progress):
            race.reached[model], race.progress[model] = rung, progress
        case Failed(_, model, _, progress):
            race.failed[model] = event
            if progress is not None:
                race.progress[model] = progress
            race.tested = None
        case Decided(rung, survivors, _):
            race.grounds.append(race.facts())
            race.rung, race.active = rung + 1, survivors
            race.decisions.append(event)
        case Revived(rung, models):
            race.active += models
            race.notes.append(f"all of rung {rung} failed; back in the race: {', '.join(models)}")
        case CutOff(rung, seconds):
            race.cut_off = event
            race.notes.append(
                f"the clock ended the race in rung {rung}, after {seconds:.0f} s: a rerun may end otherwise"
            )
        case Tested():
            race.tested = event
        case Finished():
            race.finished = True


def standings(race: Race) -> tuple[Standing, ...]:
    """Every candidate's end, best first: the winner, who raced last, dropped, failed (latest first)."""
    finalists = race.finalists()
    winner = [race.tested.model] if race.tested else finalists[:1]
    failed = sorted(race.failed, key=lambda model: -race.failed[model].rung)
    others = [*finalists, *race.ranking(race.alive()), *race.reserves(), *failed]
    order = list(dict.fromkeys([*winner, *others]))
    order.sort(key=lambda model: model in race.failed)
    expected = _expected(race)
    return tuple(
        _standing(race, place, model, tuple(expected.get(model, ())), order[0]) for place, model in enumerate(order, 1)
    )


def _standing(race: Race, place: int, model: str, expected: tuple[Expected, ...], winner: str) -> Standing:
    dropped, reason = _why(race, model, expected, winner)
    return Standing(
        place=place,
        candidate=race.trial(model).candidate,
        rung=race.failed[model].rung if model in race.failed else race.reached.get(model, 0),
        progress=race.progress.get(model, NO_PROGRESS),
        probe=(race.probes or {}).get(model),
        dropped=dropped,
        reason=reason,
        expected=expected,
    )


def _expected(race: Race) -> dict[str, list[Expected]]:
    """By model: what each decision of policy "racing" expected of it, by what was known then."""
    found: dict[str, list[Expected]] = {}
    if race.plan.policy != "racing":
        return found
    for facts, decision in zip(race.grounds, race.decisions, strict=True):
        made = forecast_at(facts, (*facts.alive, *facts.spare))
        chance, ends = chances(facts, made), _ends(made, race.plan.trials[0].recipe.metric)
        alive, going_on = set(facts.alive), set(decision.survivors)
        for model in made.models:
            one = Expected(facts.rung, model in alive, model in going_on, chance[model], ends.get(model))
            found.setdefault(model, []).append(one)
    return found


def _ends(made: Forecast, metric: str) -> dict[str, Estimate]:
    """Forecasts as normal distributions cut at what the metric can be: mean, shortest 90 % interval.

    None where they have no unit.
    """
    from scipy.stats import norm, truncnorm

    if not made.in_units:
        return {}
    lowest, highest = _BOUNDS.get(metric, (0.0, 1.0))
    sd = np.maximum(made.sd, 1e-6)
    mean = np.clip(made.mean, lowest - _FARTHEST * sd, highest + _FARTHEST * sd)
    below, above = (lowest - mean) / sd, (highest - mean) / sd
    cut = truncnorm(below, above, loc=mean, scale=sd)
    reach = sd * norm.ppf(0.5 + 0.45 * (norm.cdf(above) - norm.cdf(below)))
    low = np.where(mean + reach > highest, cut.ppf(0.1), mean - reach)
    high = np.where(mean - reach < lowest, cut.ppf(0.9), mean + reach)
    rows = np.clip(np.stack([cut.mean(), low, high], axis=1), lowest, highest)
    return {model: Estimate(*map(float, row)) for model, row in zip(made.models, rows, strict=True)}


def _why(race: Race, model: str, expected: Sequence[Expected], winner: str) -> tuple[DroppedBecause | None, str | None]:
    """Why a candidate is where it is."""
    if model in race.failed:
        return "failed", race.failed[model].reason
    if model == winner:
        return None, None
    if model not in race.active:
        return "dropped", _why_dropped(race, model, expected)
    if race.cut_off and race.reached.get(model, 0) < len(race.plan.rungs) - 1:
        return "cut off", f"the clock ended the race before step {race.current.until_step}"
    step = race.progress.get(model, NO_PROGRESS).step
    mine, best = (score_at(race.progress.get(one, NO_PROGRESS), step) for one in (model, winner))
    if race.plan.policy == "racing" and not race.cut_off and mine >= best:
        return None, f"expected to be below the winner, by all that is known at step {step}"
    return None, f"below the winner at step {step}"


def _why_dropped(race: Race, model: str, expected: Sequence[Expected]) -> str:
    """The comparison a candidate lost; by forecasts its chance, and whether more could have gone on."""
    decided = zip(reversed(race.grounds), reversed(race.decisions), strict=True)
    facts, decision = next(both for both in decided if model in both[1].dropped)
    where, n = stop_name(race.plan, decision.rung), len(decision.survivors)
    chance = next((one.chance for one in expected if one.rung == decision.rung), None)
    if chance is not None:
        worth = ", not worth its steps" if n < facts.n_survivors else ""
        return f"{percent(chance)} chance to end best, as forecast at {where}{worth}; {n} went on"
    order = _by_score(facts)
    place = order.index(model) + 1
    return f"place {place} of {len(order)} at {where}; {n} went on{_beside_score(facts, decision, order, model)}"


def _by_score(facts: Facts) -> tuple[str, ...]:
    """Those alive, best first by validation score; by the probe, before there are any."""
    if facts.rung == 0:
        return ranked_by_probe(facts.alive, facts.probes)
    return ranked({model: score_at(facts.progress[model], facts.step) for model in facts.alive}, facts.probes)


def _beside_score(facts: Facts, decision: Decided, order: tuple[str, ...], model: str) -> str:
    """What the policy went by, where a place by score does not say why a candidate was dropped."""
    place, went_on = order.index(model), set(decision.survivors)
    is_overtaken = not went_on.isdisjoint(order[place:])
    match facts.plan.policy:
        case "hyperband" if facts.rung:
            brackets = hyperband_brackets([one.candidate.model for one in facts.plan.trials], len(facts.plan.rungs) - 1)
            members = {one for one in order if brackets[one] == brackets[model]}
            return f", {len(members & went_on)} of the {len(members)} in its bracket"
        case "two_phase" if is_overtaken or place < len(order) // 2:
            return "; behind another in score and in the end that its trend foretells"
        case "power_law" if is_overtaken:
            return "; the power law through its curve ends lower"
    return ""
