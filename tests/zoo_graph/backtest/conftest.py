"""A table small enough to follow by head."""

from collections.abc import Callable

import numpy as np
import pytest

from selection.records import Candidate
from zoo_graph.backtest.cases import Table

N_MODELS = 8
MakeTable = Callable[..., Table]


@pytest.fixture
def table() -> MakeTable:
    """8 models whose ability is their number, on some datasets with noise; any field may be given instead."""

    def make(n_datasets: int = 5, **changes: object) -> Table:
        generator = np.random.default_rng(0)
        names = tuple(f"d{d}" for d in range(n_datasets))
        fields: dict[str, object] = {
            "name": "small",
            "candidates": tuple(Candidate(f"acme/m{m}", n_parameters=10 ** (m + 5)) for m in range(N_MODELS)),
            "datasets": names,
            "scores": np.arange(N_MODELS)[:, None] / 10 + 0.15 * generator.standard_normal((N_MODELS, n_datasets)),
            "targets": names,
        }
        return Table(**{**fields, **changes})  # type: ignore[arg-type]

    return make
