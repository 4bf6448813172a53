"""Policies: who trains in which rung, from records alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from selection.halving import Lookahead, hyperband_brackets, two_phase_survivors, worth_racing
from selection.other_trends import learn_clusters
from selection.policies import Facts, _until, best_of, chances, forecast_at, foresee, rehearse, survivors
from selection.records import Candidate, Plan, Policy, Progress, Recipe
from selection.runner import select
from selection.schedule import Learnt, plan
from selection.simulated import Recorded, SimulatedTrainer
from selection.trends import Curve, FloatArray, learn_trend

RECIPE = Recipe(total_steps=80, warmup_steps=5)
POLICIES: tuple[Policy, ...] = get_args(Policy)


def learn(shares: Sequence[float], curves: Sequence[Curve]) -> Learnt:
    return Learnt(learn_trend(curves, shares), learn_clusters(curves, shares))


def past(seed: int = 0, n_fields: int = 12, n: int = 10) -> list[Curve]:
    """Runs whose early points and probes tell the end well."""
    rng = np.random.default_rng(seed)
    runs = []
    shares = (0.125, 0.25, 0.5, 1.0)
    for place in range(n_fields):
        finals = 0.7 + 0.05 * rng.standard_normal(n)
        for model, final in enumerate(finals):
            scores = final + 0.05 * rng.standard_normal(4) * (1.1 - np.array(shares)) - 0.3 * (1 - np.array(shares))
            probe = final - 0.1 + 0.03 * rng.standard_normal()
            runs.append(Curve(f"m{model}", f"d{place}", shares, tuple(scores), float(final), math.nan, float(probe)))
    return runs


def planned(
    names: Sequence[str],
    policy: Policy,
    probes: Mapping[str, float | None] | None = None,
    curves: Sequence[Curve] = (),
    price: float = 0.005,
    workers: int = 1,
) -> Plan:
    return plan(
        [Candidate(name) for name in names],
        RECIPE,
        seconds_per_step=lambda _: 1.0,
        probes=probes,
        policy=policy,
        price=price,
        workers=workers,
        learn=lambda shares: learn(shares, curves),
    )


def run_of(made: Plan, finals: Mapping[str, float], rng: np.random.Generator | None = None) -> dict[str, Progress]:
    """Whole runs that rise to these finals, with noise where a generator is given."""
    steps = made.trials[0].eval_steps
    rise = 0.3 * (1 - np.array(steps) / RECIPE.total_steps)
    noise = 0.0 if rng is None else 0.02
    return {
        model: Progress(
            80, steps, tuple(final - rise + noise * (rng or np.random.default_rng(0)).standard_normal(len(steps))), 0, 0
        )
        for model, final in finals.items()
    }


NAMES = [f"m{place}" for place in range(10)]
FINALS = {name: 0.6 + 0.02 * place for place, name in enumerate(NAMES)}
PROBES = {name: final - 0.1 for name, final in FINALS.items()}


def steps(made: Plan, raced: Sequence[Sequence[str]]) -> int:
    stops = [rung.until_step for rung in made.rungs]
    reached = dict.fromkeys(FINALS, 0)
    spent = 0
    for models, stop in zip(raced, stops[1:], strict=True):
        spent += sum(stop - reached[model] for model in models)
        reached |= dict.fromkeys(models, stop)
    return spent


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_ends_with_the_best_where_scores_tell_it(policy: Policy) -> None:
    made = planned(NAMES, policy, PROBES, past())
    raced = rehearse(made, run_of(made, FINALS)).raced
    assert "m9" in raced[-1]
    assert len(raced) == len(made.rungs) - 1


def test_brute_force_trains_all_to_the_end() -> None:
    made = planned(NAMES, "brute_force", PROBES)
    assert rehearse(made, run_of(made, FINALS)).raced == (tuple(reversed(NAMES)),)


def test_two_phase_spends_what_halving_each_of_five_stages_does_or_less() -> None:
    made = planned(NAMES, "two_phase", PROBES, past())
    assert [rung.n_candidates for rung in made.rungs[1:]] == [10, 5, 2, 1, 1]
    assert steps(made, rehearse(made, run_of(made, FINALS)).raced) <= 19 * 16


def test_two_phase_drops_who_is_behind_in_score_and_in_predicted_end() -> None:
    scores = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    assert two_phase_survivors("abcd", scores, {"a": 0.8, "b": 0.95, "c": 0.9, "d": 0.99}) == ("a", "b")
    assert two_phase_survivors("abcd", scores, {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}) == ("a",)
    assert two_phase_survivors("abcd", scores, {}) == ("a",)


def test_the_power_law_keeps_who_will_rise_past_the_others() -> None:
    made = planned(NAMES, "power_law", PROBES)
    assert [rung.n_candidates for rung in made.rungs[1:]] == [10, 5, 2, 1, 1]
    shares = np.array(made.trials[0].eval_steps) / RECIPE.total_steps
    curves = {"m0": 0 * shares + 0.8, "m1": 1.0 - 0.16 * shares**-0.7}  # at 0.4 it stands at 0.70, and ends at 0.84
    runs = {
        name: replace(run, curve=tuple(curves[name])) for name, run in run_of(made, dict.fromkeys(curves, 0)).items()
    }

    facts = Facts(made, 3, ("m0", "m1"), (), runs, PROBES)

    assert survivors(facts) == ("m1",)
    assert survivors(replace(facts, plan=replace(made, policy="successive_halving"))) == ("m0",)


def test_hyperband_halves_one_bracket_and_trains_another_through() -> None:
    brackets = hyperband_brackets(NAMES, 3)
    assert sorted(np.bincount(list(brackets.values()))) == [3, 3, 4]
    made = planned(NAMES, "hyperband", PROBES)
    raced = rehearse(made, run_of(made, FINALS)).raced
    assert [len(models) for models in raced] == [10, 8, 6, 5]
    assert [rung.n_candidates for rung in made.rungs[1:]] == [10, 8, 6, 5]


def test_racing_spends_less_than_halving_where_the_past_tells_the_end() -> None:
    racing, halving = (planned(NAMES, policy, PROBES, past()) for policy in ("racing", "successive_halving"))
    spent = [steps(made, rehearse(made, run_of(made, FINALS)).raced) for made in (racing, halving)]
    assert spent[0] < 0.75 * spent[1]


@pytest.mark.parametrize("seed", range(5))
def test_racing_never_lets_more_go_on_than_halving_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = planned(NAMES, "racing", None, (), price=0.0)
    raced = rehearse(made, run_of(made, dict.fromkeys(NAMES, 0.7), rng)).raced
    for models, rung in zip(raced, made.rungs, strict=False):
        assert len(models) <= rung.n_survivors


def test_a_dear_run_is_given_to_one_candidate_only() -> None:
    made = planned(NAMES, "racing", PROBES, past(), price=10.0)
    assert [len(models) for models in rehearse(made, run_of(made, FINALS)).raced] == [1] * (len(made.rungs) - 1)


def ahead(draws: FloatArray, each: float = 0.0025, rest: float = 0.0025, at_most: int = 2) -> Lookahead:
    """What half a run shows, at half a point for a whole one."""
    return Lookahead(draws, np.full(draws.shape[1], each), rest, at_most)


def test_a_sure_winner_races_alone_and_those_that_a_stop_tells_apart_race_on() -> None:
    rng = np.random.default_rng(0)
    sure = np.array([0.9, 0.8]) + 0.001 * rng.standard_normal((500, 2))
    open_then = np.array([0.8, 0.8]) + 0.001 * rng.standard_normal((500, 2))
    told = np.array([0.8, 0.8]) + 0.05 * rng.standard_normal((500, 2))
    assert worth_racing([ahead(sure)]) == (0,)
    assert len(worth_racing([ahead(open_then)])) == 1
    assert sorted(worth_racing([ahead(told)])) == [0, 1]
    assert len(worth_racing([ahead(told, at_most=1)])) == 1


def test_of_the_stops_ahead_the_one_at_which_most_is_gained_counts() -> None:
    noise = np.random.default_rng(0).standard_normal((500, 2))
    soon, late = ahead(0.8 + 0.0001 * noise, 0.001, 0.004), ahead(0.8 + 0.05 * noise, 0.005, 0.0)
    assert len(worth_racing([soon])) == 1
    assert sorted(worth_racing([soon, late])) == [0, 1]
    assert len(worth_racing([soon, replace(late, costs=np.full(2, 0.1))])) == 1
    assert len(worth_racing([soon, replace(late, at_most=1)])) == 1  # nobody is compared there


def test_one_that_copies_the_chances_of_another_is_not_worth_a_run() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 500))
    draws = np.column_stack([one, one - 0.01, other - 0.5])
    assert worth_racing([ahead(draws, 0.005, 0.0)]) == (0, 2)


def test_where_only_the_end_tells_and_one_comes_there_one_is_trained() -> None:
    rng = np.random.default_rng(8)
    blurred = [
        replace(run, probe=math.nan, scores=(*(0.7 + 0.05 * rng.standard_normal(3)), run.final)) for run in past(8, 200)
    ]
    made = planned(NAMES, "racing", None, blurred)
    assert [rung.n_candidates for rung in made.rungs[1:]] == [5, 2, 1]
    assert len(survivors(Facts(made, 0, tuple(NAMES), (), {}, {}))) == 1


def test_where_curves_tell_nothing_of_the_end_nobody_is_trained_to_see_one() -> None:
    rng = np.random.default_rng(6)

    def fields(tells: bool) -> list[Curve]:
        runs = past(6, 24)
        blurred = [tuple(0.7 + 0.05 * rng.standard_normal(4)) for _ in runs]
        return [
            replace(run, probe=math.nan, scores=run.scores if tells else one)
            for run, one in zip(runs, blurred, strict=True)
        ]

    told, untold = (planned(NAMES, "racing", None, fields(tells)) for tells in (True, False))
    assert [len(survivors(Facts(made, 0, tuple(NAMES), (), {}, {}))) for made in (told, untold)] == [5, 1]


def test_the_winner_of_a_race_is_who_is_expected_best_by_all_that_is_known() -> None:
    rng = np.random.default_rng(7)
    runs = [replace(run, recalled=run.final / 0.05) for run in past(7, 24)]
    noisy = [replace(run, scores=tuple(np.array(run.scores) + 0.05 * rng.standard_normal(4))) for run in runs]
    made = planned(["a", "b"], "racing", None, noisy)
    made = replace(
        made, trials=tuple(replace(one, recalled=r) for one, r in zip(made.trials, (16.0, 14.0), strict=True))
    )
    whole = run_of(made, {"a": 0.700, "b": 0.704})
    facts = Facts(made, len(made.rungs) - 1, ("a", "b"), (), whole, {})
    assert best_of(facts) == best_of(replace(facts, alive=("b", "a"))) == ("a", "b")
    assert best_of(replace(facts, plan=replace(made, policy="brute_force"))) == ("b", "a")


def test_a_candidate_dropped_by_the_probe_comes_back_when_the_others_disappoint() -> None:
    made = planned(
        NAMES[:6], "racing", {"m0": 0.60, "m1": 0.61, "m2": 0.62, "m3": 0.63, "m4": 0.635, "m5": 0.9}, past()
    )
    first = survivors(Facts(made, 0, tuple(NAMES[:6]), (), {}, {t.candidate.model: t.probe for t in made.trials}))
    assert first[0] == "m5"
    runs = run_of(made, dict.fromkeys(NAMES[:5], 0.75) | {"m5": 0.2})
    raced = rehearse(made, runs).raced
    assert "m5" in raced[0]
    assert raced[-1] != ("m5",)


def test_one_dropped_comes_back_only_where_the_worst_of_the_plan_leaves_room() -> None:
    made = planned(NAMES, "racing", dict.fromkeys(NAMES[:9], 0.5) | {"m9": 0.6}, past())
    assert [(rung.n_candidates, rung.until_step) for rung in made.rungs[1:]] == [(5, 20), (2, 40), (1, 80)]
    whole = run_of(made, dict.fromkeys(NAMES, 0.2))
    probes = {one.candidate.model: one.probe for one in made.trials}

    def taken(reached: Mapping[str, int]) -> tuple[str, ...]:
        progress = {model: _until(whole[model], step) for model, step in reached.items()}
        alive = tuple(model for model, step in reached.items() if step == 40)
        return survivors(Facts(made, 2, alive, tuple(m for m in NAMES if m not in alive), progress, probes))

    assert taken({"m0": 40}) == ("m9",)  # 40 + 80 of the planned 80 + 40 + 3 * 20 steps
    assert taken({"m0": 40, "m1": 40, "m2": 20, "m3": 20, "m4": 20}) != ("m9",)
    assert taken({"m0": 40, "m1": 40}) != ("m9",)  # were these the dearest three, it would be too much


def test_the_same_facts_are_decided_alike() -> None:
    made = planned(NAMES, "racing", PROBES, past())
    runs = run_of(made, FINALS, np.random.default_rng(1))
    assert rehearse(made, runs).raced == rehearse(made, runs).raced


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_records_decides_nothing_in_a_race(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = planned(NAMES, "racing", PROBES, past(), price=0.0005)
    finals = {name: 0.7 + 0.02 * rng.standard_normal() for name in NAMES}
    runs = run_of(made, finals, rng)
    until = {name: replace(run, curve_steps=run.curve_steps[:2], curve=run.curve[:2]) for name, run in runs.items()}
    facts = Facts(made, 1, tuple(NAMES[:5]), tuple(NAMES[5:]), until, PROBES)
    other = Facts(made, 1, tuple(rng.permutation(NAMES[:5])), tuple(rng.permutation(NAMES[5:])), until, PROBES)
    assert survivors(facts) == survivors(other)
    models = (*facts.alive, *facts.spare)
    assert chances(facts, forecast_at(facts, models)) == chances(other, forecast_at(other, models[::-1]))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_rehearsal_is_what_the_selection_does(policy: Policy, tmp_path: Path) -> None:
    made = planned(NAMES, policy, PROBES, past())
    runs = run_of(made, FINALS, np.random.default_rng(2))
    recorded = {model: Recorded(one.curve_steps, one.curve, one.curve[-1]) for model, one in runs.items()}
    outcome = select("beans", made, SimulatedTrainer(recorded), tmp_path)
    rehearsal = rehearse(made, runs)
    stops = [rung.until_step for rung in made.rungs[1:]]
    reached = {model: stop for models, stop in zip(rehearsal.raced, stops, strict=True) for model in models}
    assert {one.candidate.model: one.progress.step for one in outcome.standings if one.progress.step} == reached
    assert outcome.best.candidate.model == rehearsal.winner
    if policy != "racing":
        assert rehearsal.winner == max(rehearsal.raced[-1], key=lambda model: runs[model].curve[-1])


def test_a_selection_killed_and_begun_again_decides_by_the_trend_it_began_with(tmp_path: Path) -> None:
    made = planned(NAMES, "racing", PROBES, past())
    runs = run_of(made, FINALS, np.random.default_rng(3))
    recorded = {model: Recorded(one.curve_steps, one.curve, one.curve[-1]) for model, one in runs.items()}
    whole = select("beans", made, SimulatedTrainer(recorded), tmp_path / "whole")
    lines = (tmp_path / "whole" / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "journal.jsonl").write_text("".join(lines[:4]))
    other = replace(made, trend=learn_trend(past(9), made.trend.shares if made.trend else ()))
    again = select("beans", other, SimulatedTrainer(recorded), tmp_path / "cut")
    assert again.standings == whole.standings
    assert again.plan == made


def test_the_plan_expects_less_than_its_worst_and_counts_workers() -> None:
    one, two = (planned(NAMES, "racing", PROBES, past(), workers=workers) for workers in (1, 2))
    assert one.expected_seconds < one.worst_seconds
    assert two.expected_seconds < one.expected_seconds
    halving = planned(NAMES, "successive_halving", PROBES)
    assert one.worst_seconds == halving.worst_seconds
    assert one.expected_seconds < halving.expected_seconds


def test_simulated_races_are_as_large_as_real_ones_on_average() -> None:
    rng = np.random.default_rng(4)
    curves = past(1, 30)
    real, foreseen = [], []
    for seed in range(12):
        field = past(100 + seed, 1)
        made = planned(NAMES, "racing", {one.model: one.probe for one in field}, curves)
        shares = np.array(made.trials[0].eval_steps) / 80
        runs = {
            one.model: Progress(
                80,
                made.trials[0].eval_steps,
                tuple(one.final + 0.05 * rng.standard_normal(len(shares)) * (1.1 - shares) - 0.3 * (1 - shares)),
                0,
                0,
            )
            for one in field
        }
        real.append([len(models) for models in rehearse(made, runs).raced])
        foreseen.append(np.mean([[len(models) for models in race.raced] for race in foresee(made)], axis=0))
    np.testing.assert_allclose(np.mean(foreseen, axis=0), np.mean(real, axis=0), atol=0.8)
