"""A planted zoo: two kinds of datasets, told apart by a label, and models that are good at one kind."""

from collections.abc import Callable

import numpy as np
import pytest

from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.tokens import label_similarity
from zoo_graph.link_prediction.training import Settings

Planted = Callable[..., ZooGraph]


def planted_zoo(n_models: int = 24, n_datasets: int = 16, seed: int = 0, hidden: float = 0.0) -> ZooGraph:
    generator = np.random.default_rng(seed)
    kind = np.arange(n_datasets) % 2
    gift = np.where(np.arange(n_models) % 2, 1.0, -1.0)
    scores = generator.normal(size=(n_models, 1)) + 1.5 * np.outer(gift, 2 * kind - 1)
    scores = scores + generator.normal(scale=0.3, size=scores.shape)
    scores[generator.random(scores.shape) < hidden] = np.nan
    labels = {"task": tuple(("letters",) if one else ("pictures",) for one in kind)}
    return ZooGraph(
        tuple(f"m{row}" for row in range(n_models)),
        tuple(f"d{column}" for column in range(n_datasets)),
        scores,
        model_numbers={"log_parameters": generator.normal(size=n_models)},
        model_labels={"family": tuple((f"f{row % 3}",) for row in range(n_models))},
        dataset_labels=labels,
        dataset_numbers={"log_samples": generator.normal(size=n_datasets)},
        derived_from=np.array([[1, 0], [2, 0]]),
        pretrained_on=np.array([[0, 0], [3, 1]]),
        similarity={"labels": label_similarity(labels, n_datasets)},
        proxies={"LogME": scores + generator.normal(size=scores.shape)},
    )


@pytest.fixture(scope="session")
def planted() -> Planted:
    return planted_zoo


@pytest.fixture(scope="session")
def quick() -> Settings:
    return Settings(folds=3, steps=24, checkpoints=2, episodes=8, width=16, learning_rate=6e-3)
