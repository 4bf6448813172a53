"""Link prediction as one more piece of a recall's evidence, weighed like a proxy score.

How far it counts, recall learns from what it said of past datasets without having seen their results.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from selection.recall import Evidence, FloatArray
from zoo_graph.descriptions import embeddings, similarities
from zoo_graph.evidence import described, given_distances
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.snapshot_graph import graph_of
from zoo_graph.records import Dataset
from zoo_graph.scores import score_matrix
from zoo_graph.snapshot import Integers, Snapshot, places

NAME = "link_prediction"
FOLDER = "link_prediction"


def link_graph(snapshot: Snapshot, exclude_datasets: Collection[str] = (), new: Dataset | None = None) -> ZooGraph:
    """The zoo as link prediction sees it, without results on the excluded; `new` is a dataset it does not hold yet."""
    known = described(snapshot)
    held = [known[name] for name in snapshot.dataset_ids]
    names = [*snapshot.dataset_ids, *([new.id] if new else [])]
    alike = similarities([*held, *([new] if new else [])], given_distances(snapshot, names))
    excluded = [name for name in exclude_datasets if name in known]
    matrix = score_matrix(snapshot, exclude_datasets=excluded)
    size = len(snapshot.dataset_ids)
    graph = graph_of(
        snapshot,
        matrix,
        similarity={basis: values[:size, :size] for basis, values in alike.items()},
        embeddings=embeddings(held),
    )
    if new is None:
        return graph
    return graph.with_dataset(
        new.id,
        numbers=_numbers(graph, new),
        labels={"task": (new.task,) if new.task else (), "modality": (new.modality,) if new.modality else ()},
        similarity={basis: values[-1, :size] for basis, values in alike.items()},
    )


def _numbers(graph: ZooGraph, new: Dataset) -> dict[str, FloatArray | float]:
    """The counts of a new dataset, and its embedding where those of the zoo are by the same encoder."""
    counts = {"log_n_classes": new.n_classes, "log_n_samples": new.n_samples}
    told: dict[str, FloatArray | float] = {name: float(np.log10(count)) for name, count in counts.items() if count}
    name = f"embedding {new.embedding_by}"
    if name in graph.dataset_numbers and graph.dataset_numbers[name].shape[1:] == (len(new.embedding),):
        told[name] = np.array(new.embedding)
    return told


def graph_digest(graph: ZooGraph) -> str:
    """Digest of all that link prediction learns from."""
    digest = hashlib.blake2b(digest_size=16)
    labels = [graph.models, graph.datasets, sorted(graph.model_labels.items()), sorted(graph.dataset_labels.items())]
    digest.update(json.dumps(labels, ensure_ascii=False).encode())
    for named in (graph.model_numbers, graph.dataset_numbers, graph.similarity, graph.proxies):
        for name, values in sorted(named.items()):
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    for array in (graph.scores, graph.pretrained_on, graph.derived_from):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def with_link_prediction(
    evidence: Evidence,
    folder: Path,
    snapshot: Snapshot,
    target: str,
    about: Dataset | None = None,
    hold_out: Collection[str] = (),
) -> Evidence:
    """The evidence and what the predictor that the last refresh left says of the target and of past datasets.

    Models and datasets it was not learnt with have no past in it, but are predicted. Unchanged where no refresh left
    one, where it has seen results that are held out, or where it says nothing but history, which recall knows already.
    """
    if not (folder / FOLDER / "current").exists():
        return evidence
    from zoo_graph.link_prediction.predictor import is_history
    from zoo_graph.link_prediction.signal import load

    signal = load(folder / FOLDER)
    if signal is None or not set(hold_out) <= set(signal.excluded) or is_history(signal.predictor):
        return evidence
    new = None if target in snapshot.dataset_ids else about or Dataset(target)
    graph = link_graph(snapshot, hold_out, new)
    said = signal.predictor.predict(graph, [target]).mean[:, 0]
    return as_proxy(evidence, said, graph.models, signal.past, signal.models, signal.datasets)


def as_proxy(
    evidence: Evidence,
    said: FloatArray,
    models: Sequence[str],
    past: FloatArray,
    past_models: Sequence[str],
    past_datasets: Sequence[str],
) -> Evidence:
    """The evidence with what was `said` of `models` (N,) on the target and, for learning how far to trust it, of
    `past_models` and `past_datasets` (P, D); nan of whom nothing was said."""
    candidates = [candidate.model for candidate in evidence.candidates]
    found = _taken(said[:, None], places(candidates, models), np.zeros(1, dtype=np.int64))[:, 0]
    before = _taken(past, places(candidates, past_models), places(evidence.datasets, past_datasets))
    return replace(
        evidence,
        proxies={**evidence.proxies, NAME: found},
        past_proxies={**evidence.past_proxies, NAME: before},
    )


def _taken(values: FloatArray, rows: Integers, columns: Integers) -> FloatArray:
    """The cells of rows and columns, nan where a place is -1."""
    found = np.full((len(rows), len(columns)), np.nan)
    found[np.ix_(rows >= 0, columns >= 0)] = values[np.ix_(rows[rows >= 0], columns[columns >= 0])]
    return found
