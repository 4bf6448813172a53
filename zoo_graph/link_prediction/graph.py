"""The zoo as a graph of plain arrays: what link prediction learns from and predicts on.

Knows numpy only: neither torch nor the store. Nothing derived from scores is kept here (no performance edges, no
communities), so that hiding a dataset's scores hides everything that is known of its results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.snapshot import Floats, Integers

Labels = Mapping[str, tuple[tuple[str, ...], ...]]


def no_pairs() -> Integers:
    """Returns an empty list of pairs, (0, 2)."""
    return np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ZooGraph:
    """M models, D datasets and what is known of them; nan is unknown everywhere. Rows follow `models`, `datasets`.

    `scores` (M, D): comparable within a column, larger is better. `model_numbers`: name -> (M,) or (M, g);
    `dataset_numbers`: name -> (D,) or (D, g), such as log10 of a size or a mean probe embedding. `model_labels`,
    `dataset_labels`: kind -> the labels of each node (none, one or several); the kinds "family" and "architecture" of
    models become nodes. `pretrained_on` (E, 2): model, dataset; a dataset no model was scored on is a node all the
    same. `derived_from` (E, 2): model, its base. `similarity`: basis -> (D, D), larger is more alike. `proxies`:
    name -> (M, D), compared within a column only.

    Raises:
        InputError: shapes that do not match, ids given twice, infinite scores, pairs out of range.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    scores: Floats
    model_numbers: Mapping[str, Floats] = field(default_factory=dict)
    model_labels: Labels = field(default_factory=dict)
    dataset_numbers: Mapping[str, Floats] = field(default_factory=dict)
    dataset_labels: Labels = field(default_factory=dict)
    pretrained_on: Integers = field(default_factory=no_pairs)
    derived_from: Integers = field(default_factory=no_pairs)
    similarity: Mapping[str, Floats] = field(default_factory=dict)
    proxies: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_models, n_datasets = len(self.models), len(self.datasets)
        _check_ids("model", self.models)
        _check_ids("dataset", self.datasets)
        _check_shape("scores", self.scores, (n_models, n_datasets))
        if np.isinf(self.scores).any():
            raise InputError("got infinite scores; wanted finite ones, or nan for not measured")
        for kind, nodes in (("model", n_models), ("dataset", n_datasets)):
            for name, values in getattr(self, f"{kind}_numbers").items():
                _check_shape(f"{kind}_numbers[{name!r}]", values, (nodes, *values.shape[1:2]))
            for name, labels in getattr(self, f"{kind}_labels").items():
                _check_length(f"{kind}_labels[{name!r}]", labels, nodes)
        for name, values in self.similarity.items():
            _check_shape(f"similarity[{name!r}]", values, (n_datasets, n_datasets))
        for name, values in self.proxies.items():
            _check_shape(f"proxies[{name!r}]", values, (n_models, n_datasets))
        _check_pairs("pretrained_on", self.pretrained_on, (n_models, n_datasets))
        _check_pairs("derived_from", self.derived_from, (n_models, n_models))

    def columns(self, datasets: Sequence[str]) -> Integers:
        """Returns the columns of the named datasets.

        Raises:
            UnknownNameError: a dataset that is no node of the graph.
        """
        place = {name: column for column, name in enumerate(self.datasets)}
        for name in datasets:
            if name not in place:
                raise UnknownNameError("dataset", name, self.datasets)
        return np.array([place[name] for name in datasets], dtype=np.int64)

    def without(self, *datasets: str) -> "ZooGraph":
        """Returns the graph without any result on the datasets; as nodes, with all else known of them, they stay."""
        scores = self.scores.copy()
        scores[:, self.columns(datasets)] = np.nan
        return replace(self, scores=scores)

    def with_scores(self, scores: Floats) -> "ZooGraph":
        """Returns the graph with other scores, (M, D)."""
        return replace(self, scores=scores)

    def take_models(self, rows: Integers) -> "ZooGraph":
        """Returns the graph of the given models (K,), in that order; edges to the others go."""
        place = np.full(len(self.models), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        pretrained = np.column_stack([place[self.pretrained_on[:, 0]], self.pretrained_on[:, 1]])
        derived = place[self.derived_from]
        return replace(
            self,
            models=tuple(self.models[row] for row in rows),
            scores=self.scores[rows],
            model_numbers={name: values[rows] for name, values in self.model_numbers.items()},
            model_labels=_taken(self.model_labels, rows),
            pretrained_on=pretrained[pretrained[:, 0] >= 0],
            derived_from=derived[(derived >= 0).all(axis=1)],
            proxies={name: values[rows] for name, values in self.proxies.items()},
        )

    def take_datasets(self, columns: Integers) -> "ZooGraph":
        """Returns the graph of the given datasets (K,), in that order; edges to the others go."""
        place = np.full(len(self.datasets), -1, dtype=np.int64)
        place[columns] = np.arange(len(columns))
        pretrained = np.column_stack([self.pretrained_on[:, 0], place[self.pretrained_on[:, 1]]])
        return replace(
            self,
            datasets=tuple(self.datasets[column] for column in columns),
            scores=self.scores[:, columns],
            dataset_numbers={name: values[columns] for name, values in self.dataset_numbers.items()},
            dataset_labels=_taken(self.dataset_labels, columns),
            pretrained_on=pretrained[pretrained[:, 1] >= 0],
            similarity={name: values[np.ix_(columns, columns)] for name, values in self.similarity.items()},
            proxies={name: values[:, columns] for name, values in self.proxies.items()},
        )

    def with_dataset(
        self,
        dataset: str,
        *,
        numbers: Mapping[str, Floats | float] | None = None,
        labels: Mapping[str, tuple[str, ...]] | None = None,
        similarity: Mapping[str, Floats] | None = None,
        proxies: Mapping[str, Floats] | None = None,
    ) -> "ZooGraph":
        """Returns the graph with one more dataset, the last, on which nothing was measured.

        `similarity`: basis -> (D,), to the datasets so far; `proxies`: name -> (M,). What is not said is unknown.

        Raises:
            InputError: the dataset is there already, or a shape does not match.
        """
        numbers, labels, similarity, proxies = numbers or {}, labels or {}, similarity or {}, proxies or {}
        n_models, n_datasets = self.scores.shape
        known = {name: np.full((n_datasets, *np.shape(value)), np.nan) for name, value in numbers.items()}
        bases = {name: np.full((n_datasets, n_datasets), np.nan) for name in similarity} | dict(self.similarity)
        proxied = {name: np.full((n_models, n_datasets), np.nan) for name in proxies} | dict(self.proxies)
        said = dict.fromkeys(labels, ((),) * n_datasets) | dict(self.dataset_labels)
        unscored = np.full((n_models, 1), np.nan)
        for what, given, length in (("similarity", similarity, n_datasets), ("proxies", proxies, n_models)):
            for name, values in given.items():
                _check_shape(f"{what}[{name!r}]", values, (length,))
        return replace(
            self,
            datasets=(*self.datasets, dataset),
            scores=np.hstack([self.scores, unscored]),
            dataset_numbers={
                name: _appended(name, values, numbers.get(name))
                for name, values in (known | dict(self.dataset_numbers)).items()
            },
            dataset_labels={kind: (*rows, tuple(labels.get(kind, ()))) for kind, rows in said.items()},
            similarity={name: _bordered(values, similarity.get(name)) for name, values in bases.items()},
            proxies={
                name: np.hstack([values, proxies[name][:, None] if name in proxies else unscored])
                for name, values in proxied.items()
            },
        )


def _taken(labels: Labels, rows: Integers) -> Labels:
    return {kind: tuple(nodes[row] for row in rows) for kind, nodes in labels.items()}


def _appended(name: str, values: Floats, value: Any) -> Floats:
    row = np.full((1, *values.shape[1:]), np.nan) if value is None else np.asarray(value, dtype=np.float64)[None]
    _check_shape(f"numbers[{name!r}]", row[0], values.shape[1:])
    return np.concatenate([values, row])


def _bordered(values: Floats, border: Floats | None) -> Floats:
    """Returns the square (D, D) with one more row and column, itself 1."""
    n = len(values)
    grown = np.full((n + 1, n + 1), np.nan)
    grown[:n, :n] = values
    if border is not None:
        grown[n, :n] = grown[:n, n] = border
    grown[n, n] = 1.0
    return grown


def _check_ids(kind: str, ids: tuple[str, ...]) -> None:
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"got the {kind} {twice!r} twice; wanted each once: merge its rows")


def _check_shape(what: str, values: Floats, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise InputError(f"got {what} of shape {values.shape}; wanted {shape}: rows and columns in the graph's order")


def _check_length(what: str, values: tuple[tuple[str, ...], ...], length: int) -> None:
    if len(values) != length:
        raise InputError(f"got {what} for {len(values)} nodes; wanted {length}: an empty tuple where there is none")


def _check_pairs(what: str, pairs: Integers, sizes: tuple[int, int]) -> None:
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise InputError(f"got {what} of shape {pairs.shape}; wanted (E, 2): row numbers of both ends")
    if len(pairs) and (pairs.min() < 0 or (pairs.max(axis=0) >= sizes).any()):
        raise InputError(f"got {what} with row numbers up to {pairs.max(axis=0)}; wanted them in range of {sizes}")
