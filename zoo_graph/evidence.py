"""From the snapshot's columns to what recall stands on: candidates, scores, proxies and alike datasets as arrays.

Knows the snapshot and `selection.recall`. Does not know files, checkpoints' contents or how picks are ranked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from selection.recall import Evidence, FloatArray
from selection.records import Candidate, Modality, ProxyScore
from zoo_graph.descriptions import similarities
from zoo_graph.leakage import seen_by
from zoo_graph.metrics import score_bounds
from zoo_graph.records import Dataset
from zoo_graph.scores import score_matrix
from zoo_graph.snapshot import Snapshot, places, proxy_matrices


def candidates_of(snapshot: Snapshot, checkpoints: Path | None = None) -> tuple[Candidate, ...]:
    """Every model of the zoo. A source that names a folder under `checkpoints` becomes that folder's path."""
    rows = snapshot.models.select(["id", "source", "modality", "n_parameters", "license", "family"]).to_pylist()
    return tuple(
        Candidate(
            row["id"],
            _source(row["source"], checkpoints),
            cast(Modality | None, row["modality"]),
            row["n_parameters"],
            row["license"],
            row["family"],
        )
        for row in rows
    )


def evidence(
    snapshot: Snapshot,
    candidates: Sequence[Candidate],
    *,
    target: str,
    proxies: Mapping[str, Sequence[ProxyScore]] | None,
    hold_out: Collection[str] = (),
    about: Dataset | None = None,
    metric: str = "score",
) -> Evidence:
    """What is known for choosing among `candidates` on `target`.

    Results on `target` itself are `measured`, never a source column; `hold_out` names further datasets that must not
    count (parts or supersets of the target). Run times on the target and on those tell nothing of `seconds`. Fresh
    `proxies` stand before those the graph holds of the target; None leaves out all proxies, the graph's too. `about`
    tells of the target what the graph does not know.
    """
    known = set(snapshot.dataset_ids)
    excluded = [name for name in hold_out if name in known]
    matrix = score_matrix(snapshot, exclude_datasets=excluded, choose_for=target)
    rows = {model: row for row, model in enumerate(matrix.models)}
    at = np.array([rows.get(candidate.model, -1) for candidate in candidates])
    scores = np.where(at[:, None] >= 0, matrix.scores[at], np.nan) if rows else np.empty((len(candidates), 0))
    sources = [column for column, name in enumerate(matrix.datasets) if name != target]
    measured = scores[:, matrix.datasets.index(target)] if target in matrix.datasets else None
    datasets = tuple(matrix.datasets[column] for column in sources)
    if target in matrix.datasets:
        metric = matrix.metrics[matrix.datasets.index(target)]
    elif matrix.metrics:
        metric = max(set(matrix.metrics), key=lambda name: (matrix.metrics.count(name), name))
    of_source = [matrix.metrics[column] for column in sources]
    models = [candidate.model for candidate in candidates]
    past = {} if proxies is None else proxy_matrices(snapshot, models, (*datasets, target))
    return Evidence(
        candidates=tuple(candidates),
        datasets=datasets,
        scores=scores[:, sources],
        proxies=_on_target(models, proxies or {}, {name: values[:, -1] for name, values in past.items()}),
        past_proxies={name: values[:, :-1] for name, values in past.items()},
        measured=measured if measured is not None and np.isfinite(measured).any() else None,
        metric=metric,
        in_metric=np.array([name == metric for name in of_source], dtype=np.bool_),
        bounds=score_bounds(metric),
        target=target,
        similarity=similarities(
            _described(snapshot, datasets, target, about), given_distances(snapshot, (*datasets, target))
        ),
        seconds=_seconds(snapshot, models, {target, *hold_out}),
        seen=seen_by(
            snapshot, target, overlapping=hold_out, labels_digest=None if about is None else about.labels_digest
        ),
    )


def described(snapshot: Snapshot) -> dict[str, Dataset]:
    """What the zoo knows of each dataset beside results."""
    columns = ("id", "name", "task", "modality", "n_classes", "n_samples", "tags", "embedding", "embedding_by")
    rows = snapshot.datasets.select(columns).to_pylist()
    lists = ("tags", "embedding")
    return {row["id"]: Dataset(**row | {name: tuple(row[name] or ()) for name in lists}) for row in rows}


def given_distances(snapshot: Snapshot, datasets: Sequence[str]) -> FloatArray:
    """The distances (N, N) between datasets that the user gave: the mean where several are, nan where none is.

    One that is given in one direction only holds for both.
    """
    total = np.zeros((len(datasets), len(datasets)))
    count = np.zeros_like(total)
    place = places(snapshot.dataset_ids, datasets)
    row, column = place[snapshot.distances["dataset"].to_numpy()], place[snapshot.distances["other"].to_numpy()]
    wanted = (row >= 0) & (column >= 0)
    np.add.at(total, (row[wanted], column[wanted]), snapshot.distances["distance"].to_numpy()[wanted])
    np.add.at(count, (row[wanted], column[wanted]), 1)
    found = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    np.fill_diagonal(found, 0.0)
    return np.where(np.isnan(found), found.T, found)


def _described(snapshot: Snapshot, datasets: Sequence[str], target: str, about: Dataset | None) -> list[Dataset]:
    known = described(snapshot)
    of_target = known.get(target, Dataset(target))
    if about is not None:
        of_target = replace(
            of_target,
            task=of_target.task or about.task,
            modality=of_target.modality or about.modality,
            n_classes=of_target.n_classes or about.n_classes,
            n_samples=of_target.n_samples or about.n_samples,
            tags=of_target.tags or about.tags,
        )
        if not of_target.embedding:
            of_target = replace(of_target, embedding=about.embedding, embedding_by=about.embedding_by)
    return [*(known[name] for name in datasets), of_target]


def models_with_results(snapshot: Snapshot, hold_out: Collection[str] = ()) -> frozenset[str]:
    """The models that have a result on any dataset but those held out."""
    held = [row for row, name in enumerate(snapshot.dataset_ids) if name in hold_out]
    counted = pc.invert(pc.is_in(snapshot.results["dataset"], value_set=pa.array(held, type=pa.int32())))
    ids = snapshot.model_ids
    return frozenset(ids[row] for row in pc.unique(snapshot.results["model"].filter(counted)).to_pylist())


def _seconds(snapshot: Snapshot, models: Sequence[str], without: Collection[str]) -> FloatArray | None:
    """Seconds (M,) that training took on a usual dataset: each model's median over the datasets it was trained on, each
    dataset's in terms of its own median. None where no result tells them.

    Run times on the datasets `without` do not count, as their results do not: who ran there at all is a result too.
    """
    seconds = snapshot.results["seconds"].to_numpy(zero_copy_only=False).astype(np.float64)
    dataset = snapshot.results["dataset"].to_numpy()
    counts = np.array([name not in without for name in snapshot.dataset_ids], dtype=bool)
    known = np.isfinite(seconds) & (seconds > 0) & counts[dataset]
    if not known.any():
        return None
    row = places(snapshot.model_ids, models)[snapshot.results["model"].to_numpy()]
    of_dataset = _medians(seconds[known], dataset[known], len(snapshot.dataset_ids))
    share = seconds / of_dataset[dataset]
    counted = known & (row >= 0)
    return _medians(share[counted], row[counted], len(models)) * float(np.nanmedian(of_dataset))


def _medians(values: FloatArray, groups: Any, n_groups: int) -> FloatArray:
    """Median of each group (n_groups,), nan where it is empty."""
    order = np.lexsort((values, groups))
    count = np.bincount(groups, minlength=n_groups)
    start = np.cumsum(count) - count
    found = np.full(n_groups, np.nan)
    some = count > 0
    low, high = start[some] + (count[some] - 1) // 2, start[some] + count[some] // 2
    found[some] = (values[order][low] + values[order][high]) / 2
    return found


def _source(source: str | None, checkpoints: Path | None) -> str | None:
    if source is None or checkpoints is None:
        return source
    folder = checkpoints / source
    return str(folder) if folder.is_dir() else source


def _on_target(
    models: Sequence[str], fresh: Mapping[str, Sequence[ProxyScore]], held: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    computed = {model: {score.name: score.score for score in scores} for model, scores in fresh.items()}
    names = sorted({name for scores in computed.values() for name in scores} | set(held))
    found = {}
    for name in names:
        # Proxies are compared within one sample only: where any is fresh, those held are not mixed in.
        values = np.array([computed.get(model, {}).get(name, np.nan) for model in models])
        values = values if np.isfinite(values).any() else held.get(name, values)
        if np.isfinite(values).any():
            found[name] = values
    return found
