"""Who goes on: the decisions of successive halving, as functions of plain scores. No training, no files, no clock."""

import math
from collections.abc import Mapping, Sequence
from statistics import median


def ranked(scores: Mapping[str, float], probes: Mapping[str, float | None]) -> tuple[str, ...]:
    """Models best first: higher score, then higher probe, then name; a nan score comes last, a missing probe too."""
    return tuple(sorted(scores, key=lambda model: (_worst_last(scores[model]), _worst_last(probes.get(model)), model)))


def ranked_by_probe(models: Sequence[str], probes: Mapping[str, float | None]) -> tuple[str, ...]:
    """Models best first by probe score; ties keep the order given (recall's).

    A probe that is missing or nan says nothing against a model: it counts as the median of the others.
    """
    known = [probe for model in models if (probe := probes.get(model)) is not None and not math.isnan(probe)]
    middle = median(known) if known else 0.0
    return tuple(sorted(models, key=lambda model: _worst_last(probes.get(model), middle)))


def probe_survivors(models: Sequence[str], n: int, probes: Mapping[str, float | None]) -> tuple[str, ...]:
    """The best `n` by `ranked_by_probe`, in that order."""
    return ranked_by_probe(models, probes)[:n]


def _worst_last(score: float | None, missing: float = -math.inf) -> float:
    """A sort key that puts the largest score first and a missing or nan one where `missing` stands."""
    return -missing if score is None or math.isnan(score) else -score
