"""Records as the graph's relationships: which kind, between whom, under which id, with which values. No database."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from zoo_graph.records import Dataset, Distance, Model, Proxy, Record, Result

EdgeKind = Literal["MEASURED", "PROXY", "DERIVED_FROM", "PRETRAINED_ON", "SIMILAR_TO"]
Label = Literal["Model", "Dataset"]

EDGE_KINDS: tuple[EdgeKind, ...] = ("MEASURED", "PROXY", "DERIVED_FROM", "PRETRAINED_ON", "SIMILAR_TO")
EDGE_NAMES: Mapping[str, str] = {
    "MEASURED": "results",
    "PROXY": "proxies",
    "DERIVED_FROM": "lineage",
    "PRETRAINED_ON": "pretraining",
    "SIMILAR_TO": "distances",
}
"""What they are counted as."""
LABELS: tuple[Label, ...] = ("Model", "Dataset")
MODEL_PROPERTIES = (
    "name", "family", "architecture", "modality", "tasks", "n_parameters", "license", "source", "input_spec", "created",
)  # fmt: skip
DATASET_PROPERTIES = (
    "name", "task", "modality", "n_classes", "n_samples", "features_digest", "labels_digest", "tags", "embedding",
    "embedding_by",
)  # fmt: skip


def source_label(kind: EdgeKind) -> Label:
    """Returns what relationships of a kind start from."""
    return "Dataset" if kind == "SIMILAR_TO" else "Model"


@dataclass(frozen=True, slots=True)
class Edge:
    """One relationship: `row` is what the statement that creates it wants, target and id first."""

    kind: EdgeKind
    source: str
    id: str
    row: list[Any]


def names_in(record: Record) -> Iterator[tuple[Label, str]]:
    """Yields every model and dataset a record names."""
    if isinstance(record, Model):
        yield "Model", record.id
        for link in record.derived_from:
            yield "Model", link.base
        for dataset in record.pretrained_on:
            yield "Dataset", dataset
    elif isinstance(record, Dataset):
        yield "Dataset", record.id
    elif isinstance(record, Distance):
        yield "Dataset", record.dataset
        yield "Dataset", record.other
    else:
        yield "Model", record.model
        yield "Dataset", record.dataset


def edges_of(record: Record, models: Mapping[str, str], datasets: Mapping[str, str]) -> Iterator[Edge]:
    """Yields the relationships a record stands for; `models` and `datasets` map the names in it to ids."""
    if isinstance(record, Result):
        yield _measured(record, models[record.model], datasets[record.dataset])
    elif isinstance(record, Proxy):
        yield _proxy(record, models[record.model], datasets[record.dataset])
    elif isinstance(record, Distance):
        dataset, other, distance = datasets[record.dataset], datasets[record.other], float(record.distance)
        edge_id = _digest("SIMILAR_TO", dataset, other, repr(distance))
        yield Edge("SIMILAR_TO", dataset, edge_id, [other, edge_id, distance])
    elif isinstance(record, Model):
        model = models[record.id]
        for link in record.derived_from:
            base = models[link.base]
            edge_id = _digest("DERIVED_FROM", model, base, link.kind)
            yield Edge("DERIVED_FROM", model, edge_id, [base, edge_id, link.kind])
        for name in record.pretrained_on:
            dataset = datasets[name]
            edge_id = _digest("PRETRAINED_ON", model, dataset)
            yield Edge("PRETRAINED_ON", model, edge_id, [dataset, edge_id])


def properties_of(record: Model | Dataset) -> dict[str, Any]:
    """Returns what is known of a model or dataset, as the properties of its node."""
    names = MODEL_PROPERTIES if isinstance(record, Model) else DATASET_PROPERTIES
    values = {name: getattr(record, name) for name in names}
    told = {name: value for name, value in values.items() if value not in (None, ())}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def _measured(result: Result, model: str, dataset: str) -> Edge:
    if result.model != model or result.dataset != dataset:
        result = replace(result, model=model, dataset=dataset)
    edge_id = result.id
    row = [
        dataset, edge_id, result.metric, float(result.value), float(result.score), result.unit, result.split,
        result.n_shot, result.method, result.seed, result.source, result.harness, result.date, result.config_json,
        result.seconds, list(result.curve) or None, list(result.curve_steps) or None,
    ]  # fmt: skip
    return Edge("MEASURED", model, edge_id, row)


def _proxy(proxy: Proxy, model: str, dataset: str) -> Edge:
    score = float(proxy.score)
    edge_id = _digest("PROXY", model, dataset, proxy.name, repr(score), proxy.sample_digest, proxy.n_samples)
    row = [dataset, edge_id, proxy.name, score, float(proxy.seconds), proxy.sample_digest, proxy.n_samples]
    return Edge("PROXY", model, edge_id, row)


def _digest(*parts: object) -> str:
    return hashlib.blake2b(json.dumps(parts, ensure_ascii=False).encode(), digest_size=12).hexdigest()
