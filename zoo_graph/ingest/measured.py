"""What this machine measured, as records: fine-tunes from `measure`, and the outcome of a selection."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from selection.records import Candidate, Measurement, Outcome, Progress, Recipe, Standing, Trial
from zoo_graph.ingest.counts import Counts
from zoo_graph.ingest.session import ingest
from zoo_graph.metrics import find_metric
from zoo_graph.records import Model, Proxy, Record, Result, Run
from zoo_graph.store.connection import Connection

HARNESS = "zoo"
_NO_CONDITIONS = frozenset({"method", "metric", "seed", "threads"})


def record_measurements(connection: Connection, measurements: Iterable[Measurement], run: Run) -> Counts:
    """Writes complete fine-tunes: the test score with the validation curve, and the pair's proxy scores.

    Proxies that are not defined for a pair (nan) are left out.

    Raises:
        StoreError: the store failed; the same call continues.
    """
    return ingest(connection, (record for item in measurements for record in measured(item)), run)


def record_outcome(connection: Connection, outcome: Outcome, run: Run, also: Iterable[Record] = ()) -> Counts:
    """Writes a selection: each candidate's last validation score with its curve, and the winner's test score.

    Raises:
        StoreError: the store failed; the same call continues.
    """
    return ingest(connection, [*also, *outcome_records(outcome)], run)


def measured(item: Measurement) -> Iterator[Record]:
    """Yields one fine-tune's result and its proxies."""
    conditions = {**_conditions(item.recipe), "n_train": item.n_train, "n_test": item.n_test}
    yield _result(
        item.model, item.dataset, item.metric, item.test_score, "test", item.recipe, conditions, item.progress
    )
    for proxy in item.proxies:
        if math.isfinite(proxy.score):
            yield Proxy(
                item.model, item.dataset, proxy.name, proxy.score, proxy.seconds, proxy.sample_digest, proxy.n_samples
            )


def outcome_records(outcome: Outcome) -> Iterator[Record]:
    """Yields what a selection learnt of each candidate that was trained at all."""
    trials = {trial.candidate.model: trial for trial in outcome.plan.trials}
    for standing in outcome.standings:
        yield _candidate(standing.candidate)
        trial = trials.get(standing.candidate.model)
        if trial is not None and math.isfinite(standing.progress.score):
            yield from _stops(outcome, standing, trial)
            yield _standing(outcome, standing, trial, "validation", standing.progress.score)
    winner = trials.get(outcome.best.candidate.model) if outcome.standings else None
    if winner is not None and outcome.test_score is not None:
        yield _standing(outcome, outcome.best, winner, "test", outcome.test_score)


def _stops(outcome: Outcome, standing: Standing, trial: Trial) -> Iterator[Result]:
    """Yields what a candidate scored at the rungs it went on from: there all that raced compare."""
    progress = standing.progress
    for rung in outcome.plan.rungs[1:]:
        if rung.until_step in progress.curve_steps and rung.until_step < progress.step:
            place = progress.curve_steps.index(rung.until_step) + 1
            until = Progress(rung.until_step, progress.curve_steps[:place], progress.curve[:place], math.nan, math.nan)
            if math.isfinite(until.score):
                yield _standing(outcome, replace(standing, progress=until), trial, "validation", until.score)


def _standing(outcome: Outcome, standing: Standing, trial: Trial, split: str, score: float) -> Result:
    conditions = _conditions(trial.recipe)
    if standing.progress.step < trial.recipe.total_steps:
        conditions["step"] = standing.progress.step  # incomplete: `scores` leaves it out
    rows = outcome.n_test if split == "test" else outcome.n_validation
    if rows is not None:
        conditions[f"n_{split}"] = rows
    model = standing.candidate.model
    return _result(model, outcome.dataset, outcome.metric, score, split, trial.recipe, conditions, standing.progress)


def _candidate(candidate: Candidate) -> Model:
    return Model(
        candidate.model,
        family=candidate.family,
        modality=candidate.modality,
        n_parameters=candidate.n_parameters,
        license=candidate.license,
    )


def _result(
    model: str,
    dataset: str,
    metric: str,
    score: float,
    split: str,
    recipe: Recipe,
    conditions: dict[str, str | int | float],
    progress: Progress,
) -> Result:
    known = find_metric(metric)
    name = known.name if known else metric
    smaller = known is not None and known.direction == "smaller"
    unit = "fraction" if known is not None and known.unit == "fraction" else "raw"
    return Result(
        model, dataset, name, 0.0 - score if smaller else score, score, unit, split=split, method=recipe.method,
        seed=recipe.seed, harness=HARNESS, config=conditions, curve=progress.curve,
        curve_steps=progress.curve_steps, seconds=None if math.isnan(progress.seconds) else progress.seconds,
    )  # fmt: skip


def _conditions(recipe: Recipe) -> dict[str, str | int | float]:
    """What else a score depends on; threads and what has its own property are left out."""
    fields = {name: value for name, value in recipe.identity().items() if name not in _NO_CONDITIONS}
    if recipe.rate_factors:
        fields["rate_factors"] = ", ".join(f"{factor:g}" for factor in recipe.rate_factors)
    return fields
