"""Groups of models that perform alike: Leiden on the nearest-neighbour graph, or 2PS's average linkage.

Arrays and names in, communities out; knows no database. How fine the groups are is chosen by what they are
for: a label learnt on some datasets should explain who does well on the *others*, and not depend on the seed.

Leiden: Traag, Waltman, van Eck 2019, with the constant Potts objective, under which a group holds together
while its mean edge weight exceeds the resolution. Unlike modularity it may leave an odd model alone: on 2PS's
39x21 matrix it explains .77 of held-out variance where modularity on the same graph explains .65 to .76.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import graspologic_native
import networkx as nx
import numpy as np
from scipy.cluster.hierarchy import average, fcluster
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from zoo_graph.scores import ScoreMatrix
from zoo_graph.similarity import Edges, comparable, model_edges, pair_distances
from zoo_graph.snapshot import Floats, Integers

Method = Literal["leiden", "average linkage"]

RESOLUTIONS = (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
_STABLE = 0.8
_NEARLY = 0.1
_WIDTH = 1.5  # of the weight's kernel, in median distances to a model's five nearest
_LARGE = 1_000  # models from which fewer folds, seeds and trials are made: what they steady is steadier then


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How much of a dataset's variance a label explains that was made without it (eta squared, mean over datasets).

    `shuffled` is the expectation for the same groups with models permuted, (K - 1) / (N - 1); `adjusted` is 0
    for labels no better than that (or with every model alone) and 1 for all variance; `stderr` is its standard
    error over datasets, and `each` its value on each dataset (nan: the scores do not differ).
    """

    explained: float
    shuffled: float
    adjusted: float
    stderr: float
    each: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """One resolution tried: how well it explains, and how alike its groups are between seeds (mean adjusted Rand)."""

    resolution: float
    stability: float
    held_out: HeldOut


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """A group number for each model of the matrix, (M,), how it came about; `trials` is empty if nothing was tuned."""

    labels: Integers
    method: Method
    chosen: Trial | None
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Community:
    """One group for people. `members` are sorted ids; `quality` is the share of its edge weight that stays inside.

    `id` is `community:` and the representative, the member with the best shrunken mean score (ties: id).
    """

    id: str
    members: tuple[str, ...]
    representative: str
    label: str
    quality: float


def partition(matrix: ScoreMatrix, edges: Edges, *, seed: int = 0, method: Method = "leiden") -> Partition:
    """Returns the communities of the matrix' models; `edges` are its `model_edges`. Same inputs and seed, same answer.

    "leiden" tries `RESOLUTIONS` and takes, among those stable between seeds, the coarsest whose explained
    held-out variance is within one standard error of the best's. "average linkage" is 2PS's own, cut at its .09.
    """
    if method == "average linkage":
        return Partition(average_linkage(matrix), method, None, ())
    trials = try_resolutions(matrix, edges, seed=seed)
    chosen = choose(trials)
    return Partition(leiden(edges, len(matrix.models), resolution=chosen.resolution, seed=seed), method, chosen, trials)


# -- ways to group


def weights(edges: Edges) -> Floats:
    """Returns each edge's weight in (0, 1]: exp(-(distance / width)^2), (E,).

    The width is 1.5 times the median distance to a model's five nearest, so it needs no unit.
    """
    ends = np.concatenate([edges.a, edges.b])
    distance = np.concatenate([edges.distance, edges.distance])
    order = np.lexsort((distance, ends))
    starts = np.unique(ends[order], return_index=True)[1]
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    nearest = distance[order][place < 5]
    width = max(_WIDTH * float(np.median(nearest)) if len(nearest) else 0.0, 1e-9)
    weight: Floats = np.exp(-((edges.distance / width) ** 2))
    return weight


def leiden(edges: Edges, n_models: int, *, resolution: float, seed: int) -> Integers:
    """Returns a group number for each model, (n_models,); a model without an edge is a group of its own."""
    labels = np.arange(n_models) + n_models
    if len(edges):
        triples = [
            (f"{a:09}", f"{b:09}", weight)
            for a, b, weight in zip(edges.a.tolist(), edges.b.tolist(), weights(edges).tolist(), strict=True)
        ]
        _, groups = graspologic_native.leiden(
            triples,
            resolution=resolution,
            use_modularity=False,
            iterations=2,
            trials=3 if n_models < _LARGE else 1,
            seed=seed,
        )
        labels[[int(node) for node in groups]] = list(groups.values())
    return _numbered(labels)


def average_linkage(matrix: ScoreMatrix, *, cut: float = 0.09, largest: int = 5) -> Integers:
    """Returns 2PS's clusters, (M,): average linkage of raw distances, cut at .09 (its value for text; .03 for images).

    Two models that share no dataset are as far apart as any two. Takes 16 M^2 bytes: for some thousand models.
    """
    if len(matrix.models) < 2:
        return np.zeros(len(matrix.models), dtype=np.int64)
    distances = pair_distances(matrix, largest=largest)
    far = np.nanmax(distances)
    tree = average(squareform(np.where(np.isfinite(distances), distances, far), checks=False))
    return _numbered(fcluster(tree, cut, criterion="distance").astype(np.int64))


def _numbered(labels: Integers) -> Integers:
    """Renumbers groups from 0 in the order of their first model."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers: Integers = np.argsort(np.argsort(first))[inverse]
    return numbers


# -- how good a grouping is


def explained_variance(scores: Floats, labels: Integers) -> tuple[float, float]:
    """Returns eta squared of one dataset's scores (M,), nan allowed, by label, and its expectation under shuffling.

    Both are nan where fewer than three scores are known or they do not differ; both are 1 where every model is alone.
    """
    measured = np.isfinite(scores)
    values, groups = scores[measured], np.unique(labels[measured], return_inverse=True)[1]
    n, k = len(values), int(groups.max(initial=-1)) + 1
    total = float(((values - values.mean()) ** 2).sum()) if n else 0.0
    if n < 3 or total <= 1e-12 * float((values**2).sum()):
        return float("nan"), float("nan")
    means = np.bincount(groups, weights=values) / np.bincount(groups)
    return float(((means[groups] - values.mean()) ** 2).sum()) / total, (k - 1) / (n - 1)


def held_out(matrix: ScoreMatrix, group: Callable[[ScoreMatrix], Integers], *, folds: int, seed: int = 0) -> HeldOut:
    """Returns how much labels explain on datasets they were made without, each dataset held out once.

    Datasets are dealt at random into `folds` (at most one each), so `group` is called that often.
    """
    return _held_out_each(matrix, [group], folds=folds, seed=seed)[0]


def _held_out_each(
    matrix: ScoreMatrix, groups: Sequence[Callable[[ScoreMatrix], Integers]], *, folds: int, seed: int
) -> list[HeldOut]:
    found: list[list[tuple[float, float]]] = [[] for _ in groups]
    for left_out in _folds(len(matrix.datasets), folds, seed):
        rest = matrix.without(left_out)
        for pairs, group in zip(found, groups, strict=True):
            labels = group(rest)
            pairs.extend(explained_variance(matrix.scores[:, column], labels) for column in left_out)
    return [_summary(pairs) for pairs in found]


def _folds(n_datasets: int, folds: int, seed: int) -> list[list[int]]:
    order = np.random.default_rng(seed).permutation(n_datasets)
    return [sorted(order[start::folds].tolist()) for start in range(min(folds, n_datasets))]


def _summary(pairs: list[tuple[float, float]]) -> HeldOut:
    explained, shuffled = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    nothing = np.where(np.isfinite(shuffled), 0.0, np.nan)
    each = np.divide(explained - shuffled, 1 - shuffled, out=nothing, where=shuffled < 1)
    known = each[np.isfinite(each)]
    if not len(known):
        return HeldOut(0.0, 0.0, 0.0, 0.0, tuple(each))
    means = (float(np.nanmean(explained)), float(np.nanmean(shuffled)), float(known.mean()))
    return HeldOut(*means, _stderr(known), tuple(each))


def _stderr(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def try_resolutions(matrix: ScoreMatrix, edges: Edges, *, seed: int = 0) -> tuple[Trial, ...]:
    """Returns every resolution with its stability (5 seeds) and held-out variance (5 folds; 3 of each if large)."""
    n_models = len(matrix.models)
    repeats = 5 if n_models < _LARGE else 3

    def groups(rest: ScoreMatrix, resolution: float) -> Integers:
        return leiden(edges_of(rest), n_models, resolution=resolution, seed=seed)

    edges_of = _last_only(model_edges)
    tried = [lambda rest, resolution=resolution: groups(rest, resolution) for resolution in RESOLUTIONS]
    explained = _held_out_each(matrix, tried, folds=repeats, seed=seed)
    stable = [_stability(edges, n_models, resolution, range(seed, seed + repeats)) for resolution in RESOLUTIONS]
    return tuple(Trial(*values) for values in zip(RESOLUTIONS, stable, explained, strict=True))


def _last_only(compute: Callable[[ScoreMatrix], Edges]) -> Callable[[ScoreMatrix], Edges]:
    """Returns `compute` that remembers its last answer: the edges of a fold serve every resolution."""
    last: list[tuple[ScoreMatrix, Edges]] = []

    def remembered(matrix: ScoreMatrix) -> Edges:
        if not last or last[0][0] is not matrix:
            last[:] = [(matrix, compute(matrix))]
        return last[0][1]

    return remembered


def _stability(edges: Edges, n_models: int, resolution: float, seeds: Sequence[int]) -> float:
    runs = [leiden(edges, n_models, resolution=resolution, seed=seed) for seed in seeds]
    return float(np.mean([adjusted_rand_score(one, other) for one, other in itertools.combinations(runs, 2)]))


def choose(trials: Sequence[Trial]) -> Trial:
    """Returns the coarsest stable trial that explains no less than the best, by one standard error of the difference.

    Stable: an adjusted Rand index of .8 between seeds, or within .1 of the highest there is. The difference is taken
    dataset by dataset, since datasets differ far more than resolutions do.
    """
    enough = min(_STABLE, max(trial.stability for trial in trials) - _NEARLY)
    stable = [trial for trial in trials if trial.stability >= enough]
    best = max(stable, key=lambda trial: trial.held_out.adjusted)
    near = [trial for trial in stable if _as_good(trial.held_out, best.held_out)]
    return min(near, key=lambda trial: trial.resolution)


def _as_good(one: HeldOut, best: HeldOut) -> bool:
    difference = np.array(best.each) - np.array(one.each)
    difference = difference[np.isfinite(difference)]
    return not len(difference) or float(difference.mean()) <= _stderr(difference)


# -- for people


def ability(matrix: ScoreMatrix, *, shrinkage: float = 3.0) -> Floats:
    """Returns each model's mean standardised score, shrunk towards 0 as if by `shrinkage` average results, (M,)."""
    values = comparable(matrix.scores)
    n = np.isfinite(values).sum(axis=1)
    mean: Floats = np.nansum(values, axis=1) / (n + shrinkage)
    return mean


def describe(
    matrix: ScoreMatrix, edges: Edges, labels: Integers, families: Sequence[str | None]
) -> tuple[Community, ...]:
    """Returns the groups as communities, largest first. `families`: each model's family or architecture, (M,)."""
    skill = ability(matrix)
    inside = _inside_share(edges, labels)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []
    found = [_describe(matrix, group, skill, families, float(inside[labels[group[0]]])) for group in groups]
    return tuple(sorted(found, key=lambda community: (-len(community.members), community.id)))


def _describe(
    matrix: ScoreMatrix, group: Integers, skill: Floats, families: Sequence[str | None], quality: float
) -> Community:
    best = min(group.tolist(), key=lambda row: (-skill[row], matrix.models[row]))
    known = Counter(family for row in group.tolist() if (family := families[row]))
    representative = matrix.models[best]
    label = f"like {representative}"
    if known:
        family, n = min(known.items(), key=lambda item: (-item[1], item[0]))
        label = f"{family} ({n} of {len(group)}), {label}"
    members = tuple(sorted(matrix.models[row] for row in group))
    return Community(f"community:{representative}", members, representative, label, round(quality, 6))


def _inside_share(edges: Edges, labels: Integers) -> Floats:
    """Returns for each group the share of its members' edge weight that stays inside; 1 where it has no edges."""
    weight = weights(edges)
    size = int(labels.max(initial=-1)) + 1
    left, right = labels[edges.a], labels[edges.b]
    inside = np.bincount(left[left == right], weights=2 * weight[left == right], minlength=size)
    total = np.bincount(np.concatenate([left, right]), weights=np.concatenate([weight, weight]), minlength=size)
    return np.divide(inside, total, out=np.ones(size), where=total > 0)


def graph_view(matrix: ScoreMatrix, edges: Edges) -> nx.Graph:
    """Returns the neighbour graph for networkx: nodes are model ids, edges carry `weight`, `distance`, `overlap`."""
    graph = nx.Graph()
    graph.add_nodes_from(matrix.models)
    columns = (edges.a, edges.b, weights(edges), edges.distance, edges.overlap)
    for a, b, weight, distance, overlap in zip(*(column.tolist() for column in columns), strict=True):
        graph.add_edge(matrix.models[a], matrix.models[b], weight=weight, distance=distance, overlap=overlap)
    return graph
