"""Zoos small enough to follow by head, as arrays and in a store."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from zoo_graph.scores import ScoreMatrix
from zoo_graph.store import Connection

Cells = dict[str, dict[str, float]]  # model -> dataset -> score
Fill = Callable[..., None]
MatrixOf = Callable[..., ScoreMatrix]


def matrix_of_scores(scores: Sequence[Sequence[float]] | np.ndarray, models: Sequence[str] = ()) -> ScoreMatrix:
    values = np.array(scores, dtype=float)
    n_models, n_datasets = values.shape
    return ScoreMatrix(
        models=tuple(models) or tuple(f"m{row:03}" for row in range(n_models)),
        datasets=tuple(f"d{column:03}" for column in range(n_datasets)),
        metrics=("accuracy",) * n_datasets,
        protocols=("full",) * n_datasets,
        scores=values,
        n=np.isfinite(values).astype(np.int64),
        spread=np.full(values.shape, np.nan),
    )


@pytest.fixture
def matrix_of() -> MatrixOf:
    """A score matrix from rows of scores."""
    return matrix_of_scores


_COUNTER = itertools.count()


def fill_store(connection: Connection, cells: Cells, **conditions: object) -> None:
    """Writes nodes and one result per cell, as an import does. `conditions`: further properties of every result."""
    datasets = sorted({dataset for row in cells.values() for dataset in row})
    said = {"metric": "accuracy", "split": "test", "method": "full"} | conditions
    results = [
        {"m": model, "d": dataset, "p": {"id": f"r{next(_COUNTER):08}", "score": score, "value": score} | said}
        for model, row in cells.items()
        for dataset, score in row.items()
    ]
    statements = (
        ("UNWIND $rows AS id MERGE (:Model {id: id})", sorted(cells)),
        ("UNWIND $rows AS id MERGE (:Dataset {id: id})", datasets),
        (
            "UNWIND $rows AS row MATCH (m:Model {id: row.m}) MATCH (d:Dataset {id: row.d}) "
            "CREATE (m)-[r:MEASURED]->(d) SET r = row.p",
            results,
        ),
    )
    connection.write(lambda transaction: [transaction.run(text, rows=rows) for text, rows in statements])


@pytest.fixture
def fill() -> Fill:
    """Writes {model: {dataset: score}} into a store."""
    return fill_store


@pytest.fixture
def two_families() -> Cells:
    """Ten models on eight datasets: `a*` do well on the even datasets, `b*` on the odd ones, `c0` has one result."""
    noise = np.random.default_rng(3).normal(0, 0.01, (10, 8))
    cells = {
        f"{family}{number}": {
            f"d{column}": float(0.5 + 0.3 * ((column + shift) % 2 == 0) + noise[number + 5 * shift, column])
            for column in range(8)
        }
        for shift, family in enumerate("ab")
        for number in range(5)
    }
    cells["c0"] = {"d0": 0.6}
    return cells
