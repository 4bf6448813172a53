"""What is known of a (model, dataset) pair before any learning: proxies, results on similar datasets, pretraining."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from zoo_graph.link_prediction.features import Schema, standardised_proxy
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.results import Results
from zoo_graph.snapshot import Floats, Integers

_SHARPNESS = 1.5  # of the weight of a dataset as many standard deviations more alike than others
_PSEUDO = 3.0  # results of average weight that a similarity-weighted mean is shrunk by


@dataclass(frozen=True, slots=True, eq=False)
class PairTables:
    """The graph's pair evidence, ready to be looked up: standardised proxies, each (M, D), one row-standardised
    similarity (D, D) for each basis (0 where unknown), and which datasets models were pretrained on, (M, D)."""

    proxies: tuple[Floats, ...]
    alike: tuple[Floats, ...]
    pretrained: sp.csr_array


def pair_width(schema: Schema) -> int:
    """Returns the number of features of a pair."""
    return 2 * len(schema.proxies) + 2 * len(schema.bases) + 1


def pair_tables(graph: ZooGraph, schema: Schema) -> PairTables:
    """Returns the tables of what the schema names; a proxy or basis the graph lacks is unknown throughout."""
    n_models, n_datasets = graph.scores.shape
    no_proxy, no_basis = np.full((n_models, n_datasets), np.nan), np.full((n_datasets, n_datasets), np.nan)
    proxies = [standardised_proxy(graph.proxies.get(name, no_proxy)) for name in schema.proxies]
    alike = [row_standardised(graph.similarity.get(name, no_basis)) for name in schema.bases]
    pairs = np.unique(graph.pretrained_on, axis=0)
    pretrained = sp.csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n_models, n_datasets))
    return PairTables(tuple(proxies), tuple(alike), pretrained)


def row_standardised(similarity: Floats) -> Floats:
    """Returns how much more alike than others each dataset is to that of the row, in spreads, clipped to 3.

    0 where unknown and on the diagonal: a dataset is no witness of itself.
    """
    others = similarity.copy()
    np.fill_diagonal(others, np.nan)
    seen = np.isfinite(others)
    n = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    mean = np.where(seen, others, 0.0).sum(axis=1, keepdims=True) / n
    spread = np.sqrt((np.where(seen, others - mean, 0.0) ** 2).sum(axis=1, keepdims=True) / n)
    standard = np.clip((others - mean) / np.maximum(spread, 1e-12), -3, 3)
    return np.asarray(np.where(seen & (spread > 1e-12), standard, 0.0))


def pair_features(
    tables: PairTables, visible: Results, residual: Floats, targets: Integers, models: Integers, columns: Integers
) -> Floats:
    """Returns the features of N pairs, (N, `pair_width`): models[i] with targets[columns[i]].

    `residual` (visible results,) is what their base leaves; results on the targets themselves must be hidden.
    """
    values = sp.csr_array((residual, (visible.model, visible.dataset)), shape=tables.pretrained.shape)
    seen = sp.csr_array((np.ones(len(visible)), (visible.model, visible.dataset)), shape=tables.pretrained.shape)
    datasets = targets[columns]
    found: list[Floats] = []
    for proxy in tables.proxies:
        value = proxy[models, datasets]
        found += [np.nan_to_num(value), np.isfinite(value).astype(np.float64)]
    for alike in tables.alike:
        weight = np.where(alike[targets] != 0, np.exp(_SHARPNESS * alike[targets]), 0.0)  # (T, D)
        total, mass = values @ weight.T, seen @ weight.T  # (M, T)
        pull = _PSEUDO * weight.sum(axis=1) / np.maximum((weight > 0).sum(axis=1), 1)
        near = total / np.maximum(mass + pull, 1e-12)
        found += [3 * near[models, columns], (mass / np.maximum(mass + pull, 1e-12))[models, columns]]
    found.append(kinship(tables, targets)[models, columns])
    return np.column_stack(found)


def kinship(tables: PairTables, targets: Integers) -> Floats:
    """Returns how alike the target is to what the model was pretrained on, mean over bases and datasets, (M, T).

    The target itself counts as 3, the most there is.
    """
    n_datasets = tables.pretrained.shape[1]
    alike: Floats = sum((table[targets] for table in tables.alike), np.zeros((len(targets), n_datasets)))
    alike = alike / max(len(tables.alike), 1)
    alike[np.arange(len(targets)), targets] = 3.0
    n = np.maximum(np.asarray(tables.pretrained.sum(axis=1)).reshape(-1, 1), 1)
    return np.asarray((tables.pretrained @ alike.T) / np.sqrt(n))


def mean_proxy(proxies: Sequence[Floats], shape: tuple[int, int]) -> Floats:
    """Returns the mean of the standardised proxies that are known of each pair, (M, D), nan where none is."""
    total, n = np.zeros(shape), np.zeros(shape)
    for values in proxies:
        total += np.nan_to_num(values)
        n += np.isfinite(values)
    return np.asarray(np.divide(total, n, out=np.full(shape, np.nan), where=n > 0))
