"""The final selection among candidates: planned, raced by real fine-tuning, and recorded in the graph.

Knows recommendation (probing) and the package `selection`. Every decision is `selection`'s.
"""

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection.executors.executor import Site, site_of
from selection.executors.packing import Workers
from selection.records import PRICE, Candidate, Failure, Outcome, Pick, Plan, Policy, Recipe
from zoo_graph.errors import InputError
from zoo_graph.identity import check_datasets, dataset_record, is_local, taken_names
from zoo_graph.ingest import record_outcome
from zoo_graph.recommendation import probe_candidates
from zoo_graph.records import Model, Run
from zoo_graph.snapshot import take
from zoo_graph.store import Connection

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from zoo_graph.curves import Past


def plan(
    connection: Connection,
    folder: Path,
    dataset: "Dataset",
    candidates: Sequence[Candidate],
    *,
    recipe: Recipe | None = None,
    budget_seconds: float | None = None,
    workers: Workers | Site = 1,
    eval_points: int | None = None,
    policy: Policy = "racing",
    price: float = PRICE,
    track: Any = None,
) -> Plan:
    """What `Zoo.plan` promises, on a connection and the zoo's folder."""
    from selection import schedule
    from selection.errors import InputError as SelectionInputError
    from selection.extraction import extract_all
    from selection.features import FeatureCache
    from selection.hardware import default_device, default_precision
    from selection.other_trends import learn_clusters
    from selection.recipes import overhead_for, recipe_for, seconds_per_step
    from selection.trends import learn_trend
    from zoo_graph.curves import learn_past

    if not candidates:
        raise InputError("got no candidates to plan for; wanted picks of recommend(), or candidates")
    recipe = recipe or recipe_for(dataset, precision=default_precision(default_device()))
    check_datasets(connection, [dataset])
    taken = taken_names(connection, candidates)
    named = [one for one in candidates if one.model not in {failure.model for failure in taken}]
    site = site_of(workers)
    if site.kind == "ray":
        extract_all(
            dataset,
            named,
            FeatureCache(folder / "features"),
            site,
            max_length=recipe.max_length,
            device=default_device(),
            n_threads=recipe.threads,
        )
    probed = probe_candidates(folder, dataset, named, max_length=recipe.max_length, track=track)
    usable = [
        replace(candidate, n_parameters=probed.n_parameters.get(candidate.model, candidate.n_parameters))
        for candidate in named
        if candidate.model in probed.scores
    ]
    failures = (*taken, *_with_close_names(connection, folder, probed.failures))
    failed = tuple(f"{failure.model} is left out: {failure.reason}" for failure in failures)
    if not usable:
        raise SelectionInputError("no candidate can be fine-tuned here: " + "; ".join(failed))
    past = learn_past(
        connection,
        take(connection, folder),
        usable,
        target=dataset.name,
        metric=recipe.metric,
        about=dataset_record(dataset),
        proxies=probed.scores,
    )
    names = {candidate.model for candidate in usable}
    own = [one for one in past.curves if one.model in names]
    found = schedule.plan(
        usable,
        recipe,
        seconds_per_step=seconds_per_step(usable, recipe, probed.row_seconds),
        overhead=overhead_for(dataset, recipe),
        eval_points=eval_points,
        workers=site.planned_workers(recipe.threads),
        budget_seconds=budget_seconds,
        probes={candidate.model: probed.probe(candidate.model) for candidate in usable},
        recalled=past.recalled,
        policy=policy,
        price=price,
        learn=lambda shares: schedule.Learnt(
            learn_trend(past.curves, shares, past.communities, recipe.metric),
            learn_clusters(own, shares) if policy == "two_phase" else None,
        ),
    )
    guessed = _guessed(past, recipe.metric) if policy in ("racing", "two_phase") else ()
    return replace(found, notes=(*found.notes, *guessed, *failed), failures=failures)


def _guessed(past: "Past", metric: str) -> tuple[str, ...]:
    """Says that all finished runs are by other metrics, so that nothing was learnt from them."""
    if past.curves or not past.other_metrics:
        return ()
    others = ", ".join(past.other_metrics)
    return (f"how runs end is guessed: the zoo's finished runs with curves are by {others}, not {metric}",)


def select(
    connection: Connection,
    dataset: "Dataset",
    plan: Plan,
    folder: Path,
    *,
    workers: Workers | Site = 1,
    disk_bytes: int | None = None,
    deadline_seconds: float | None = None,
    record: bool = True,
    track: Any = None,
) -> Outcome:
    """Races the plan in `folder`, and records the outcome in the graph; see `Zoo.select`.

    Raises:
        InputError: the outcome is to be recorded, and the graph knows another dataset of that name.
    """
    from selection import runner
    from selection.finetune import FineTuner
    from selection.hardware import default_device

    if record:
        check_datasets(connection, [dataset])
    outcome = runner.select(
        dataset.name,
        plan,
        FineTuner(dataset, device=default_device()),
        folder,
        dataset_digest=dataset.digest,
        n_validation=int(dataset.validation.size),
        n_test=int(dataset.test.size),
        workers=workers,
        device=default_device(),
        disk_bytes=disk_bytes,
        deadline_seconds=deadline_seconds,
        track=track,
    )
    if record:
        # Another folder of a model's name is another run: its word on where the model lies comes later, and counts.
        sources = sorted(str(trial.candidate.source) for trial in plan.trials)
        digest = hashlib.blake2b(f"{folder.resolve()}|{dataset.digest}|{sources}".encode(), digest_size=6).hexdigest()
        run = Run.begun("selection", digest, {"dataset": dataset.name})
        # Where a model of this machine lies tells it apart from the next folder of its name.
        local = [
            Model(one.model, source=one.source) for one in (trial.candidate for trial in plan.trials) if is_local(one)
        ]
        record_outcome(connection, outcome, run, also=[dataset_record(dataset), *local])
    return outcome


def _with_close_names(connection: Connection, folder: Path, failures: Sequence[Failure]) -> list[Failure]:
    """A hub id that cannot be opened may be a model of the zoo, mistyped: the reason names those that are close."""
    known = take(connection, folder).model_ids if failures else ()
    found = []
    for one in failures:
        close = [] if one.model in known else difflib.get_close_matches(one.model, known, n=3, cutoff=0.8)
        hint = f"; the zoo holds {', '.join(close)}: did you mean that?" if close else ""
        found.append(replace(one, reason=one.reason + hint))
    return found


def begun_plan(
    folder: Path,
    candidates: Sequence[Candidate],
    recipe: Recipe | None,
    policy: Policy | None = None,
    price: float | None = None,
) -> Plan | None:
    """The plan of the race in `folder`, to go on with it; None where none was begun.

    Raises:
        InputError: the race there is among other candidates, or by another recipe, policy or (if racing) price.
    """
    from selection.journal import recorded_plan

    plan = recorded_plan(folder) if folder.exists() else None
    if plan is None:
        return None
    raced = {trial.candidate.model for trial in plan.trials}
    known = raced | set(plan.left_out) | {failure.model for failure in plan.failures}
    asked = {candidate.model for candidate in candidates}
    if not raced <= asked <= known:
        raise InputError(
            f"got the candidates {', '.join(sorted(asked))}; {folder} holds a race among {', '.join(sorted(raced))}: "
            "choose another folder, or go on with those"
        )
    if recipe is not None and recipe != plan.trials[0].recipe:
        mine, there = asdict(recipe), asdict(plan.trials[0].recipe)
        other = ", ".join(f"{name} {mine[name]} (there {there[name]})" for name in mine if mine[name] != there[name])
        raise InputError(
            f"got {other}; {folder} holds a race by another recipe: choose another folder, or go on as begun"
        )
    if policy is not None and policy != plan.policy:
        raise InputError(
            f"got the policy {policy}; {folder} holds a race by {plan.policy}: choose another folder, or go on as begun"
        )
    if plan.policy == "racing" and price is not None and price != plan.price:
        raise InputError(
            f"got the price {price}; {folder} holds a race at {plan.price}: choose another folder, or go on as begun"
        )
    return plan


def candidates_in(picks: Iterable[Pick] | Iterable[Candidate]) -> list[Candidate]:
    """The candidates of picks, or as they are given."""
    return [pick.candidate if isinstance(pick, Pick) else pick for pick in picks]


def selection_folder(
    folder: Path,
    dataset: "Dataset",
    candidates: Sequence[Candidate],
    recipe: Recipe | None,
    policy: Policy = "racing",
    price: float = PRICE,
) -> Path:
    """Where a selection without a folder of its own lives: named for dataset, candidates, recipe, policy and price.

    Raises:
        InputError: no candidates.
    """
    if not candidates:
        raise InputError("got no candidates to select from; wanted picks of recommend(), or a plan")
    how = f"{policy} at {price}" if policy == "racing" else policy
    text = "|".join((dataset.digest, str(recipe), how, *sorted(candidate.model for candidate in candidates)))
    return folder / "selections" / hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
