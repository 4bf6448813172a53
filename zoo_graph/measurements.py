"""Fine-tunes models on datasets and records each result in the graph: how an empty zoo is filled.

Knows ingest and the package `selection`, which measures and keeps the journal.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection.errors import InputError
from selection.records import Candidate, Failure, Measurement, Recipe
from zoo_graph.ingest import ingest, record_measurements
from zoo_graph.records import Dataset as DatasetRecord
from zoo_graph.records import Model, Run
from zoo_graph.store import Connection

if TYPE_CHECKING:
    from selection.datasets import Dataset


def measure(
    connection: Connection,
    folder: Path,
    datasets: Sequence["Dataset"],
    models: Iterable[str | Path] | Sequence[Candidate],
    *,
    journal: Path | None = None,
    recipe: Recipe | None = None,
    seeds: Sequence[int] = (0,),
    points: int = 8,
    workers: int = 1,
    hours: float | None = None,
) -> Iterator[Measurement | Failure]:
    """What `Zoo.measure` promises, on a connection and the zoo's folder; the journal's default is in that."""
    from selection import measure as measuring
    from selection.finetune import default_device, default_precision
    from selection.recipes import recipe_for

    candidates, failures = _given(models)
    yield from failures
    names = sorted({dataset.name for dataset in datasets})
    digest = hashlib.blake2b("|".join(names).encode(), digest_size=6).hexdigest()
    run = Run.begun("measure", digest, {"datasets": names})
    ingest(connection, [*_model_records(candidates), *_dataset_records(datasets)], run)
    if not datasets or not candidates:
        raise InputError(f"got {len(datasets)} datasets and {len(candidates)} usable models; wanted at least one each")
    device = default_device()
    longest = max(datasets, key=lambda dataset: dataset.train.size)
    for found in measuring.measure(
        datasets,
        candidates,
        journal or folder / "measurements",
        recipe=recipe or recipe_for(longest, precision=default_precision(device)),
        seeds=seeds,
        points=points,
        workers=workers,
        hours=hours,
        cache=folder / "features",
        device=device,
    ):
        if isinstance(found, Measurement):
            record_measurements(connection, [found], run)
        yield found


def _given(models: Iterable[Any]) -> tuple[list[Candidate], list[Failure]]:
    from selection.probing import local_candidates

    listed = list(models)
    ready = [model for model in listed if isinstance(model, Candidate)]
    opened, failures = local_candidates(model for model in listed if not isinstance(model, Candidate))
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


def _dataset_records(datasets: Sequence["Dataset"]) -> list[Any]:
    return [
        DatasetRecord(
            dataset.name,
            task="classification",
            modality=dataset.modality,
            n_classes=dataset.n_classes,
            n_samples=int(dataset.labels.size),
        )
        for dataset in datasets
    ]
