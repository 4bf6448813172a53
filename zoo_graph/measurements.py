"""Fine-tunes models on datasets and records each result in the graph: how an empty zoo is filled.

Knows ingest and the package `selection`, which measures and keeps the journal.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection.executors.executor import Site
from selection.executors.packing import Workers
from selection.records import Candidate, Failure, Measurement, Recipe
from zoo_graph.errors import InputError
from zoo_graph.identity import check_datasets, dataset_record, given_candidates
from zoo_graph.ingest import ingest, record_measurements
from zoo_graph.ingest.session import end_run
from zoo_graph.records import Model, Run
from zoo_graph.store import Connection

if TYPE_CHECKING:
    from selection.datasets import Dataset

NOT_BEGUN = "not begun: the time was up"


def measure(
    connection: Connection,
    folder: Path,
    datasets: Sequence["Dataset"],
    models: Iterable[str | Path] | Sequence[Candidate],
    *,
    journal: Path | None = None,
    recipe: "Recipe | Callable[[Dataset], Recipe] | None" = None,
    seeds: Sequence[int] = (0,),
    points: int = 8,
    workers: Workers | Site = 1,
    hours: float | None = None,
) -> Iterator[Measurement | Failure]:
    """What `Zoo.measure` promises, on a connection and the zoo's folder; the journal's default is in that.

    Runs that `hours` left no time for are failures with the reason `NOT_BEGUN`. Pairs of a model that reads texts and
    a dataset of images, or the other way round, are left out.
    """
    from selection import measure as measuring
    from selection.hardware import default_device, default_precision
    from selection.recipes import recipe_for

    if not seeds:
        raise InputError("got no seed; wanted at least one, e.g. 0")
    check_datasets(connection, datasets)
    candidates, failures = _given(connection, models)
    yield from failures
    names = sorted({dataset.name for dataset in datasets})
    measured = sorted({candidate.model for candidate in candidates})
    # Another folder of a model's name is another run: its word on where the model lies comes later, and counts.
    sources = sorted(str(candidate.source) for candidate in candidates)
    digest = hashlib.blake2b(repr((names, measured, sources)).encode(), digest_size=6).hexdigest()
    run = Run.begun("measure", digest, {"datasets": names, "models": measured})
    if not datasets or not candidates:
        raise InputError(f"got {len(datasets)} datasets and {len(candidates)} usable models; wanted at least one each")
    device = default_device()
    pairs = [(candidate.model, dataset.name) for candidate, dataset in measuring.pairs(candidates, datasets)]
    if not pairs:
        raise InputError(f"got models that read {candidates[0].modality} and datasets of {datasets[0].modality} only")
    counts = ingest(connection, [*_model_records(candidates), *map(dataset_record, datasets)], run)
    waiting = dict.fromkeys((*pair, seed) for seed in seeds for pair in pairs)
    for found in measuring.measure(
        datasets,
        candidates,
        journal or folder / "measurements",
        recipe=recipe or partial(recipe_for, precision=default_precision(device)),
        seeds=seeds,
        points=points,
        workers=workers,
        hours=hours,
        cache=folder / "features",
        device=device,
    ):
        if isinstance(found, Measurement):
            added = record_measurements(connection, [found], run)
            counts = replace(counts, results=counts.results + added.results, proxies=counts.proxies + added.proxies)
            end_run(connection, run, counts.totals_json(), "done")
        seed = found.recipe.seed if isinstance(found, Measurement) else found.seed
        waiting.pop((found.model, found.dataset, seed), None)
        yield found
    yield from (Failure(model, dataset, seed, NOT_BEGUN) for model, dataset, seed in waiting)


def _given(connection: Connection, models: Iterable[Any]) -> tuple[list[Candidate], list[Failure]]:
    listed = list(models)
    ready = [model for model in listed if isinstance(model, Candidate)]
    opened, failures = given_candidates(connection, [model for model in listed if not isinstance(model, Candidate)])
    return [*ready, *opened], failures


def _model_records(candidates: Sequence[Candidate]) -> list[Any]:
    return [
        Model(
            candidate.model,
            family=candidate.family,
            modality=candidate.modality,
            n_parameters=candidate.n_parameters,
            license=candidate.license,
            source=candidate.source,
        )
        for candidate in candidates
    ]
