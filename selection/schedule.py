"""Plans a selection before anything is spent: who is probed, how many train how far, what it may cost.

Knows counts, steps and seconds; knows nothing of training, files or the clock. Successive halving (Jamieson and
Talwalkar, arXiv 1502.07943, algorithm 1) over geometric rungs, behind a rung 0 that costs a forward pass at most.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import get_args

from selection.errors import BudgetError, InputError
from selection.halving import hyperband_brackets
from selection.policies import Rehearsal, foresee
from selection.rates import least_search
from selection.records import PRICE, Candidate, Clusters, Plan, Policy, Recipe, Rung, Trend, Trial

# Stages of 2PS's fine-selection, where its stops are not given.
_STAGES = 5
# Points of a curve that is to be looked at.
_CURVE_POINTS = 8

Rates = Mapping[str, float] | Callable[[Candidate], float]


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a run costs beside its steps. Everything that grows with the model is given in training steps.

    A forward pass over n rows costs about n / batch_size / 3 steps. `start_seconds` is paid each time a trial
    starts or goes on.
    """

    start_seconds: float = 0.0
    probe_steps: float = 0.0
    evaluation_steps: float = 0.0
    test_steps: float = 0.0


@dataclass(frozen=True, slots=True)
class Learnt:
    """What past runs tell of how runs end: for the policy "racing", and 2PS's own for "two_phase"."""

    trend: Trend | None = None
    clusters: Clusters | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    """A way to spend: the first `n_candidates` are probed, `sizes[i]` of them train on to `stops[i]`."""

    n_candidates: int
    sizes: tuple[int, ...]
    stops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What every price depends on, beside who trains how far."""

    recipe: Recipe
    rates: Mapping[str, float]
    overhead: Overhead
    eval_points: int
    workers: int

    def stage(self, candidates: Sequence[Candidate], steps: int, n_evaluations: int) -> list[float]:
        """Seconds of each candidate for one stage of training, slowest first."""
        units = steps + n_evaluations * self.overhead.evaluation_steps
        return [self.overhead.start_seconds + seconds for seconds in self.passes(candidates, units)]

    def passes(self, candidates: Sequence[Candidate], steps: float) -> list[float]:
        """Seconds of each candidate for work worth `steps` steps, slowest first."""
        return sorted((steps * self.rates[one.model] for one in candidates), reverse=True)

    def full_run(self, candidate: Candidate) -> float:
        """Seconds of the least plan: this candidate probed, trained to the end, tested."""
        return _priced([candidate], _Shape(1, (1,), (self.recipe.total_steps,)), self).worst_seconds


def plan(
    candidates: Sequence[Candidate],
    recipe: Recipe,
    *,
    seconds_per_step: Rates,
    overhead: Overhead | None = None,
    eval_points: int | None = None,
    stops: Sequence[int] | None = None,
    first_stop: int | None = None,
    probe_survivors: int | None = None,
    workers: int = 1,
    budget_seconds: float | None = None,
    probes: Mapping[str, float | None] | None = None,
    recalled: Mapping[str, float | None] | None = None,
    policy: Policy = "racing",
    price: float = PRICE,
    learn: Callable[[Sequence[float]], Learnt] | None = None,
) -> Plan:
    """Rungs, evaluation points and cost of a selection among `candidates` (best recalled first).

    Rung 0 lets `probe_survivors` of them through (default: `probe_cut`), by their scores in `probes`. The training
    rungs end at `stops` (default: `geometric_stops`, none before `first_stop`, by default twice the warm-up and a
    sixteenth of the total: scores at the very first steps say nothing of the last); after each, max(1, floor(n / 2))
    go on, and the last trains its survivors to `recipe.total_steps`. That is `policy` "successive_halving"; "racing"
    lets at most as many go on, and only whom `price` (score for a full run) is worth it (`halving.worth_racing`);
    "hyperband" and, in five equal stages, "two_phase" (2PS) and "power_law" (halving by where the power law through a
    curve ends) drop nobody by the probe, "brute_force" nobody at all. `learn` is given the shares of a run at which
    there will be scores, and returns what past runs tell of how such runs end; None tells nothing.

    Every stop is an evaluation point; up to `eval_points` in all (default: the stops alone, as nothing is decided
    elsewhere, and with several rates where they are compared; eight with "power_law", which needs them, and
    "brute_force", whose curves are all that it shows).

    `expected_seconds` takes every candidate for an average one; with "racing" it is of races simulated by what was
    learnt, each candidate at its own pace. `worst_seconds` lets the slowest survive every cut; both count `workers`
    trials at once. `brute_force_seconds` trains every candidate of the plan to the end, tests one.

    With a budget, `worst_seconds` stays within it. Given up in this order, each named in `notes`: candidates whose
    own full run does not fit; candidates that pass the probe; the length of the first rung; candidates probed, from
    the end of the list; the stops on the way of the one left. The full run of whoever is left is never shortened.

    Raises:
        InputError: no candidates, one twice, a rate that is missing or not positive, impossible stops, no such policy,
            a price that is negative or no number.
        BudgetError: not even one candidate's full run fits the budget, or its cost is no number.
    """
    _check_policy(policy, price)
    if eval_points is None:
        eval_points = _CURVE_POINTS if policy in ("power_law", "brute_force") else 1
    _check(candidates, recipe, eval_points, workers, stops)
    terms = _Terms(recipe, _rates(candidates, seconds_per_step), overhead or Overhead(), eval_points, workers)
    kept, notes = _affordable(candidates, terms, budget_seconds)
    given = tuple(stops) if stops is not None else None
    shapes = list(_shapes([one.model for one in kept], recipe, given, first_stop, probe_survivors, policy))
    limit = math.inf if budget_seconds is None else budget_seconds
    plans = ((shape, _priced(kept[: shape.n_candidates], shape, terms)) for shape in shapes)
    fitting = next(((shape, result) for shape, result in plans if result.worst_seconds <= limit), None)
    if fitting is None:
        raise BudgetError(
            f"got a worst case of {terms.full_run(kept[0])} s for one full run of {kept[0].model}, wanted at most "
            f"{limit:.1f} s: give more time, and overheads that are numbers"
        )
    shape, result = fitting
    learnt = learn([step / recipe.total_steps for step in result.trials[0].eval_steps]) if learn else Learnt()
    planned = {trial.candidate.model for trial in result.trials}
    found = replace(
        result,
        trials=tuple(
            replace(
                trial,
                probe=(probes or {}).get(trial.candidate.model),
                recalled=(recalled or {}).get(trial.candidate.model),
            )
            for trial in result.trials
        ),
        notes=(*notes, *_given_up(shapes[0], shape)),
        left_out=tuple(candidate.model for candidate in candidates if candidate.model not in planned),
        policy=policy,
        price=price,
        trend=learnt.trend,
        clusters=learnt.clusters,
    )
    return _expecting(found, terms) if policy == "racing" else found


def probe_cut(n_candidates: int) -> int:
    """How many candidates pass rung 0: at least four and at least half, all of four or fewer.

    A probe sees frozen features only and has often moved the order of the candidates already, through recall; so it
    may drop the worse half, where that saves a rung for each, and never decides among the last few: with four
    candidates or fewer the geometric rungs cost at most two full runs anyway.
    """
    return min(n_candidates, max(4, math.ceil(n_candidates / 2)))


def geometric_stops(n_candidates: int, total_steps: int, eta: int = 2, first_stop: int = 1) -> tuple[int, ...]:
    """Steps at which the training rungs end: ..., total / eta^2, total / eta, total; none before `first_stop`.

    As many as halving needs to come down to one candidate, or fewer where the first would end too early.
    """
    n_rungs, left = 1, n_candidates
    while left > 1:
        n_rungs, left = n_rungs + 1, max(1, left // eta)
    ladder = {total_steps // eta**power for power in range(n_rungs)}
    return tuple(sorted(step for step in ladder if step >= max(1, min(first_stop, total_steps))))


def rung_sizes(n_candidates: int, n_rungs: int, eta: int = 2) -> tuple[int, ...]:
    """How many candidates train in each rung: n, then max(1, floor(n / eta)), and so on."""
    sizes = [n_candidates]
    while len(sizes) < n_rungs:
        sizes.append(max(1, sizes[-1] // eta))
    return tuple(sizes)


def eval_steps(total_steps: int, stops: Sequence[int], points: int = 8) -> tuple[int, ...]:
    """Evaluation points: every stop and the end, then the middle of the widest gap (the earliest such), up to `points`.

    >>> eval_steps(100, (25, 50, 100), 5)
    (12, 25, 50, 75, 100)
    """
    steps = {0, total_steps, *stops}
    while len(steps) - 1 < min(points, total_steps):
        ordered = sorted(steps)
        width, low = max(((high - low, -low) for low, high in pairwise(ordered)))
        steps.add(-low + width // 2)
    return tuple(sorted(steps - {0}))


def planned_steps(plan: Plan) -> int:
    """Training steps that the plan spends, over all its rungs.

    Halving each of T epochs costs sum_t max(1, floor(K / 2^(t-1))) epochs (2PS, section 4.2): `stops=range(1, T + 1)`.
    """
    return sum(rung.n_candidates * (rung.until_step - before.until_step) for before, rung in pairwise(plan.rungs))


def _rates(candidates: Sequence[Candidate], rates: Rates) -> dict[str, float]:
    """Seconds per step by model, each checked."""
    found = {}
    for candidate in candidates:
        rate = rates(candidate) if callable(rates) else rates.get(candidate.model, math.nan)
        if not 0 < rate < math.inf:
            raise InputError(
                f"got {rate} seconds per step for {candidate.model}, wanted a positive number: "
                "time a few steps of it, or leave the candidate out"
            )
        found[candidate.model] = rate
    return found


def _check(
    candidates: Sequence[Candidate],
    recipe: Recipe,
    eval_points: int,
    workers: int,
    stops: Sequence[int] | None,
) -> None:
    names = [candidate.model for candidate in candidates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names:
        raise InputError("got no candidates, wanted at least one: recommend some first, or name them")
    if twice:
        raise InputError(f"got {', '.join(twice)} more than once, wanted each candidate once: remove the doubles")
    if eval_points < 1 or workers < 1 or recipe.total_steps < 1:
        raise InputError(
            f"got eval_points={eval_points}, workers={workers}, total_steps={recipe.total_steps}, "
            "wanted each of 1 or more"
        )
    given = list(stops) if stops is not None else [recipe.total_steps]
    if given != sorted({*given}) or given[:1] < [1] or given[-1:] != [recipe.total_steps]:
        raise InputError(f"got stops {given}, wanted ascending steps from 1 on, the last of them {recipe.total_steps}")


def _check_policy(policy: str, price: float) -> None:
    if policy not in get_args(Policy):
        raise InputError(f"got the policy {policy!r}, wanted one of {', '.join(get_args(Policy))}")
    if not 0.0 <= price < math.inf:
        raise InputError(f"got a price of {price}, wanted what a full run must promise to gain: 0 or more, e.g. 0.005")


def _affordable(
    candidates: Sequence[Candidate], terms: _Terms, budget_seconds: float | None
) -> tuple[list[Candidate], tuple[str, ...]]:
    """The candidates whose own full run fits the budget, and a note on the others."""
    if budget_seconds is None:
        return list(candidates), ()
    kept = [one for one in candidates if terms.full_run(one) <= budget_seconds]
    if not kept:
        cheapest = min(candidates, key=terms.full_run)
        raise BudgetError(
            f"got a budget of {budget_seconds:.1f} s, wanted at least {terms.full_run(cheapest):.1f} s for one full "
            f"run of the cheapest candidate ({cheapest.model}, {terms.recipe.total_steps} steps at "
            f"{terms.rates[cheapest.model]:.3g} s): give more time, fewer steps or a smaller candidate, "
            "or train the head only"
        )
    dear = [one.model for one in candidates if one not in kept]
    note = f"left out, a full run alone would pass the budget of {budget_seconds:.0f} s: {', '.join(dear)}"
    return kept, (note,) if dear else ()


def _shapes(
    models: Sequence[str],
    recipe: Recipe,
    stops: tuple[int, ...] | None,
    first_stop: int | None,
    probe_survivors: int | None,
    policy: Policy,
) -> Iterator[_Shape]:
    """Every shape worth trying, the one wanted first, the least one last."""
    n_candidates, total = len(models), recipe.total_steps
    earliest = max(1, first_stop if first_stop is not None else max(2 * recipe.warmup_steps, total // 16))
    passing = probe_cut(n_candidates) if probe_survivors is None else max(1, min(probe_survivors, n_candidates))
    if policy in ("brute_force", "hyperband", "two_phase", "power_law"):
        yield from (_unprobed(models[:n], total, stops, earliest, policy) for n in range(n_candidates, 0, -1))
        yield _Shape(1, (1,), (total,))
        return
    for n in range(passing, 0, -1):
        ladder = stops or geometric_stops(n, total, first_stop=earliest)
        yield _Shape(n_candidates, rung_sizes(n, len(ladder)), ladder)
        step = ladder[0] // 2
        while n == 2 and stops is None and step >= earliest:
            yield _Shape(n_candidates, (2, 1), (step, total))
            step //= 2
    for n in range(n_candidates, 0, -1):
        yield _Shape(n, (1,), (total,))


def _unprobed(
    models: Sequence[str], total: int, stops: tuple[int, ...] | None, earliest: int, policy: Policy
) -> _Shape:
    """The shape of a policy that trains every candidate at first."""
    n = len(models)
    if policy == "brute_force":
        return _Shape(n, (n,), (total,))
    if policy in ("two_phase", "power_law"):
        ladder = stops or tuple(sorted({max(1, total * stage // _STAGES) for stage in range(1, _STAGES + 1)}))
        return _Shape(n, rung_sizes(n, len(ladder)), ladder)
    ladder = stops or geometric_stops(n, total, first_stop=earliest)
    members = Counter(hyperband_brackets(models, len(ladder)).values())
    sizes = [
        sum(max(1, size // 2 ** max(0, rung - bracket)) for bracket, size in members.items())
        for rung in range(len(ladder))
    ]
    return _Shape(n, tuple(sizes), ladder)


def _expecting(plan: Plan, terms: "_Terms") -> Plan:
    """The plan with the steps, and the seconds at each one's own pace, that simulated races take on average."""
    races = foresee(plan)
    spent = [_spent(plan, race, terms) for race in races]
    steps = sum(sum(steps) for steps, _ in spent) / len(races)
    seconds = [sum(of) / len(races) for of in zip(*(seconds for _, seconds in spent), strict=True)]
    rungs = [
        plan.rungs[0],
        *(replace(rung, expected_seconds=of) for rung, of in zip(plan.rungs[1:], seconds, strict=True)),
    ]
    candidate = {trial.candidate.model: trial.candidate for trial in plan.trials}
    tests = sum(terms.passes([candidate[race.winner]], terms.overhead.test_steps)[0] for race in races) / len(races)
    # On several workers one that comes back may take longer than the bound, which is of races without.
    expected = min(plan.worst_seconds, sum(rung.expected_seconds for rung in rungs) + tests)
    return replace(plan, rungs=tuple(rungs), expected_seconds=expected, expected_steps=steps)


def _spent(plan: Plan, race: Rehearsal, terms: "_Terms") -> tuple[list[int], list[float]]:
    """Steps and seconds of each rung after the probe; one that comes back goes on where it was."""
    candidate = {trial.candidate.model: trial.candidate for trial in plan.trials}
    points = plan.trials[0].eval_steps
    reached = dict.fromkeys(candidate, 0)
    steps, seconds = [], []
    for models, rung in zip(race.raced, plan.rungs[1:], strict=True):
        pieces = []
        for model in models:
            start, reached[model] = reached[model], rung.until_step
            n_evaluations = sum(start < point <= rung.until_step for point in points)
            pieces.append((rung.until_step - start, candidate[model], n_evaluations))
        steps.append(sum(n for n, _, _ in pieces))
        seconds.append(
            _wall_clock([terms.stage([one], n, evaluated)[0] for n, one, evaluated in pieces], terms.workers)
        )
    return steps, seconds


def _wall_clock(seconds: Sequence[float], workers: int) -> float:
    """Seconds of pieces that workers take in this order."""
    busy_until = [0.0] * min(workers, len(seconds))
    for one in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + one)
    return max(busy_until)


def _priced(candidates: Sequence[Candidate], shape: _Shape, terms: _Terms) -> Plan:
    """The shape as a plan, with its seconds."""
    total, workers = terms.recipe.total_steps, terms.workers
    compared = [min(total, least_search(terms.recipe))] if terms.recipe.rate_factors else []
    points = eval_steps(total, [*shape.stops, *compared], terms.eval_points)
    probes, tests = (terms.passes(candidates, n) for n in (terms.overhead.probe_steps, terms.overhead.test_steps))
    rungs = [Rung(0, len(candidates), shape.sizes[0], 0, _average(probes, len(candidates), workers))]
    worst = [_slowest(probes, workers)]
    ends = (*shape.sizes[1:], 1)
    for index, (size, end, start, stop) in enumerate(
        zip(shape.sizes, ends, (0, *shape.stops), shape.stops, strict=False), 1
    ):
        stage = terms.stage(candidates, stop - start, sum(start < point <= stop for point in points))
        rungs.append(Rung(index, size, end, stop, _average(stage, size, workers)))
        worst.append(_slowest(stage[:size], workers))
    full = terms.stage(candidates, total, len(points))
    return Plan(
        trials=tuple(Trial(candidate, terms.recipe, points) for candidate in candidates),
        rungs=tuple(rungs),
        expected_seconds=sum(rung.expected_seconds for rung in rungs) + _average(tests, 1, 1),
        worst_seconds=sum(worst) + tests[0],
        brute_force_seconds=_average(full, len(full), workers) + _average(tests, 1, 1),
    )


def _average(seconds: Sequence[float], n: int, workers: int) -> float:
    """Wall-clock seconds of n average pieces on `workers` workers."""
    return math.ceil(n / workers) * sum(seconds) / len(seconds)


def _slowest(seconds: Sequence[float], workers: int) -> float:
    """Graham's bound on the wall clock of these pieces, in whatever order the workers take them (1966, theorem 1)."""
    return sum(seconds) / workers + (1 - 1 / workers) * max(seconds)


def _given_up(wanted: _Shape, got: _Shape) -> tuple[str, ...]:
    """What the budget cost, one sentence for each thing."""
    notes = []
    if got.n_candidates < wanted.n_candidates:
        notes.append(f"for the budget: {got.n_candidates} of {wanted.n_candidates} candidates are probed")
    if got.sizes[0] < wanted.sizes[0]:
        notes.append(f"for the budget: {got.sizes[0]} instead of {wanted.sizes[0]} candidates pass the probe")
    if got.stops[0] < wanted.stops[0]:
        notes.append(f"for the budget: the first rung ends at step {got.stops[0]} instead of {wanted.stops[0]}")
    if got.sizes == (1,) and got.n_candidates > 1:
        notes.append("for the budget: the probe alone decides who is trained; give more time to race candidates")
    if wanted.n_candidates == 1 and len(got.stops) < len(wanted.stops):
        given_up = ", ".join(map(str, wanted.stops))
        notes.append(f"for the budget: one stop, at step {got.stops[0]}, instead of those at {given_up}")
    return tuple(notes)
