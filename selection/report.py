"""What a selection found, for people: one HTML page with its race, and lines for a terminal."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from selection import chart, page
from selection.errors import InputError
from selection.outlook import borne_out, learnt_from
from selection.race import CutOff, Decided, Event, Failed, Finished, Probed, Revived, Tested, Trained
from selection.records import Outcome, Pick, Plan
from selection.schedule import planned_steps
from selection.uncertainty import interval, standard_error
from selection.wording import duration, metric_name, number, plus_minus, rates_chosen, rates_tried, trained_weights


def write(
    outcome: Outcome,
    folder: Path,
    *,
    picks: Sequence[Pick] | None = None,
    recall_notes: Sequence[str] = (),
    verify: Mapping[str, float] | None = None,
    truth: Mapping[str, float] | None = None,
) -> Path:
    """Writes `report.html` (one file, loads nothing) and `race.png` to `folder`; returns the page's path.

    `picks` and `recall_notes` are what recall said of the candidates. Where brute force was run too, `verify` holds
    each model's final validation score and `truth` its test score; the page then shows the regret.

    Raises:
        InputError: `truth` lacks the winner or a model of `verify`.
    """
    regret = _regret(outcome, verify, truth) if truth is not None else None
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "race.png", chart.png(outcome))
    target = folder / "report.html"
    text = page.render(outcome, chart.svg(outcome), picks or (), recall_notes, regret)
    _replace(target, text.encode())
    return target


def lines(outcome: Outcome) -> list[str]:
    """The outcome for a terminal: answer, ranking, cost, notes."""
    best = outcome.best
    error = standard_error(outcome.metric, outcome.test_score or math.nan, outcome.n_test)
    rows = f" on {outcome.n_test} test rows" if outcome.n_test else " on the test part"
    metric, better = metric_name(outcome.metric), _better(outcome.metric)
    text = [
        f"best        {best.candidate.model}",
        f"test        {metric} {plus_minus(outcome.test_score, error)}{better}{rows}, measured once",
        f"checkpoint  {outcome.checkpoint or 'not there any more'}",
        "",
    ]
    table = [["#", "model", f"validation {metric}", "step", "below winner", "how it ended"]]
    table += [_row(outcome, index) for index in range(len(outcome.standings))]
    text += _aligned(table, left={1, 5})
    trained, brute = page.trained_steps(outcome), page.brute_force_steps(outcome)
    cost = (
        f"{trained} steps ({trained / brute:.0%} of the {brute} of training all of them), {duration(outcome.seconds)}"
    )
    failures = [
        f"failed      {one.candidate.model}: {one.reason}" for one in outcome.standings if one.dropped == "failed"
    ]
    came = borne_out(outcome)
    forecast = [f"forecast    {came}"] if came else []
    chosen = rates_chosen([best])
    rate = [f"rate        {chosen}"] if chosen else []
    return [
        *text,
        "",
        *failures,
        *forecast,
        *rate,
        f"cost        {cost}",
        *(f"note        {note}" for note in page.notes(outcome)),
    ]


def plan_lines(plan: Plan) -> list[str]:
    """The plan for a terminal: rungs, cost, notes."""
    recipe = plan.trials[0].recipe
    verb = "fine-tuning" if recipe.method == "full" else "training"
    tried = f", {rates_tried(recipe)}" if recipe.rate_factors else ""
    counted = "1 candidate" if len(plan.trials) == 1 else f"{len(plan.trials)} candidates"
    text = [
        f"{counted}, {verb} {trained_weights(recipe)} for up to {recipe.total_steps} steps of {recipe.batch_size} "
        f"rows{tried}, judged by validation {metric_name(recipe.metric)}{_better(recipe.metric)}"
    ]
    at_most = "at most " if plan.expected_steps is not None else ""
    table = [["rung", "candidates", "until", "go on", "expected"]]
    for rung in plan.rungs:
        until = f"step {rung.until_step}" if rung.index else "probe"
        going_on = "winner" if rung is plan.rungs[-1] else f"{at_most}{rung.n_survivors}"
        candidates = f"{at_most if rung.index else ''}{rung.n_candidates}"
        table.append([str(rung.index), candidates, until, going_on, duration(rung.expected_seconds)])
    worst, brute = planned_steps(plan), len(plan.trials) * recipe.total_steps
    steps = worst if plan.expected_steps is None else round(plan.expected_steps)
    text += _aligned(table, left=set())
    pace = "at the candidates' mean pace" if plan.expected_steps is None else "each at its own pace"
    text.append(
        f"{plan.policy.replace('_', ' ')}: {steps} steps ({steps / brute:.0%} of the {brute} of training all of them), "
        f"{duration(plan.expected_seconds)} expected (with the probe and the winner's test, {pace}); {worst} steps, "
        f"{duration(plan.worst_seconds)} at worst (with both, the slowest survive every cut); "
        f"all of them {duration(plan.brute_force_seconds)} (without the probe, at the mean pace)"
    )
    if plan.policy == "racing":
        text.append(learnt_from(plan.trend))
    return [*text, *(f"note: {note}" for note in plan.notes)]


def event_line(event: Event, plan: Plan) -> str:
    """One line on what has just happened, for a log or a progress display."""
    match event:
        case Probed(scores):
            known = sum(score is not None for score in scores.values())
            return f"rung 0: {known} of {len(scores)} candidates have a probe score"
        case Trained(rung, model, progress):
            return f"rung {rung}: {model} {number(progress.score)} at step {progress.step}"
        case Failed(rung, model, reason):
            return f"rung {rung}: {model} failed: {reason}"
        case Decided(rung, survivors, dropped):
            going_on = f"{survivors[0]} goes on" if len(survivors) == 1 else f"{len(survivors)} go on"
            return f"rung {rung} of {len(plan.rungs) - 1}: {going_on}, {len(dropped)} dropped"
        case Revived(rung, models):
            return f"rung {rung}: all failed; back in the race: {', '.join(models)}"
        case CutOff(rung, seconds):
            return f"rung {rung}: the clock ended the race after {duration(seconds)}"
        case Tested(model, score):
            return f"winner {model}: {number(score)} on the test part"
        case Finished(model):
            return f"winner {model}: saved"


def _regret(outcome: Outcome, verify: Mapping[str, float] | None, truth: Mapping[str, float]) -> page.Regret:
    """The winner beside brute force's own choice (by final validation score) and the best there was."""
    known = verify if verify is not None else {}
    missing = sorted({outcome.best.candidate.model, *known} - set(truth))
    if missing:
        raise InputError(
            f"got test scores of {len(truth)} models without {', '.join(missing)}, wanted one for the winner and for "
            "each model that was verified: measure those too"
        )
    oracle = max(truth, key=lambda model: (truth[model], model))
    pick = max(known, key=lambda model: (known[model], model)) if known else None
    return page.Regret(truth[outcome.best.candidate.model], pick, truth.get(pick or ""), oracle, truth[oracle])


def _better(metric: str) -> str:
    """Which way a negated error is read."""
    return "" if metric_name(metric) == metric else " (larger is better)"


def _row(outcome: Outcome, index: int) -> list[str]:
    one = outcome.standings[index]
    seen = interval(outcome.metric, one.progress.score, outcome.n_validation)
    spread = f" [{number(seen[0])}, {number(seen[1])}]" if seen else ""
    ended = chart.how_it_ended(one)
    return [
        str(one.place),
        one.candidate.model,
        number(one.progress.score) + spread,
        str(one.progress.step),
        " ".join(page.below_winner(outcome, one)).strip(),
        ended,
    ]


def _aligned(table: Sequence[Sequence[str]], left: set[int]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _replace(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
