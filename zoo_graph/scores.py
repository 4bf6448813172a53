"""The comparable score matrix: at most one score per (model, dataset) out of everything a snapshot holds.

Knows the snapshot's columns; knows neither the graph nor what the scores are used for.

What makes two scores of a dataset comparable, in this order:

1. *Complete*: a fine-tune that was stopped before its end (config: step below total_steps) is no score, unless fewer
   than two models have a complete one: a race trains only its winner to the end, and tells of the others by what all
   of them scored at the same step.
2. *Metric*: the one most models were measured by (ties: most results, then name).
3. *Protocol*, that is method, number of shots and split: the one most models were measured under. A result that
   does not say its method or split counts under the commonest that is said; no other protocol is mixed in.
4. *Setting*, that is config (image size, prompt, ...): each pair uses the setting most models were measured in
   among those it was measured in itself, so no model is lost for an unusual image size.
5. *Repeats* (seeds, sources, harnesses, dates) of that setting are averaged; `spread` is their SD.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from zoo_graph.errors import UnknownNameError
from zoo_graph.snapshot import Floats, Integers, Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMatrix:
    """Comparable scores of M models on D datasets; larger is better, nan is not measured.

    Shapes: `scores`, `n`, `spread` (M, D); `metrics` and `protocols` name each dataset's metric and protocol.
    Models and datasets without any score are absent; both are sorted by id. `n_left_out` counts results
    that are incomplete, or under another metric or protocol. Takes 24 bytes a cell.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    protocols: tuple[str, ...]
    scores: Floats
    n: Integers
    spread: Floats
    n_left_out: int = 0

    def without(self, columns: Collection[int]) -> "ScoreMatrix":
        """Returns the same matrix, all models kept, without the dataset columns of the given indices."""
        keep = [column for column in range(len(self.datasets)) if column not in set(columns)]
        return ScoreMatrix(
            models=self.models,
            datasets=tuple(self.datasets[column] for column in keep),
            metrics=tuple(self.metrics[column] for column in keep),
            protocols=tuple(self.protocols[column] for column in keep),
            scores=self.scores[:, keep],
            n=self.n[:, keep],
            spread=self.spread[:, keep],
            n_left_out=self.n_left_out,
        )


def score_matrix(
    snapshot: Snapshot, *, exclude_datasets: Collection[str] = (), choose_for: str | None = None
) -> ScoreMatrix:
    """Returns the comparable scores of a snapshot as the module's head defines them, excluded datasets unseen.

    Of the dataset `choose_for` only complete results count, and of those only validation results, where there are any:
    nobody chooses by test scores.

    Raises:
        UnknownNameError: a dataset to exclude that the snapshot does not hold.
    """
    columns = _Columns.of(snapshot, _excluded(snapshot, exclude_datasets))
    total = len(columns.score)
    target = snapshot.dataset_ids.index(choose_for) if choose_for in snapshot.dataset_ids else -1
    columns = columns.take(columns.complete | (_without_two_complete(columns) & (columns.dataset != target)))
    columns = columns.take(_for_choosing(columns, target))
    usual = _commonest(columns.dataset, columns.metric, columns.model)
    columns = columns.take(columns.metric == usual[columns.dataset])
    columns = columns.take(_in_protocol(columns))
    left_out = total - len(columns.score)
    columns = columns.take(_in_best_setting(columns))
    return _averaged(snapshot, columns, left_out)


def _excluded(snapshot: Snapshot, names: Collection[str]) -> set[int]:
    index = {name: position for position, name in enumerate(snapshot.dataset_ids)}
    for name in names:
        if name not in index:
            raise UnknownNameError("dataset", name, index)
    return {index[name] for name in names}


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Results as parallel arrays; texts are codes in the alphabetical order of their values, -1 is unknown."""

    model: Integers
    dataset: Integers
    score: Floats
    metric: Integers
    method: Integers
    n_shot: Integers
    split: Integers
    setting: Integers
    complete: np.ndarray
    metric_names: tuple[str, ...]
    method_names: tuple[str, ...]
    split_names: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, excluded: set[int]) -> "_Columns":
        table = snapshot.results
        score = table["score"].to_numpy()
        metric, metric_names = _coded(table["metric"])
        method, method_names = _coded(table["method"])
        split, split_names = _coded(table["split"])
        config, configs = _coded(table["config"])
        dataset = table["dataset"].to_numpy().astype(np.int64)
        columns = cls(
            model=table["model"].to_numpy().astype(np.int64),
            dataset=dataset,
            score=score,
            metric=metric,
            method=method,
            n_shot=table["n_shot"].fill_null(-1).to_numpy().astype(np.int64),
            split=split,
            setting=config + 1,
            complete=np.array([_is_complete(text) for text in configs] + [True], dtype=bool)[config],
            metric_names=metric_names,
            method_names=method_names,
            split_names=split_names,
        )
        return columns.take(np.isfinite(score) & ~np.isin(dataset, list(excluded)))

    def take(self, rows: np.ndarray) -> "_Columns":
        return replace(
            self,
            model=self.model[rows],
            dataset=self.dataset[rows],
            score=self.score[rows],
            metric=self.metric[rows],
            method=self.method[rows],
            n_shot=self.n_shot[rows],
            split=self.split[rows],
            setting=self.setting[rows],
            complete=self.complete[rows],
        )


def _coded(column: pa.ChunkedArray) -> tuple[Integers, tuple[str, ...]]:
    """Returns each text as its place among the sorted distinct texts (null: -1), and those texts."""
    names = tuple(sorted(name for name in column.unique().to_pylist() if name is not None))
    encoded = column.combine_chunks().dictionary_encode()
    place = {name: code for code, name in enumerate(names)}
    codes = np.array([place.get(name, -1) for name in encoded.dictionary.to_pylist()] + [-1], dtype=np.int64)
    return codes[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)], names


def _by_use(group: Integers, key: Integers, model: Integers) -> tuple[Integers, Integers]:
    """Returns the (group, key) pairs that occur: by group, most models first, then most rows, then smallest key."""
    lowest = int(key.min(initial=0))
    width = int(key.max(initial=0)) - lowest + 1
    codes, row, n_rows = np.unique(group * width + key - lowest, return_inverse=True, return_counts=True)
    n_model_codes = int(model.max(initial=0)) + 1
    n_models = np.bincount(np.unique(row * n_model_codes + model) // n_model_codes, minlength=len(codes))
    groups, keys = codes // width, codes % width + lowest
    order = np.lexsort((keys, -n_rows, -n_models, groups))
    return groups[order], keys[order]


def _commonest(group: Integers, key: Integers, model: Integers) -> Integers:
    """Returns for each group its most used key (see `_by_use`), -1 where a group has none. Shape (max group + 1,)."""
    best = np.full(int(group.max(initial=-1)) + 1, -1, dtype=np.int64)
    groups, keys = _by_use(group, key, model)
    first = np.unique(groups, return_index=True)[1]
    best[groups[first]] = keys[first]
    return best


def _is_complete(config: str) -> bool:
    if '"total_steps"' not in config:
        return True
    said = json.loads(config)
    step, total = said.get("step"), said.get("total_steps")
    return not (isinstance(step, int | float) and isinstance(total, int | float) and step < total)


def _without_two_complete(columns: _Columns) -> np.ndarray:
    """Which rows are of a dataset that fewer than two models have a complete result on."""
    n_datasets = int(columns.dataset.max(initial=-1)) + 1
    pairs = np.unique(columns.model[columns.complete] * n_datasets + columns.dataset[columns.complete])
    few: np.ndarray = (np.bincount(pairs % max(n_datasets, 1), minlength=n_datasets) < 2)[columns.dataset]
    return few


def _for_choosing(columns: _Columns, dataset: int) -> np.ndarray:
    on_it = columns.dataset == dataset
    validation = np.array([name == "validation" for name in columns.split_names] + [False], dtype=bool)[columns.split]
    return validation | ~on_it if (validation & on_it).any() else np.ones(len(on_it), dtype=bool)


def _in_protocol(columns: _Columns) -> np.ndarray:
    method, split = (_said_or_usual(columns, codes) for codes in (columns.method, columns.split))
    shots, shot = np.unique(columns.n_shot, return_inverse=True)
    protocol = (method + 1) * len(shots) + shot
    protocol = protocol * (int(split.max(initial=0)) + 2) + split + 1
    inside: np.ndarray = protocol == _commonest(columns.dataset, protocol, columns.model)[columns.dataset]
    return inside


def _said_or_usual(columns: _Columns, codes: Integers) -> Integers:
    """Returns the codes, where nothing was said (-1) the dataset's commonest."""
    said = codes >= 0
    usual = np.full(int(columns.dataset.max(initial=-1)) + 1, -1, dtype=np.int64)
    known = _commonest(columns.dataset[said], codes[said], columns.model[said])
    usual[: len(known)] = known
    found: Integers = np.where(said, codes, usual[columns.dataset])
    return found


def _in_best_setting(columns: _Columns) -> np.ndarray:
    width = int(columns.setting.max(initial=0)) + 1
    datasets, settings = _by_use(columns.dataset, columns.setting, columns.model)
    place = np.argsort(datasets * width + settings)  # pairs sorted by value -> their place in the order of use
    rank = place[np.searchsorted((datasets * width + settings)[place], columns.dataset * width + columns.setting)]
    pair = columns.model * (int(columns.dataset.max(initial=0)) + 1) + columns.dataset
    pairs, row_pair = np.unique(pair, return_inverse=True)
    best = np.full(len(pairs), np.iinfo(np.int64).max)
    np.minimum.at(best, row_pair, rank)
    inside: np.ndarray = rank == best[row_pair]
    return inside


def _averaged(snapshot: Snapshot, columns: _Columns, left_out: int) -> ScoreMatrix:
    models, row = np.unique(columns.model, return_inverse=True)
    datasets, first, column = np.unique(columns.dataset, return_index=True, return_inverse=True)
    shape = (len(models), len(datasets))
    n, total, squares = (np.zeros(shape) for _ in range(3))
    np.add.at(n, (row, column), 1)
    np.add.at(total, (row, column), columns.score)
    mean = np.divide(total, n, out=np.full(shape, np.nan), where=n > 0)
    np.add.at(squares, (row, column), (columns.score - mean[row, column]) ** 2)
    variance = np.divide(squares, n - 1, out=np.full(shape, np.nan), where=n > 1)
    model_ids, dataset_ids = snapshot.model_ids, snapshot.dataset_ids
    return ScoreMatrix(
        models=tuple(model_ids[index] for index in models),
        datasets=tuple(dataset_ids[index] for index in datasets),
        metrics=tuple(columns.metric_names[code] for code in columns.metric[first]),
        protocols=_protocol_names(columns, len(datasets), column),
        scores=mean,
        n=n.astype(np.int64),
        spread=np.sqrt(variance),
        n_left_out=left_out,
    )


def _protocol_names(columns: _Columns, n_datasets: int, column: Integers) -> tuple[str, ...]:
    """Names each dataset's protocol, e.g. "full", "probe, 5 shots", "unknown"."""
    method = np.full(n_datasets, -1, dtype=np.int64)
    shots = np.full(n_datasets, -1, dtype=np.int64)
    np.maximum.at(method, column, columns.method)
    np.maximum.at(shots, column, columns.n_shot)
    names = (columns.method_names[code] if code >= 0 else "unknown" for code in method)
    return tuple(name + (f", {n} shots" if n >= 0 else "") for name, n in zip(names, shots, strict=True))
