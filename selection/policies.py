"""What each policy decides, from the records of a race alone: the same records, the same decision."""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from selection.halving import (
    Lookahead,
    hyperband_brackets,
    hyperband_survivors,
    probe_survivors,
    ranked,
    two_phase_survivors,
    worth_racing,
)
from selection.other_trends import clustered_final, power_law_final
from selection.records import Plan, Progress, Trend, Trial
from selection.trends import Forecast, Seen, default_trend, forecast, lookahead, simulate

_N_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision at the end of `rung` goes by.

    `alive` race now, in racing order; `spare` were dropped before and could come back; `progress` and `probes` are by
    model, as far as known.
    """

    plan: Plan
    rung: int
    alive: tuple[str, ...]
    spare: tuple[str, ...]
    progress: Mapping[str, Progress]
    probes: Mapping[str, float | None]

    @property
    def n_survivors(self) -> int:
        """How many may go on at most."""
        return self.plan.rungs[self.rung].n_survivors

    @property
    def step(self) -> int:
        """The step at which the rung ended; 0 for the probe."""
        return self.plan.rungs[self.rung].until_step

    def trial(self, model: str) -> Trial:
        """The plan's trial of this model."""
        return next(trial for trial in self.plan.trials if trial.candidate.model == model)


def survivors(facts: Facts) -> tuple[str, ...]:
    """Who goes on, best first: of those alive, and with policy "racing" of those dropped before, too."""
    match facts.plan.policy:
        case "racing":
            return _racing(facts)
        case "hyperband" if facts.rung:
            brackets = hyperband_brackets([t.candidate.model for t in facts.plan.trials], len(facts.plan.rungs) - 1)
            return hyperband_survivors(_order(facts), brackets, facts.rung - 1)
        case "two_phase" if facts.rung:
            return _two_phase(facts)
        case "power_law" if facts.rung:
            return _extrapolated(facts)[: facts.n_survivors]
    if facts.rung == 0:
        return probe_survivors(facts.alive, facts.n_survivors, facts.probes)
    return _order(facts)[: facts.n_survivors]


def best_of(facts: Facts) -> tuple[str, ...]:
    """Those alive, who have trained to the end, best first: by validation score; with policy "racing" by all that is
    known of each, as its decisions go."""
    if facts.plan.policy != "racing":
        return _order(facts)
    made = forecast_at(facts, (*facts.alive, *facts.spare))
    end = dict(zip(made.models, map(float, made.mean), strict=True))
    return ranked({model: end[model] for model in facts.alive}, facts.probes)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A race whose every run is known: who trains in each rung after the probe, and who wins."""

    raced: tuple[tuple[str, ...], ...]
    winner: str


def rehearse(plan: Plan, runs: Mapping[str, Progress]) -> Rehearsal:
    """The race among the plan's candidates, where every candidate's whole run is known."""
    models = tuple(trial.candidate.model for trial in plan.trials)
    facts = Facts(plan, 0, models, (), {}, {trial.candidate.model: trial.probe for trial in plan.trials})
    raced = []
    for rung, stop in enumerate(plan.rungs[1:], 1):
        going_on = survivors(facts)
        raced.append(going_on)
        out = tuple(model for model in models if model not in going_on)
        reached = {model: _until(runs[model], stop.until_step) for model in going_on}
        facts = Facts(plan, rung, going_on, out, {**facts.progress, **reached}, facts.probes)
    return Rehearsal(tuple(raced), best_of(facts)[0])


def foresee(plan: Plan) -> tuple[Rehearsal, ...]:
    """Races simulated by the plan's trend.

    Sixteen races; fewer, two at least, where there are more than ten candidates, whose average says as much.
    """
    n_races = max(2, min(16, 160 // len(plan.trials)))
    trial = plan.trials[0]
    start = Facts(plan, 0, (), (), {}, {one.candidate.model: one.probe for one in plan.trials})
    seen = [_seen(start, one.candidate.model) for one in plan.trials]
    races = []
    for place in range(n_races):
        ends, _ = simulate(_trend(plan), seen, np.random.default_rng((trial.recipe.seed, place)))
        runs = {one.model: Progress(trial.recipe.total_steps, trial.eval_steps, one.scores, 0.0, 0.0) for one in ends}
        races.append(rehearse(plan, runs))
    return tuple(races)


def _until(progress: Progress, step: int) -> Progress:
    n = sum(point <= step for point in progress.curve_steps)
    return Progress(step, progress.curve_steps[:n], progress.curve[:n], 0.0, 0.0)


def _trend(plan: Plan) -> Trend:
    trial = plan.trials[0]
    shares = [step / trial.recipe.total_steps for step in trial.eval_steps]
    return plan.trend or default_trend(shares, trial.recipe.metric)


def forecast_at(facts: Facts, models: Sequence[str]) -> Forecast:
    """The final scores of these models (sorted: draws go by place), by what is known at the end of the rung."""
    return forecast(_trend(facts.plan), [_seen(facts, model) for model in sorted(models)])


def chances(facts: Facts, made: Forecast) -> dict[str, float]:
    """By model: the probability that it ends best of those forecast."""
    draws = made.draws(_N_DRAWS, _generator(facts))
    wins = np.bincount(draws.argmax(axis=1), minlength=len(made.models)) / len(draws)
    return dict(zip(made.models, map(float, wins), strict=True))


def _racing(facts: Facts) -> tuple[str, ...]:
    models = tuple(sorted((*facts.alive, *facts.spare)))
    rungs = facts.plan.rungs[facts.rung + 1 :]
    total = facts.trial(models[0]).recipe.total_steps
    shares = [rung.until_step / total for rung in rungs]
    found = lookahead(_trend(facts.plan), [_seen(facts, model) for model in models], shares)
    expected = found[0].mean
    # Whoever may come back starts where it was (`_within_worst`).
    reached = np.array([_step(facts, model) for model in models])
    price = facts.plan.price / total
    ahead = []
    for one, rung in zip(found, rungs, strict=True):
        draws = one.draws(_N_DRAWS, _generator(facts))
        draws += expected - draws.mean(axis=0)  # chance decides nothing between candidates taken alone
        costs = price * (rung.until_step - reached)
        ahead.append(Lookahead(draws, costs, price * (total - rung.until_step), rung.n_candidates))
    open_to = list(range(len(models)))
    while True:
        taken = worth_racing([one.among(open_to) for one in ahead])
        places = [open_to[place] for place in taken]
        back = [place for place in places if models[place] in facts.spare]
        if not back or _within_worst(facts, {models[place] for place in places}):
            return tuple(models[place] for place in sorted(places, key=lambda place: -expected[place]))
        open_to.remove(back[-1])


def _step(facts: Facts, model: str) -> int:
    return progress.step if (progress := facts.progress.get(model)) else 0


def _within_worst(facts: Facts, going_on: Set[str]) -> bool:
    """Whether the race costs no more than the plan's worst if these train on, whatever each one's step costs.

    That is so if no k candidates train more steps than the plan's k longest runs, for each k; and evaluate no oftener.
    One that failed counts as trained up to here.
    """
    rungs, trials = facts.plan.rungs[1 : facts.rung + 2], facts.plan.trials
    stop, before = rungs[-1].until_step, facts.plan.rungs[max(facts.rung - 1, 0)].until_step
    known = {*facts.alive, *facts.spare}
    reached = {
        model: _step(facts, model) if model in known or model in facts.progress else facts.step
        for model in (trial.candidate.model for trial in trials)
    }
    if any(reached[model] not in (0, before, facts.step) for model in going_on):
        return False  # its state is gone: it would train the same steps again
    spent = sorted((stop if model in going_on else step for model, step in reached.items()), reverse=True)
    slots = [max(one.until_step for one in rungs if one.n_candidates > place) for place in range(rungs[0].n_candidates)]

    def fits(cost: Callable[[int], int]) -> bool:
        sums = accumulate(map(cost, spent)), accumulate(map(cost, [*slots, *[0] * (len(spent) - len(slots))]))
        return all(mine <= planned for mine, planned in zip(*sums, strict=True))

    return fits(lambda step: step) and fits(lambda step: sum(point <= step for point in trials[0].eval_steps))


def _two_phase(facts: Facts) -> tuple[str, ...]:
    order = _order(facts)
    scores = {model: _scores(facts)[model] for model in order}
    place = facts.trial(order[0]).eval_steps.index(facts.step)
    finals = {model: clustered_final(facts.plan.clusters or {}, model, place, scores[model]) for model in order}
    return two_phase_survivors(order, scores, finals)[: facts.n_survivors]


def _extrapolated(facts: Facts) -> tuple[str, ...]:
    """Best first by where the power law through each curve ends."""
    ends = {}
    for model in facts.alive:
        shares, scores = _curve(facts, model)
        ends[model] = power_law_final(shares, scores)
    return ranked(ends, facts.probes)


def _order(facts: Facts) -> tuple[str, ...]:
    scores = _scores(facts)
    return ranked({model: scores[model] for model in facts.alive}, facts.probes)


def _scores(facts: Facts) -> dict[str, float]:
    """Validation scores at the rung's end."""
    return {model: score_at(facts.progress[model], facts.step) for model in facts.alive}


def score_at(progress: Progress, step: int) -> float:
    """The validation score at an evaluation point; nan where it was not evaluated."""
    return dict(zip(progress.curve_steps, progress.curve, strict=True)).get(step, math.nan)


def _seen(facts: Facts, model: str) -> Seen:
    """The curve up to the rung's end; also of one that was dropped earlier, as far as it came."""
    recalled = facts.trial(model).recalled
    return Seen(model, *_curve(facts, model), _number(recalled), _number(facts.probes.get(model)))


def _curve(facts: Facts, model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Shares of the run up to the rung's end at which the candidate was evaluated, and its scores there."""
    total = facts.trial(model).recipe.total_steps
    progress = facts.progress.get(model)
    points = [] if progress is None else zip(progress.curve_steps, progress.curve, strict=True)
    known = [(step / total, score) for step, score in points if step <= facts.step]
    return tuple(share for share, _ in known), tuple(score for _, score in known)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _generator(facts: Facts) -> np.random.Generator:
    return np.random.default_rng((facts.plan.trials[0].recipe.seed, facts.rung))
