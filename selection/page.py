"""The page of a selection: one HTML text with its styles and its picture inside, nothing loaded from elsewhere.

Everything that came from outside (names, reasons, paths) is escaped here, once, where it enters the text.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from selection.chart import how_it_ended
from selection.records import Outcome, Pick, Standing
from selection.uncertainty import gap, interval, is_tied, standard_error
from selection.wording import duration, number, plus_minus

STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --muted: #5b6572; --line: #d5dae1; --page: #ffffff;
  --card: #f4f6f9; --winner: #1f5fd0; --failed: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ee; --muted: #9aa5b3; --line: #38414d; --page: #14181e;
  --card: #1d232b; --winner: #7fb0ff; --failed: #ff9a90; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.15rem; font-weight: 500; color: var(--muted); margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .5rem; }
p { margin: .4rem 0; max-width: 46rem; }
.answer { background: var(--card); border-left: 4px solid var(--winner); border-radius: 4px;
  padding: 1.25rem 1.5rem; }
.answer .name { font-size: 1.75rem; line-height: 1.25; font-weight: 650; margin: 0 0 .75rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 500; color: var(--muted); }
th, td { padding: .45rem .9rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.t { white-space: nowrap; }
td.model { overflow-wrap: anywhere; min-width: 9rem; }
tr.winner td { font-weight: 600; }
tr.said td { border-bottom: 0; padding-bottom: 0; }
tr.failed td { color: var(--failed); }
small, .quiet { color: var(--muted); font-size: .88rem; font-weight: 400; }
figure { margin: .75rem 0; }
figure svg { width: 100%; min-width: 34rem; height: auto; display: block; }
figcaption { color: var(--muted); font-size: .88rem; max-width: 46rem; }
.range { width: 8.5rem; height: 1.1rem; display: block; }
.bar { height: .7rem; border-radius: 2px; background: var(--muted); min-width: 2px; opacity: .55; }
.bar.winner { background: var(--winner); opacity: 1; }
ul { padding-left: 1.2rem; margin: .4rem 0; max-width: 50rem; }
footer { margin-top: 3rem; color: var(--muted); font-size: .85rem; }
@media print { body { font-size: 12px; } .answer { border: 1px solid var(--line); } }
"""


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
    """Seconds of every candidate run to the end, by the measured seconds per step; the mean where one has not trained.

    None where nothing measured tells.
    """
    total = outcome.plan.rungs[-1].until_step
    rates = [one.progress.seconds / one.progress.step for one in outcome.standings if one.progress.step]
    n = len(outcome.standings)
    return total * n * sum(rates) / len(rates) if rates else None


def notes(outcome: Outcome) -> tuple[str, ...]:
    """Everything the reader must know beside the numbers: the plan's notes, the race's, and what is not known."""
    unknown = []
    if standard_error(outcome.metric, outcome.test_score or math.nan, outcome.n_test) is None:
        rows = "the number of test rows was not given" if outcome.metric == "accuracy" else "only accuracy has one here"
        unknown.append(f"no standard error is shown for the test score: {rows}")
    return (*outcome.plan.notes, *outcome.notes, *unknown)


def _answer(outcome: Outcome) -> str:
    best, n = outcome.best, len(outcome.standings)
    question = f"Which of {n} candidates should be fine-tuned on {outcome.dataset}?"
    if n == 1:
        question = f"How well does the one candidate do on {outcome.dataset}?"
    facts = [
        (f"Test {outcome.metric}", _test_score(outcome)),
        (f"Validation {outcome.metric}", f"{_score(outcome, best)} at step {best.progress.step}"),
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
    tied = [one.candidate.model for one in others if is_tied(outcome, one)]
    if not others:
        return "there was no other candidate"
    unraced = sum(one.rung == 0 for one in others)
    probed = f"; judged by the probe alone: {unraced} of {len(outcome.standings)}" if unraced else ""
    if standard_error(outcome.metric, outcome.best.progress.score, outcome.n_validation) is None:
        return "how far the validation scores can be trusted is not known for this metric or number of rows" + probed
    if not tied:
        return "no other candidate that trained came within the error of the validation scores" + probed
    names = ", ".join(escape(name) for name in tied[:3]) + (f" and {len(tied) - 3} more" if len(tied) > 3 else "")
    return f"tied with {names}: where they last met, the validation rows cannot tell them apart{probed}"


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
        "Dashed lines are the stops, with how many raced and how many went on.</figcaption></figure>\n"
    )


def _ranking(outcome: Outcome) -> str:
    bounds = [seen for one in outcome.standings if (seen := _bounds(outcome, one)) is not None]
    low, high = min((seen[0] for seen in bounds), default=0.0), max((seen[1] for seen in bounds), default=1.0)
    head = _row(
        "th", ["#", "model", f"validation {outcome.metric}", "", "at step", "below the winner", "probe"], "npppnnn"
    )
    rows = "".join(_ranked(outcome, one, low, high) for one in outcome.standings)
    explained = (
        "Scores and 90 % intervals are of each candidate's last evaluation, so of different steps. “Below the winner” "
        "compares the two at the last step both were evaluated at; “tied” means less than the error of that difference."
    )
    if not any(interval(outcome.metric, one.progress.score, outcome.n_validation) for one in outcome.standings):
        explained = "Scores are of each candidate's last evaluation, so of different steps; their error is not known."
    return f'<h2>Ranking</h2>\n<p class="quiet">{explained}</p>\n{_table(head, rows)}'


def _ranked(outcome: Outcome, one: Standing, low: float, high: float) -> str:
    distance = gap(outcome, one)
    below = "" if one.place == 1 or one.dropped == "failed" or distance is None else number(distance)
    tied = " <small>tied</small>" if is_tied(outcome, one) else ""
    seen = _bounds(outcome, one)
    cells = [
        str(one.place),
        escape(one.candidate.model),
        _score(outcome, one),
        _range(one, *seen, low, high) if seen else "",
        str(one.progress.step) if one.progress.step else "–",
        below + tied,
        number(one.probe),
    ]
    kind = "winner" if one.place == 1 else "failed" if one.dropped == "failed" else ""
    return _row("td", cells, "nmtpnnn", kind)


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
    head = _row("th", ["how", "model and why"], "pp")
    rows = "".join(
        _row(
            "td",
            [how_it_ended(one), f"{escape(one.candidate.model)}<br><small>{escape(one.reason or '')}</small>"],
            "tm",
            "failed" if one.dropped == "failed" else "",
        )
        for one in gone
    )
    return f"<h2>Who left when, and why</h2>\n{_table(head, rows)}"


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
    head = _row("th", ["", "steps", "training time", "", ""], "pnnpp")
    body = "".join(
        _row(
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
        "the measured seconds per step. Training times are summed over the candidates, evaluations included."
    )
    return f'<h2>What it cost</h2>\n{_table(head, body)}<p class="quiet">{planned}</p>\n'


def _verified(regret: Regret) -> str:
    rows: list[tuple[str, float, float | None]] = [("this race's winner", regret.winner_score, None)]
    if regret.brute_force is not None and regret.brute_force_score is not None:
        name = f"brute force's choice, {escape(regret.brute_force)}"
        rows.append((name, regret.brute_force_score, regret.brute_force_score - regret.winner_score))
    rows.append(
        (f"the best there was, {escape(regret.oracle)}", regret.oracle_score, regret.oracle_score - regret.winner_score)
    )
    head = _row("th", ["", "test score", "regret in points"], "pnn")
    body = "".join(
        _row("td", [name, number(score), "" if lost is None else f"{100 * lost:.1f}"], "pnn")
        for name, score, lost in rows
    )
    explained = (
        "Brute force trains every model of the zoo to the end and takes the best validation score; the best there was "
        "is known only by looking at every test score. Regret is what the race lost against them, in points of test "
        "score."
    )
    return f'<h2>Against brute force</h2>\n<p class="quiet">{explained}</p>\n{_table(head, body)}'


def _recalled(picks: Sequence[Pick], recall_notes: Sequence[str]) -> str:
    head = _row("th", ["rank", "model", "expected score", "90 % interval", "tie"], "npnnn")
    rows = "".join(
        _row(
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
    metric = escape(picks[0].metric) if picks else ""
    explained = f"What was known before anything was trained ({metric}); picks of one tie cannot be told apart."
    table = f'<p class="quiet">{explained}</p>\n{_table(head, rows)}' if picks else ""
    return f"<h2>Why these candidates</h2>\n{table}{_list(recall_notes)}"


def _notes(outcome: Outcome) -> str:
    recipe = outcome.plan.trials[0].recipe
    weights = "all weights" if recipe.method == "full" else "the head only"
    how = (
        f"Recipe: {weights}, batches of {recipe.batch_size}, up to {recipe.total_steps} steps, learning rate "
        f"{recipe.learning_rate:g} (head {recipe.head_learning_rate:g}), {recipe.warmup_steps} warm-up steps, seed "
        f"{recipe.seed}. The winner was chosen by validation scores alone."
    )
    said = notes(outcome)
    return (f"<h2>Notes</h2>\n{_list(said)}" if said else "") + f"<footer><p>{escape(how)}</p></footer>\n"


def _list(items: Iterable[str]) -> str:
    inside = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{inside}</ul>\n" if inside else ""


_CLASSES = {"t": ' class="t"', "n": ' class="n"', "m": ' class="model"', "p": ""}


def _row(tag: str, cells: Sequence[str], kinds: str, row_class: str = "") -> str:
    """A table row of cells that are HTML already; `kinds` has a letter for each: number, model, one-liner, plain."""
    scope = ' scope="col"' if tag == "th" else ""
    inside = "".join(f"<{tag}{scope}{_CLASSES[kind]}>{cell}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return f'<tr class="{row_class}">{inside}</tr>' if row_class else f"<tr>{inside}</tr>"


def _table(head: str, rows: str) -> str:
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>\n'
