"""What link prediction says of each dataset, and of all others for learning how far to trust it, that dataset unseen.

A recall weighs link prediction by what it said of past datasets. In judging such a recall neither what is said of the
target nor what was said of past datasets may come from networks that saw the target's results. The cheapest way that
keeps this: datasets are dealt into K folds and a network is trained for every two of them, without either, so
K (K - 1) / 2 in all, which is what `predictor.out_of_fold` trains too. A target of fold k is predicted by the
networks that miss k and one other fold each; a past dataset of fold j by the one that misses j and k, while the
target's results are hidden, and with them those of a few others (a part of its fold), for which the same is said.
When training ends, and by how much corrections are multiplied, is learnt on folds other than k and j that networks
miss; those networks saw j, which leaves a trace of the past dataset in two numbers, and none of the target anywhere.
Learnt anew for every target it would cost D times as much.

So past predictions come from one network where the target's come from K - 1: link prediction is trusted rather too
little than too much. Other datasets of the target's own fold are predicted as the target is.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from zoo_graph.errors import InputError
from zoo_graph.link_prediction.features import schema_of
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.hetero import Frame, frame_of
from zoo_graph.link_prediction.predictor import (
    MIN_DATASETS,
    HeldOut,
    Predictor,
    Trained,
    fit_on,
    held_out,
    is_history,
    said,
    settle,
)
from zoo_graph.link_prediction.results import Mask, Results, read_results
from zoo_graph.link_prediction.standing import choose_base
from zoo_graph.link_prediction.training import Settings, own_torch
from zoo_graph.snapshot import Floats, Integers

FOLDS = 5
_PART_SHARE = 20  # one in so many datasets is hidden with a target while others are predicted
_FEWEST_FOLDS = 3  # two that a network misses, and one to learn from

Pair = tuple[int, int]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Which results no network may see together: `kin` (D,) numbers datasets that are only ever left out together,
    `folds` hold all D datasets, kin in one; `pairs` are the two folds that each network misses, none where there are
    too few datasets with results."""

    graph: ZooGraph
    kin: Integers
    folds: tuple[Integers, ...]
    pairs: tuple[Pair, ...]
    settings: Settings
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """`said` (M, D): of each dataset as the target. `past` (P, M, D): of all datasets for the targets of each part, by
    networks and from results that hold none on that part. `part` (D,) is each dataset's. All on the z-scale, no nan.
    `beyond` (D,): whether what is said of a target is more than history, which a recall knows by itself."""

    said: Floats
    past: Singles
    part: Integers
    beyond: Mask

    def of(self, column: int) -> tuple[Floats, Floats]:
        """Returns what is said of one target (M,), and for it of all datasets (M, D); its own column there is idle."""
        return self.said[:, column], self.past[self.part[column]].astype(np.float64)


def plan(
    graph: ZooGraph,
    kin: Integers | None = None,
    *,
    folds: int | None = None,
    seed: int = 0,
    settings: Settings | None = None,
) -> Plan:
    """Deals the datasets into at most `folds` folds (default `FOLDS`); those of equal `kin` (D,) go together.

    Raises:
        InputError: fewer than three folds, or kin of another length.
    """
    n_datasets = len(graph.datasets)
    kin, folds = np.arange(n_datasets) if kin is None else kin, FOLDS if folds is None else folds
    if folds < _FEWEST_FOLDS or kin.shape != (n_datasets,):
        raise InputError(
            f"got {folds} folds and kin of {len(kin)} datasets; wanted at least {_FEWEST_FOLDS} folds, and a group "
            f"for each of the {n_datasets} datasets"
        )
    informative = np.isin(np.arange(n_datasets), read_results(graph.scores).informative())
    dealt = _deal(informative, kin, folds, seed)
    enough = informative.sum() >= MIN_DATASETS and len(dealt) >= _FEWEST_FOLDS
    pairs = tuple(itertools.combinations(range(len(dealt)), 2)) if enough else ()
    return Plan(graph, kin, dealt, pairs, replace(settings or Settings(), folds=folds), seed)


def _deal(informative: Mask, kin: Integers, folds: int, seed: int) -> tuple[Integers, ...]:
    """Groups at random, large ones first, each into the fold with the fewest datasets that have results."""
    groups = np.random.default_rng([seed, 3]).permutation(np.unique(kin))
    weight = {group: int(informative[kin == group].sum()) for group in groups.tolist()}
    load = [(0, 0)] * min(folds, max(1, sum(size > 0 for size in weight.values())))
    dealt: list[list[int]] = [[] for _ in load]
    for group in sorted(weight, key=lambda group: -weight[group]):
        place = load.index(min(load))
        members = np.flatnonzero(kin == group).tolist()
        dealt[place] += members
        load[place] = (load[place][0] + weight[group], load[place][1] + len(members))
    return tuple(np.array(sorted(members), dtype=np.int64) for members in dealt)


def fit_pair(plan: Plan, pair: Pair) -> Trained:
    """Trains the network that misses two folds. Same plan and pair, same weights."""
    graph = plan.graph
    missed = np.concatenate([plan.folds[pair[0]], plan.folds[pair[1]]])
    with own_torch(plan.seed, plan.settings.threads):
        frame, results = frame_of(graph, schema_of(graph)), read_results(graph.scores)
        return fit_on(frame, results.hide(missed), plan.settings, plan.seed + plan.pairs.index(pair))


def nested(plan: Plan, networks: Mapping[Pair, Trained]) -> Nested:
    """Returns what is said of every dataset by the networks of all pairs; by the base alone where the plan has none.

    Cost: D predictions by K - 1 networks, and for each part D by one.
    """
    graph = plan.graph
    laid = list(parts(plan))
    n_datasets = len(graph.datasets)
    found = Nested(
        np.zeros(graph.scores.shape),
        np.zeros((len(laid), *graph.scores.shape), dtype=np.float32),
        np.zeros(n_datasets, dtype=np.int64),
        np.zeros(n_datasets, dtype=np.bool_),
    )
    with own_torch(plan.seed, plan.settings.threads):
        frame, results = frame_of(graph, schema_of(graph)), read_results(graph.scores)
        for k, fold in enumerate(plan.folds):
            judges = _judges(plan, networks, frame, results, k)
            found.beyond[fold] = not is_history(judges[k])
            found.said[:, fold] = _said(plan, judges[k], frame, results, fold)
            for place in (place for place, columns in enumerate(laid) if columns[0] in fold):
                found.part[laid[place]] = place
                without = results.hide(laid[place])
                for j, other in enumerate(plan.folds):
                    found.past[place][:, other] = _said(plan, judges[j], frame, without, other)
    return found


def parts(plan: Plan) -> Iterator[Integers]:
    """Yields each fold's datasets a few at a time, with their kin."""
    for fold in plan.folds:
        yield from _parts_of(plan, fold)


def _parts_of(plan: Plan, fold: Integers) -> Iterator[Integers]:
    most = max(1, len(plan.kin) // _PART_SHARE)
    part: list[int] = []
    for kin in np.unique(plan.kin[fold]):
        members = np.flatnonzero(plan.kin == kin).tolist()
        if part and len(part) + len(members) > most:
            yield np.array(sorted(part), dtype=np.int64)
            part = []
        part += members
    if part:
        yield np.array(sorted(part), dtype=np.int64)


def _judges(
    plan: Plan, networks: Mapping[Pair, Trained], frame: Frame, results: Results, k: int
) -> dict[int, Predictor]:
    """Returns, for targets of fold k, who predicts the datasets of each fold; nothing of fold k is in any."""
    hidden = results.hide(plan.folds[k])
    base = choose_base(hidden, frame.design, plan.seed)
    others = [j for j in range(len(plan.folds)) if j != k]
    missing = {j: networks[min(j, k), max(j, k)] for j in others if plan.pairs}
    looked = {j: held_out(frame, hidden, one, plan.folds[j], plan.settings) for j, one in missing.items()}

    def settled(trained: Sequence[Trained], seen: Sequence[HeldOut]) -> Predictor:
        return settle(frame, hidden, trained, seen, base, plan.settings)

    together = settled(list(missing.values()), list(looked.values()))
    alone = {j: settled([one], [looked[i] for i in missing if i != j]) for j, one in missing.items()}
    return dict.fromkeys(range(len(plan.folds)), together) | alone


def _said(plan: Plan, judge: Predictor, frame: Frame, results: Results, columns: Integers) -> Floats:
    """Returns what is said of the columns (M, K), each one's results and its kin's unseen."""
    many = np.bincount(plan.kin)[plan.kin[columns]] > 1
    found = np.zeros((results.n_models, len(columns)))
    found[:, ~many] = said(judge, frame, results, columns[~many])[0]
    for place in np.flatnonzero(many):
        visible = results.hide(np.flatnonzero(plan.kin == plan.kin[columns[place]]))
        found[:, [place]] = said(judge, frame, visible, columns[[place]])[0]
    return found
