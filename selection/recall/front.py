"""The Pareto front: the models of which none cheaper is expected to do as well."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from selection.errors import InputError
from selection.recall.evidence import Evidence, FloatArray

Cost = Literal["n_parameters", "seconds"]
COSTS: tuple[Cost, ...] = ("n_parameters", "seconds")


def costs(evidence: Evidence, along: Cost) -> FloatArray:
    """What each candidate (M,) costs: its parameters, or its measured seconds; nan where not known.

    Raises:
        InputError: a cost that is none of these, or none known of any candidate.
    """
    if along not in COSTS:
        raise InputError(f"got the cost {along!r}; wanted one of {', '.join(COSTS)}")
    unknown = np.full(len(evidence.candidates), np.nan)
    if along == "seconds":
        found = unknown if evidence.seconds is None else evidence.seconds
    else:
        found = np.array([one.n_parameters or np.nan for one in evidence.candidates], dtype=np.float64)
    if not np.isfinite(found).any():
        missing = "results with their seconds" if along == "seconds" else "n_parameters of the models"
        raise InputError(f"got no {along} of any candidate; wanted it for the Pareto front: import {missing}")
    return found


def pareto_front(ranked: Sequence[int], cost: FloatArray) -> list[int]:
    """Those of the candidates `ranked` best expected first that no cheaper or equally cheap one goes before.

    In the order given, so the first is the best expected and the last the cheapest. A candidate of unknown cost is
    not on the front.
    """
    front: list[int] = []
    cheapest = np.inf
    for index in ranked:
        if cost[index] < cheapest:
            front.append(index)
            cheapest = float(cost[index])
    return front
