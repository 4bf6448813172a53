"""From the snapshot's columns to the graph of link prediction: every model and dataset, measured or not."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from zoo_graph.link_prediction.graph import Labels, ZooGraph
from zoo_graph.link_prediction.tokens import label_similarity, name_tokens, single
from zoo_graph.scores import ScoreMatrix
from zoo_graph.snapshot import Floats, Integers, Snapshot, places, proxy_matrices


def graph_of(
    snapshot: Snapshot,
    matrix: ScoreMatrix,
    *,
    similarity: Mapping[str, Floats] | None = None,
    embeddings: Mapping[str, Floats] | None = None,
) -> ZooGraph:
    """Returns the graph of all models and datasets of the snapshot, in its order, with the scores of its matrix.

    `similarity`: basis -> (D, D); `embeddings`: encoder -> (D, g), nan rows where unknown; D as the snapshot's
    datasets. How alike datasets are by their labels and names is one more basis. Of proxies that were computed on
    several samples of a dataset the last one read counts.
    """
    labels = dataset_labels(snapshot)
    by_labels = {"labels": label_similarity(labels, len(snapshot.dataset_ids))}
    return ZooGraph(
        models=snapshot.model_ids,
        datasets=snapshot.dataset_ids,
        scores=_placed(snapshot, matrix),
        model_numbers={"log_parameters": _log(snapshot.models["n_parameters"])},
        model_labels=model_labels(snapshot),
        dataset_numbers={f"log_{name}": _log(snapshot.datasets[name]) for name in ("n_classes", "n_samples")}
        | {f"embedding {name}": values for name, values in (embeddings or {}).items()},
        dataset_labels=labels,
        pretrained_on=_pairs(snapshot.pretrained_on, "model", "dataset"),
        derived_from=_pairs(snapshot.lineage, "model", "base"),
        similarity=by_labels | dict(similarity or {}),
        proxies=proxy_matrices(snapshot, snapshot.model_ids, snapshot.dataset_ids),
    )


def model_labels(snapshot: Snapshot) -> Labels:
    """Returns the models' family, architecture, modality, licence, tasks and name tokens."""
    table = snapshot.models
    columns = {kind: single(table[kind].to_pylist()) for kind in ("family", "architecture", "modality", "license")}
    tasks = tuple(tuple(tasks or ()) for tasks in table["tasks"].to_pylist())
    return columns | {"task": tasks, "token": tuple(map(name_tokens, snapshot.model_ids))}


def dataset_labels(snapshot: Snapshot) -> Labels:
    """Returns the datasets' task, modality and name tokens."""
    columns = {kind: single(snapshot.datasets[kind].to_pylist()) for kind in ("task", "modality")}
    return columns | {"token": tuple(map(name_tokens, snapshot.dataset_ids))}


def _placed(snapshot: Snapshot, matrix: ScoreMatrix) -> Floats:
    scores = np.full((len(snapshot.model_ids), len(snapshot.dataset_ids)), np.nan)
    rows, columns = places(matrix.models, snapshot.model_ids), places(matrix.datasets, snapshot.dataset_ids)
    scores[np.ix_(rows, columns)] = matrix.scores
    return scores


def _log(column: pa.ChunkedArray) -> Floats:
    values = np.array([np.nan if value is None else float(value) for value in column.to_pylist()], dtype=np.float64)
    return np.log10(np.where(values > 0, values, np.nan))


def _pairs(table: pa.Table, start: str, end: str) -> Integers:
    return np.column_stack([table[start].to_numpy(), table[end].to_numpy()]).astype(np.int64).reshape(-1, 2)
