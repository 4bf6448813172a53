"""A matrix of published results with all that is known beside them, and random cuts of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from selection.recall import FloatArray
from selection.recall.descriptions import distance_similarity, words
from selection.records import Candidate
from zoo_graph import descriptions
from zoo_graph.records import Dataset

Pool = Literal["181", "further"]


@dataclass(frozen=True, slots=True)
class DatasetText:
    """What is known of a dataset without any result on it; empty where unknown."""

    name: str
    task: str = ""
    languages: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    description: str = ""
    n_samples: int | None = None
    n_classes: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Results of M models on D datasets, nan where not measured; `targets` are the datasets to leave out in turn.

    `proxies` name -> (M, D). `dataset_distance` (D, D) and `pretraining_distance` (M, D), from the dataset a model was
    pretrained on, are the user's own; nan unknown. `model_labels` name -> (M,) texts, "" unknown; `model_numbers`
    name -> (M,), nan unknown. `trained_on` (M,) names datasets that a model has seen in training.
    """

    name: str
    pool: Pool
    candidates: tuple[Candidate, ...]
    datasets: tuple[str, ...]
    scores: FloatArray
    targets: tuple[str, ...]
    dataset_text: tuple[DatasetText, ...]
    proxies: Mapping[str, FloatArray] = field(default_factory=dict)
    dataset_distance: FloatArray | None = None
    pretraining_distance: FloatArray | None = None
    model_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    model_numbers: Mapping[str, FloatArray] = field(default_factory=dict)
    trained_on: tuple[tuple[str, ...], ...] = ()


def subzoos(
    matrix: Matrix,
    rng: np.random.Generator,
    n: int,
    *,
    models: tuple[int, int] = (5, 66),
    datasets: tuple[int, int] = (5, 35),
) -> Iterator[Matrix]:
    """Yields `n` random cuts of the matrix, sizes log-uniform within the given bounds (ends included).

    Every dataset of a cut is a target where two results differ and the best is not the median. Cuts without any target
    are drawn again.
    """
    made = 0
    while made < n:
        rows = np.sort(rng.permutation(len(matrix.candidates))[: _size(rng, models)])
        columns = np.sort(rng.permutation(len(matrix.datasets))[: _size(rng, datasets)])
        cut = select(matrix, rows, columns, f"{matrix.name}_cut{made}")
        if cut.targets:
            made += 1
            yield cut


def _size(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    low, high = bounds
    return min(high, int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))))


def select(matrix: Matrix, rows: Any, columns: Any, name: str) -> Matrix:
    """The matrix of some models and datasets, both as index arrays; its targets are those that can be judged."""
    scores = matrix.scores[np.ix_(rows, columns)]
    names = tuple(matrix.datasets[d] for d in columns)
    apart, pretraining = matrix.dataset_distance, matrix.pretraining_distance
    return replace(
        matrix,
        name=name,
        candidates=tuple(matrix.candidates[m] for m in rows),
        datasets=names,
        scores=scores,
        targets=tuple(one for one, column in zip(names, scores.T, strict=True) if is_judgeable(column)),
        dataset_text=tuple(matrix.dataset_text[d] for d in columns),
        proxies={key: values[np.ix_(rows, columns)] for key, values in matrix.proxies.items()},
        dataset_distance=None if apart is None else apart[np.ix_(columns, columns)],
        pretraining_distance=None if pretraining is None else pretraining[np.ix_(rows, columns)],
        model_labels={key: tuple(values[m] for m in rows) for key, values in matrix.model_labels.items()},
        model_numbers={key: values[rows] for key, values in matrix.model_numbers.items()},
        trained_on=tuple(matrix.trained_on[m] for m in rows) if matrix.trained_on else (),
    )


def is_judgeable(column: FloatArray) -> bool:
    """Whether regret is defined: the best result is above the median."""
    seen = column[~np.isnan(column)]
    return len(seen) > 1 and bool(seen.max() > np.median(seen))


def similarities(matrix: Matrix) -> dict[str, FloatArray]:
    """Basis -> (D, D): how alike datasets are by what is known of them without results, as a zoo told so much holds it.

    The words of a description are tags; a user's own distances are one more basis.
    """
    found = descriptions.similarities([as_dataset(text) for text in matrix.dataset_text])
    if matrix.dataset_distance is not None:
        found["distance"] = distance_similarity(matrix.dataset_distance)
    return found


def as_dataset(text: DatasetText) -> Dataset:
    """The dataset as a zoo would hold it."""
    tags = {"language": text.languages, "domain": text.domains, "description": words(text.description)}
    return Dataset(
        text.name,
        task=text.task or None,
        n_classes=text.n_classes,
        n_samples=text.n_samples,
        tags=tuple(f"{kind}:{label}" for kind, labels in tags.items() for label in dict.fromkeys(labels)),
    )
