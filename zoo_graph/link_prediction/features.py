"""Metadata as node features of fixed width, the same for a graph trained on and one that is only predicted.

The schema remembers which numbers, proxies and similarities there were and how they were scaled. What a later graph
has besides is not read; what it lacks is unknown. No feature is an id.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.tokens import hashed
from zoo_graph.snapshot import Floats

WIDTH = 64  # of the hashed labels


@dataclass(frozen=True, slots=True)
class Scale:
    """How one block of numbers is standardised: centre of each column, one spread for columns that belong together."""

    name: str
    centre: tuple[float, ...]
    spread: float


@dataclass(frozen=True, slots=True)
class Schema:
    """What the networks read: blocks of numbers, proxies and similarity bases by name."""

    model_numbers: tuple[Scale, ...]
    dataset_numbers: tuple[Scale, ...]
    proxies: tuple[str, ...]
    bases: tuple[str, ...]


def schema_of(graph: ZooGraph) -> Schema:
    """Returns the schema of what a graph knows; blocks without any known number are left out."""
    return Schema(
        _scales(graph.model_numbers),
        _scales(graph.dataset_numbers),
        tuple(sorted(name for name, values in graph.proxies.items() if np.isfinite(values).any())),
        tuple(sorted(name for name, values in graph.similarity.items() if np.isfinite(values).any())),
    )


def _scales(numbers: Mapping[str, Floats]) -> tuple[Scale, ...]:
    found = []
    for name, values in sorted(numbers.items()):
        block = _block(values)
        seen = np.isfinite(block)
        if not seen.any():
            continue
        centre = np.where(seen, block, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        spread = float(np.sqrt((np.where(seen, block - centre, 0.0) ** 2).sum() / seen.sum()))
        found.append(Scale(name, tuple(centre.tolist()), spread if spread > 1e-9 else 1.0))
    return tuple(found)


def model_features(graph: ZooGraph, schema: Schema) -> Floats:
    """Returns the models' numbers, whether they are known, and hashed labels, (M, F)."""
    said = hashed(graph.model_labels, len(graph.models), WIDTH)
    return np.hstack([_numbers(graph.model_numbers, schema.model_numbers, len(graph.models)), said])


def dataset_features(graph: ZooGraph, schema: Schema) -> Floats:
    """Returns the datasets' numbers, whether they are known, and hashed labels, (D, G)."""
    said = hashed(graph.dataset_labels, len(graph.datasets), WIDTH)
    return np.hstack([_numbers(graph.dataset_numbers, schema.dataset_numbers, len(graph.datasets)), said])


def _numbers(numbers: Mapping[str, Floats], scales: tuple[Scale, ...], n_nodes: int) -> Floats:
    blocks = [np.zeros((n_nodes, 0))]
    for scale in scales:
        width = len(scale.centre)
        values = _block(numbers.get(scale.name, np.full((n_nodes, width), np.nan)))
        if values.shape[1] != width:
            values = np.full((n_nodes, width), np.nan)  # another encoder's numbers are no numbers of this one
        standard = np.clip((values - np.array(scale.centre)) / scale.spread, -3.0, 3.0)
        known = np.isfinite(standard).all(axis=1, keepdims=True)
        blocks += [np.where(np.isfinite(standard), standard, 0.0) / np.sqrt(width), known.astype(np.float64)]
    return np.hstack(blocks)


def _block(values: Floats) -> Floats:
    """Returns numbers (N,) or (N, g) as a block (N, g), of no nodes too."""
    return values[:, None] if values.ndim == 1 else values


def widths(schema: Schema) -> tuple[int, int]:
    """Returns the widths of the models' and the datasets' features."""
    model, dataset = (
        sum(len(scale.centre) + 1 for scale in scales) + WIDTH
        for scales in (schema.model_numbers, schema.dataset_numbers)
    )
    return model, dataset


def standardised_proxy(values: Floats) -> Floats:
    """Returns a proxy (M, D) standardised within each column, clipped to 3; not finite, or all the same, is nan."""
    found = np.full(values.shape, np.nan)
    for column in range(values.shape[1]):
        seen = np.isfinite(values[:, column])
        if seen.sum() >= 3:
            found[seen, column] = _clipped(values[seen, column])
    return found


def _clipped(known: Floats) -> Floats:
    low, middle, high = np.percentile(known, [25, 50, 75])
    # An even half of the values may be tied: then the largest deviation has to do.
    spread = (high - low) / 1.349 or float(np.abs(known - middle).max())
    if spread <= 1e-12 * max(1e-3, abs(middle)):
        return np.full(known.shape, np.nan)
    clipped = np.clip((known - middle) / spread, -3.0, 3.0)
    return np.asarray(clipped - clipped.mean())
