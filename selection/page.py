"""The page of a selection: one HTML text with its styles and its picture inside, nothing loaded from elsewhere.

Everything that came from outside (names, reasons, paths) is escaped here, once, where it enters the text.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from selection.chart import how_it_ended
from selection.markup import STYLE, bullets, table, table_row
from selection.outlook import Stop, borne_out, estimate, last_end, learnt_from, stops, when_leaving
from selection.records import Outcome, Pick, Plan, Standing
from selection.uncertainty import WITH_ERROR, gap, interval, is_tied, last_met, standard_error
from selection.wording import (
    duration,
    metric_name,
    number,
    percent,
    plus_minus,
    rates_chosen,
    rates_tried,
    stop_name,
    trained_weights,
)

# Who went on at a stop, by name.
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Regret:
    """Test scores: the winner's, brute force's choice (None where it was not run), and the best of all measured."""

    winner_score: float
    brute_force: str | None
    brute_force_score: float | None
    oracle: str
    oracle_score: float


def render(
    outcome: Outcome, drawing: str, picks: Sequence[Pick], recall_notes: Sequence[str], regret: Regret | None
) -> str:
    """The whole page. `drawing` is an SVG element and goes in as it is."""
    dataset = escape(outcome.dataset)
    parts = [
        _answer(outcome),
        _race(outcome, drawing),
        _ranking(outcome),
        _departures(outcome),
        _outlook(outcome),
        _cost(outcome),
        _verified(regret) if regret else "",
        _recalled(picks, recall_notes) if picks or recall_notes else "",
        _notes(outcome),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Selection on {dataset}: {escape(outcome.best.candidate.model)}</title>\n<style>{STYLE}</style>\n"
        f"</head>\n<body>\n<main>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def trained_steps(outcome: Outcome) -> int:
    """Training steps spent, over all candidates."""
    return sum(one.progress.step for one in outcome.standings)


def brute_force_steps(outcome: Outcome) -> int:
    """Training steps of every candidate run to the end."""
    return sum(trial.recipe.total_steps for trial in outcome.plan.trials)


def brute_force_seconds(outcome: Outcome) -> float | None:
    """Seconds of every candidate run to the end, by the measured seconds per step; of those that have not trained by
    the mean of the others', in proportion to their parameters where all are known.

    None where nothing measured tells.
    """
    total = outcome.plan.rungs[-1].until_step
    trained = [one for one in outcome.standings if one.progress.step]
    if not trained:
        return None
    known = all(one.candidate.n_parameters for one in outcome.standings)
    size = {one.candidate.model: (one.candidate.n_parameters or 1) if known else 1 for one in outcome.standings}
    rate = {one.candidate.model: one.progress.seconds / one.progress.step for one in trained}
    by_size = fmean(rate[model] / size[model] for model in rate)
    return total * sum(rate.get(model, by_size * n) for model, n in size.items())


def notes(outcome: Outcome) -> tuple[str, ...]:
    """Everything the reader must know beside the numbers: the plan's notes, the race's, and what is not known."""
    unknown = []
    if standard_error(outcome.metric, outcome.test_score or math.nan, outcome.n_test) is None:
        why = f"{metric_name(outcome.metric)} needs each row's prediction, and only scores are kept"
        if outcome.metric in WITH_ERROR:
            why = "there are too few test rows" if outcome.n_test else "the number of test rows was not given"
        unknown.append(f"no standard error is shown for the test score: {why}")
    return (*outcome.plan.notes, *outcome.notes, *unknown)


def below_winner(outcome: Outcome, one: Standing) -> tuple[str, str]:
    """How far below the winner a candidate was where they last met, and whether that says anything; or empty."""
    distance = gap(outcome, one)
    if one.place == 1 or distance is None:
        return "", ""
    below = number(distance) if distance >= 0 else f"{number(-distance)} above"
    return below, "tied" if is_tied(outcome, one) else ""


def _answer(outcome: Outcome) -> str:
    best, n, metric = outcome.best, len(outcome.standings), metric_name(outcome.metric)
    question = f"Which of {n} candidates should be fine-tuned on {outcome.dataset}?"
    if n == 1:
        question = f"How well does the one candidate do on {outcome.dataset}?"
    facts = [
        (f"Test {metric}", _test_score(outcome)),
        (f"Validation {metric}", f"{_score(outcome, best)} at step {best.progress.step}"),
        ("Checkpoint", f"<code>{escape(str(outcome.checkpoint or 'not there any more'))}</code>"),
        ("Certainty", _certainty(outcome)),
        ("Cost", _cost_in_short(outcome)),
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f'<h1>{escape(question)}</h1>\n<div class="answer"><p class="name">{escape(best.candidate.model)}</p>'
        f"<dl>{listed}</dl></div>\n"
    )


def _test_score(outcome: Outcome) -> str:
    error = standard_error(outcome.metric, outcome.test_score or math.nan, outcome.n_test)
    rows = f"{outcome.n_test:,} test rows" if outcome.n_test else "the test part"
    spread = ", ± one standard error" if error is not None else ""
    return (
        f"<strong>{plus_minus(outcome.test_score, error)}</strong> "
        f"<small>larger is better; measured once on {rows}{spread}</small>"
    )


def _score(outcome: Outcome, standing: Standing) -> str:
    seen = interval(outcome.metric, standing.progress.score, outcome.n_validation)
    spread = f" <small>[{number(seen[0])}, {number(seen[1])}]</small>" if seen else ""
    return number(standing.progress.score) + spread


def _certainty(outcome: Outcome) -> str:
    others = [one for one in outcome.standings if one.place > 1]
    if not others:
        return "there was no other candidate"
    unraced = sum(one.rung == 0 for one in others)
    if unraced == len(others):
        return f"no other candidate was trained; judged by the probe alone: {unraced} of {len(outcome.standings)}"
    higher = [one for one in others if (gap(outcome, one) or 0.0) < 0]
    tied = [one for one in others if is_tied(outcome, one) and one not in higher]
    said = [f"stood higher: {_some([_higher(outcome, one) for one in higher])}"] if higher else []
    if standard_error(outcome.metric, outcome.best.progress.score, outcome.n_validation) is None:
        said.append("how far the validation scores can be trusted is not known for this metric or number of rows")
    elif not tied:
        said.append("no other candidate that trained came within the error of the validation scores")
    else:
        names = _some([escape(one.candidate.model) + _failed(one) for one in tied])
        said.append(f"tied with {names}: where they last met, the validation rows cannot tell them apart")
    if unraced:
        said.append(f"judged by the probe alone: {unraced} of {len(outcome.standings)}")
    return "; ".join(said)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _higher(outcome: Outcome, one: Standing) -> str:
    """A candidate that stood above the winner where they last met: by how much, and why it did not win."""
    step, winner, own = last_met(outcome, one) or (0, math.nan, math.nan)
    error = ", within the error" if is_tied(outcome, one) else ""
    scores = f"{number(own)} against {number(winner)} at step {step}{error}"
    why = f", {one.reason}" if one.dropped is None and one.reason else ""
    return f"{escape(one.candidate.model)} ({scores}; {how_it_ended(one)}{why})"


def _failed(one: Standing) -> str:
    return f" ({how_it_ended(one)})" if one.dropped == "failed" else ""


def _cost_in_short(outcome: Outcome) -> str:
    trained, brute = trained_steps(outcome), brute_force_steps(outcome)
    share = f"{trained / brute:.0%} of the {brute:,} of training all of them"
    return f"{trained:,} training steps, {share}; {duration(outcome.seconds)}"


def _race(outcome: Outcome, drawing: str) -> str:
    described = "; ".join(
        f"{one.place}. {one.candidate.model}: {how_it_ended(one)}, {number(one.progress.score)}"
        for one in outcome.standings
    )
    return (
        f'<h2>The race</h2>\n<figure><div class="scroll" role="img" aria-label="{escape(described)}">{drawing}</div>'
        "<figcaption>Each line is a candidate's validation curve and ends where it left; numbers are final places. "
        "Dashed lines are the stops, with how many raced and how many went on."
        f"{_drawn_ends(outcome)}</figcaption></figure>\n"
    )


def _drawn_ends(outcome: Outcome) -> str:
    """What the columns beside the race mean, where there are any."""
    if all(last_end(one) is None for one in outcome.standings):
        return ""
    return (
        " Beside it, by place: the end that the last decision expected of each candidate, a score on test rows, with "
        "its 90 % interval (faint: never trained); dotted lines lead there. Diamonds are what whole runs came to: the "
        "winner's test score, the others' last validation score."
    )


def _ranking(outcome: Outcome) -> str:
    bounds = [seen for one in outcome.standings if (seen := _bounds(outcome, one)) is not None]
    low, high = min((seen[0] for seen in bounds), default=0.0), max((seen[1] for seen in bounds), default=1.0)
    metric = escape(metric_name(outcome.metric))
    head = table_row(
        "th", ["#", "model", f"validation {metric}", "", "at step", "below the winner", "probe"], "npppnnn"
    )
    rows = "".join(_ranked(outcome, one, low, high) for one in outcome.standings)
    explained = (
        "Scores and 90 % intervals are of each candidate's last evaluation, so of different steps. “Below the winner” "
        "compares the two at the last step at which both have a score; “tied” means less than the error of that "
        "difference."
    )
    if not any(interval(outcome.metric, one.progress.score, outcome.n_validation) for one in outcome.standings):
        explained = "Scores are of each candidate's last evaluation, so of different steps; their error is not known."
    return f'<h2>Ranking</h2>\n<p class="quiet">{explained}</p>\n{table(head, rows)}'


def _ranked(outcome: Outcome, one: Standing, low: float, high: float) -> str:
    below, tied = below_winner(outcome, one)
    seen = _bounds(outcome, one)
    cells = [
        str(one.place),
        escape(one.candidate.model),
        _score(outcome, one),
        _range(one, *seen, low, high) if seen else "",
        str(one.progress.step) if one.progress.step else "–",
        below + (f" <small>{tied}</small>" if tied else ""),
        number(one.probe),
    ]
    kind = "winner" if one.place == 1 else "failed" if one.dropped == "failed" else ""
    return table_row("td", cells, "nmtpnnn", kind)


def _bounds(outcome: Outcome, one: Standing) -> tuple[float, float] | None:
    """The interval, or the bare score twice; None without a score."""
    score = one.progress.score
    return interval(outcome.metric, score, outcome.n_validation) or (None if math.isnan(score) else (score, score))


def _range(one: Standing, left: float, right: float, low: float, high: float) -> str:
    """A score and its interval on the scale of all of them."""
    width = max(high - low, 1e-9)
    start, middle, end = (4 + 112 * (value - low) / width for value in (left, one.progress.score, right))
    colour = "var(--winner)" if one.place == 1 else "var(--muted)"
    return (
        '<svg class="range" viewBox="0 0 120 16" aria-hidden="true" preserveAspectRatio="none">'
        f'<line x1="{start:.1f}" x2="{end:.1f}" y1="8" y2="8" stroke="var(--muted)" stroke-width="2"/>'
        f'<circle cx="{middle:.1f}" cy="8" r="4" fill="{colour}"/></svg>'
    )


def _departures(outcome: Outcome) -> str:
    gone = [one for one in reversed(outcome.standings) if one.place > 1]
    gone.sort(key=lambda one: one.rung)
    if not gone:
        return ""
    head = table_row("th", ["how", "model and why"], "pp")
    rows = "".join(
        table_row(
            "td",
            [how_it_ended(one), f"{escape(one.candidate.model)}<br><small>{escape(_why(outcome.plan, one))}</small>"],
            "tm",
            "failed" if one.dropped == "failed" else "",
        )
        for one in gone
    )
    return f"<h2>Who left when, and why</h2>\n{table(head, rows)}"


def _why(plan: Plan, one: Standing) -> str:
    """What was expected of a candidate when it left, and why it did."""
    expected = when_leaving(one)
    if expected is None or expected.end is None or one.dropped == "failed":
        return one.reason or ""
    when = "" if one.dropped == "dropped" else f" at {stop_name(plan, expected.rung)}"  # the reason says when
    return f"expected{when} to end at {estimate(expected.end)}; {one.reason or ''}"


def _outlook(outcome: Outcome) -> str:
    """For each decision: who went on, and what was expected of them."""
    decided = stops(outcome) if len(outcome.standings) > 1 else ()
    if not decided:
        return ""
    head = table_row("th", ["at", "who went on", "expected end", "chance to end best"], "ppnn")
    rows = "".join(row for stop in decided for row in _stop_rows(outcome.plan, stop))
    explained = (
        "Those go on whose curves will yet tell enough of who is best to be worth the steps (a whole run: "
        f"{outcome.plan.price:g}), one at least and as many as halving would keep at most. Expected ends are scores on "
        "test rows after a whole run, with 90 % intervals; "
        f"{learnt_from(outcome.plan.trend)}."
    )
    came = borne_out(outcome)
    held = f"<p>{escape(came[0].upper() + came[1:])}.</p>\n" if came else ""
    return f'<h2>What each stop expected</h2>\n<p class="quiet">{explained}</p>\n{table(head, rows)}{held}'


def _stop_rows(plan: Plan, stop: Stop) -> Iterator[str]:
    """A decision's rows: those that went on, the first of them by name, and all others in one."""
    named, more = stop.went_on[:_MOST_NAMED], stop.went_on[_MOST_NAMED:]
    rows = [
        (
            escape(one.candidate.model) + ("" if of.raced else " <small>back</small>"),
            estimate(of.end),
            percent(of.chance),
        )
        for one, of in named
    ]
    if more:
        rows.append((f"<small>{len(more)} more</small>", "", percent(sum(of.chance for _, of in more))))
    if stop.n_behind:
        others = "the other" if stop.n_behind == 1 else f"all {stop.n_behind} others"
        rows.append((f"<small>{others}</small>", "", percent(stop.chance_behind)))
    at = f"{stop_name(plan, stop.rung)}, {stop.n_raced} → {len(stop.went_on)}"
    for place, cells in enumerate(rows):
        yield table_row("td", ["" if place else at, *cells], "tmnn", "said" if place < len(rows) - 1 else "")


def _cost(outcome: Outcome) -> str:
    total, brute_seconds = outcome.plan.rungs[-1].until_step, brute_force_seconds(outcome)
    best = outcome.best.progress
    floor_seconds = best.seconds * total / best.step if best.step else None
    rows = [
        ("this race", trained_steps(outcome), outcome.seconds, "measured", "winner"),
        ("one full run, the least possible", total, floor_seconds, "the winner's", ""),
        ("every candidate to the end", brute_force_steps(outcome), brute_seconds, "estimated", ""),
    ]
    widest = max(steps for _, steps, *_ in rows)
    head = table_row("th", ["", "steps", "training time", "", ""], "pnnpp")
    body = "".join(
        table_row(
            "td",
            [
                name,
                f"{steps:,}",
                duration(seconds) if seconds is not None else "–",
                f"<small>{source}</small>",
                f'<div class="bar {kind}" style="width: {12 * steps / widest:.2f}rem"></div>',
            ],
            "pnnpp",
            kind,
        )
        for name, steps, seconds, source, kind in rows
    )
    planned = (
        f"Planned: {duration(outcome.plan.expected_seconds)} expected, {duration(outcome.plan.worst_seconds)} at "
        f"worst. Processor time spent: {duration(outcome.cpu_seconds)}. Every candidate to the end is estimated from "
        "the measured seconds per step, of those not trained by their size. Training times are summed over the "
        "candidates, evaluations included."
    )
    return f'<h2>What it cost</h2>\n{table(head, body)}<p class="quiet">{planned}</p>\n'


def _verified(regret: Regret) -> str:
    rows: list[tuple[str, float, float | None]] = [("this race's winner", regret.winner_score, None)]
    if regret.brute_force is not None and regret.brute_force_score is not None:
        name = f"brute force's choice, {escape(regret.brute_force)}"
        rows.append((name, regret.brute_force_score, regret.brute_force_score - regret.winner_score))
    rows.append(
        (f"the best there was, {escape(regret.oracle)}", regret.oracle_score, regret.oracle_score - regret.winner_score)
    )
    head = table_row("th", ["", "test score", "regret in points"], "pnn")
    body = "".join(
        table_row("td", [name, number(score), "" if lost is None else f"{100 * lost:.1f}"], "pnn")
        for name, score, lost in rows
    )
    explained = (
        "Brute force trains every model of the zoo to the end and takes the best validation score; the best there was "
        "is known only by looking at every test score. Regret is what the race lost against them, in points of test "
        "score."
    )
    return f'<h2>Against brute force</h2>\n<p class="quiet">{explained}</p>\n{table(head, body)}'


def _recalled(picks: Sequence[Pick], recall_notes: Sequence[str]) -> str:
    head = table_row("th", ["rank", "model", "expected score", "90 % interval", "tie"], "npnnn")
    rows = "".join(
        table_row(
            "td",
            [
                str(pick.rank),
                escape(pick.model),
                number(pick.score),
                f"[{number(pick.low)}, {number(pick.high)}]",
                str(pick.tie),
            ],
            "nmnnn",
            "said",
        )
        + f'<tr><td></td><td colspan="4"><small>{"<br>".join(map(escape, pick.reasons))}</small></td></tr>'
        for pick in picks
    )
    metric = escape(metric_name(picks[0].metric)) if picks else ""
    explained = f"What was known before anything was trained ({metric}); picks of one tie cannot be told apart."
    picked = f'<p class="quiet">{explained}</p>\n{table(head, rows)}' if picks else ""
    return f"<h2>Why these candidates</h2>\n{picked}{bullets(recall_notes)}"


def _notes(outcome: Outcome) -> str:
    recipe = outcome.plan.trials[0].recipe
    tried = f", {rates_tried(recipe)}" if recipe.rate_factors else ""
    how = (
        f"Recipe: {trained_weights(recipe)}, batches of {recipe.batch_size}, up to {recipe.total_steps} steps, "
        f"learning rate {recipe.learning_rate:g} (head {recipe.head_learning_rate:g}){tried}, {recipe.warmup_steps} "
        f"warm-up steps, seed {recipe.seed}. The winner was chosen by {_chosen_by(outcome)}."
    )
    if chosen := rates_chosen(outcome.standings):
        how += f" Rates: {chosen}."
    said = notes(outcome)
    return (f"<h2>Notes</h2>\n{bullets(said)}" if said else "") + f"<footer><p>{escape(how)}</p></footer>\n"


def _chosen_by(outcome: Outcome) -> str:
    if outcome.plan.policy == "racing" and not any(one.dropped == "cut off" for one in outcome.standings):
        return "what recall, probes and validation scores together let expect, never by test scores"
    return "validation scores alone"
