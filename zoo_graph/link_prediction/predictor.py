"""The graph network as a ranker: an ensemble over folds of the datasets, shrunk by what held-out datasets show.

Each member is trained without one fold. All held-out datasets together choose when training stops, by how much the
correction is multiplied (0 where it does not help: then history or the mixed model stands) and how far intervals
reach. A new dataset or model is predicted by the same weights.
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from zoo_graph.errors import InputError
from zoo_graph.link_prediction.features import Schema, schema_of
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.hetero import Alike, Frame, alike_of, frame_of, view
from zoo_graph.link_prediction.model import Network
from zoo_graph.link_prediction.pairs import pair_features
from zoo_graph.link_prediction.prediction import Calibration, Prediction, calibrate, with_interval
from zoo_graph.link_prediction.results import Results, deal, read_results, target_groups
from zoo_graph.link_prediction.standing import Base, choose_base, stand
from zoo_graph.link_prediction.training import (
    Settings,
    State,
    build,
    corrections,
    decoded,
    episode_of,
    fit,
    own_torch,
    single,
)
from zoo_graph.snapshot import Floats, Integers

_LOG = logging.getLogger(__name__)

MIN_DATASETS = 5  # with fewer, nothing tells whether a network helps


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One network's weights, and the base it corrects."""

    base: Base
    state: State


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A trained ensemble. `multiplier` of the correction is between 0 (the base alone) and 1; `base` stands where
    there are no members, `held_out` datasets taught multiplier and interval."""

    schema: Schema
    settings: Settings
    base: Base
    members: tuple[Member, ...]
    multiplier: float
    calibration: Calibration

    def predict(self, graph: ZooGraph, targets: Sequence[str]) -> Prediction:
        """Predicts every model of the graph on the targets, each one's own results unseen.

        Models and datasets need not have been there in training. In zoos of a hundred datasets or more some targets
        are predicted together, and then none of their results is seen.

        Raises:
            UnknownNameError: a target that is no dataset of the graph (`ZooGraph.with_dataset` adds one).
        """
        columns = graph.columns(targets)
        with own_torch(0, self.settings.threads):
            mean, sd = said(self, frame_of(graph, self.schema), read_results(graph.scores), columns)
        return with_interval(graph, targets, mean, sd, self.calibration)


def is_history(predictor: Predictor) -> bool:
    """Whether it predicts by shrunken means of past results alone, having learnt nothing that bore out."""
    corrected = bool(predictor.members) and predictor.multiplier > 0
    return not corrected and predictor.base.kind == "history"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A network's weights at each checkpoint and the base it was trained on."""

    base: Base
    states: list[State]


def train(graph: ZooGraph, *, seed: int = 0, settings: Settings | None = None) -> Predictor:
    """Trains an ensemble on all results of the graph. Same graph and seed, same predictor.

    Raises:
        InputError: fewer than two folds.
    """
    settings = settings or Settings()
    _check_folds(settings.folds, 2)
    frame, results = frame_of(graph, schema_of(graph)), read_results(graph.scores)
    folds = _folds(results, settings, seed)
    with own_torch(seed, settings.threads):
        trained = [fit_on(frame, results.hide(fold), settings, seed + place) for place, fold in enumerate(folds)]
        return _assemble(frame, results, trained, folds, settings, seed)


def out_of_fold(graph: ZooGraph, *, folds: int = 5, seed: int = 0, settings: Settings | None = None) -> Floats:
    """Returns predictions (M, D) on the z-scale for every dataset by networks that never saw its fold's results.

    Nor do multiplier, base and end of training know them: each network leaves out two folds, one to learn these on,
    the other to predict, so folds (folds - 1) / 2 networks are trained, twice as many as for `train`. While a dataset
    is predicted, the results on all others are seen. Datasets without results get their base from all results.

    Raises:
        InputError: fewer than three folds.
    """
    _check_folds(folds, 3)
    settings = replace(settings or Settings(), folds=folds)
    frame, results = frame_of(graph, schema_of(graph)), read_results(graph.scores)
    dealt = _folds(results, settings, seed)
    rest = np.setdiff1d(np.arange(len(graph.datasets)), np.concatenate([*dealt, _none()]))
    found = np.zeros(graph.scores.shape)
    with own_torch(seed, settings.threads):
        nets = _fit_pairs(frame, results, dealt, settings, seed)
        for k, fold in enumerate(dealt):
            others = [j for j in range(len(dealt)) if j != k]
            trained, held_out = [nets[frozenset((j, k))] for j in others], [dealt[j] for j in others]
            predictor = _assemble(frame, results.hide(fold), trained, held_out, settings, seed)
            found[:, fold] = said(predictor, frame, results, fold)[0]
        if len(rest):
            found[:, rest] = said(_assemble(frame, results, [], [], settings, seed), frame, results, rest)[0]
    return found


def _check_folds(folds: int, fewest: int) -> None:
    if folds < fewest:
        raise InputError(f"got {folds} folds; wanted at least {fewest}: what is left out is taught by the others")


def _none() -> Integers:
    return np.zeros(0, dtype=np.int64)


def _fit_pairs(
    frame: Frame, results: Results, folds: list[Integers], settings: Settings, seed: int
) -> dict[frozenset[int], Trained]:
    """Returns a network for every two folds, trained without either."""
    return {
        frozenset((j, k)): fit_on(frame, results.hide(np.concatenate([folds[j], folds[k]])), settings, seed + place)
        for place, (j, k) in enumerate(itertools.combinations(range(len(folds)), 2))
    }


def _folds(results: Results, settings: Settings, seed: int) -> list[Integers]:
    """Returns the folds of the datasets that have results; none where there are too few of them."""
    columns = results.informative()
    return deal(columns, settings.folds, [seed, 3]) if len(columns) >= MIN_DATASETS else []


def fit_on(frame: Frame, results: Results, settings: Settings, seed: int) -> Trained:
    """Trains a network on the results and nothing else; call it within `own_torch`."""
    base = choose_base(results, frame.design, seed)
    return Trained(base, fit(frame, results, base, settings, seed))


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What members say of results they never saw: rows of the results (N,), what their base leaves of each and
    says of it, and at each checkpoint (C, N) correction and log-variance."""

    rows: Integers
    left: Floats
    base: Floats
    correction: Floats
    log_variance: Floats


def _assemble(
    frame: Frame, results: Results, trained: list[Trained], folds: list[Integers], settings: Settings, seed: int
) -> Predictor:
    """Returns the ensemble of networks each of which has not seen its fold of the results."""
    held = [held_out(frame, results, one, fold, settings) for one, fold in zip(trained, folds, strict=True)]
    return settle(frame, results, trained, held, choose_base(results, frame.design, seed), settings)


def held_out(frame: Frame, results: Results, trained: Trained, fold: Integers, settings: Settings) -> HeldOut:
    """Returns what a network says of the results on a fold that it never saw."""
    network = build(frame, settings)
    return _joined([_look(network, frame, results, trained, g) for g in target_groups(fold, results.n_datasets)])


def _joined(parts: Sequence[HeldOut]) -> HeldOut:
    return HeldOut(*(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in HeldOut.__slots__))


def settle(
    frame: Frame,
    results: Results,
    trained: Sequence[Trained],
    looked: Sequence[HeldOut],
    base: Base,
    settings: Settings,
) -> Predictor:
    """Returns the ensemble of the networks, its checkpoint, multiplier and intervals learnt from what was `looked` at:
    what networks said of results that they never saw, row numbers being those of `results`. Without, the base alone."""
    if not trained or not looked:
        return Predictor(frame.schema, settings, base, (), 0.0, Calibration())
    held = _joined(looked)
    gains, multipliers = zip(*(_gain(results, held, correction) for correction in held.correction), strict=True)
    best = int(np.argmax(gains))
    calibration = _calibrated(results, held, multipliers[best] * held.correction[best], held.log_variance[best])
    _LOG.info(
        "checkpoint %d of %d, multiplier %.2f, %s",
        best + 1,
        len(gains),
        multipliers[best],
        [m.base.kind for m in trained],
    )
    members = tuple(Member(one.base, one.states[best]) for one in trained)
    return Predictor(frame.schema, settings, base, members, multipliers[best], calibration)


def _look(network: Network, frame: Frame, results: Results, trained: Trained, group: Integers) -> HeldOut:
    visible = results.hide(group)
    episode = episode_of(frame, visible, results, trained.base, group)
    correction, log_variance = corrections(network, trained.states, episode)
    base = episode.base.numpy().astype(np.float64)
    rows = results.of(group)
    return HeldOut(rows, results.z[rows] - base, base, correction, log_variance)


def _gain(results: Results, held: HeldOut, correction: Floats) -> tuple[float, float]:
    """Returns the squared error saved by the best multiplier of the correction, and that multiplier.

    The multiplier is the least-squares one after its evidence is cut by one standard error over datasets. A correction
    that only makes the base larger or smaller ranks nobody anew, so what goes along with the base does not count.
    """
    dataset = results.dataset[held.rows]
    weight = 1 / np.bincount(dataset)[dataset]
    base, left, moved = (_centred(values, dataset) for values in (held.base, held.left, correction))
    size = max(float((weight * base**2).sum()), 1e-12)
    left, moved = (values - float((weight * values * base).sum()) / size * base for values in (left, moved))
    n = np.bincount(dataset)
    seen = n > 0
    pull, energy = (np.bincount(dataset, values)[seen] / n[seen] for values in (left * moved, moved**2))
    if len(pull) < 2 or not energy.sum():
        return 0.0, 0.0  # one dataset does not tell what is chance
    raw = float(np.clip(pull.sum() / energy.sum(), 0.0, 1.0))
    doubt = float((pull - raw * energy).std(ddof=1) * np.sqrt(len(pull)))
    multiplier = float(np.clip((pull.sum() - doubt) / energy.sum(), 0.0, 1.0))
    return 2 * multiplier * float(pull.sum()) - multiplier**2 * float(energy.sum()), multiplier


def _centred(values: Floats, dataset: Integers) -> Floats:
    return values - (np.bincount(dataset, values) / np.maximum(np.bincount(dataset), 1))[dataset]


def _calibrated(results: Results, held: HeldOut, moved: Floats, log_variance: Floats) -> Calibration:
    mean, sd = (np.full((results.n_models, results.n_datasets), np.nan) for _ in range(2))
    places = results.model[held.rows], results.dataset[held.rows]
    mean[places], sd[places] = held.base + moved, np.exp(log_variance / 2)
    return calibrate(mean, sd, results)


def said(predictor: Predictor, frame: Frame, results: Results, columns: Integers) -> tuple[Floats, Floats]:
    """Returns mean and standard deviation (M, K) of every model on the columns (K,), their own results unseen."""
    mean, sd = (np.zeros((results.n_models, len(columns))) for _ in range(2))
    places, network = np.arange(len(columns)), build(frame, predictor.settings)
    for group in target_groups(places, results.n_datasets):
        visible = results.hide(columns[group])
        if not predictor.members:
            standing = stand(visible, frame.design, predictor.base)
            mean[:, group], sd[:, group] = standing.mean[:, None], np.sqrt(standing.variance)[:, None]
            continue
        alike = alike_of(visible)
        said = [
            _member(network, member, predictor.multiplier, frame, visible, alike, columns[group])
            for member in predictor.members
        ]
        means, variances = (np.stack(part) for part in zip(*said, strict=True))
        mean[:, group] = means.mean(axis=0)
        sd[:, group] = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return mean, sd


def _member(
    network: Network, member: Member, multiplier: float, frame: Frame, visible: Results, alike: Alike, targets: Integers
) -> tuple[Floats, Floats]:
    """Returns one member's mean and variance, (M, T) each."""
    standing = stand(visible, frame.design, member.base)
    residual = visible.z - standing.mean[visible.model]
    shape = visible.n_models, len(targets)
    data = view(frame, visible, standing, alike)
    models, columns = (places.reshape(-1) for places in np.indices(shape))
    pairs = single(pair_features(frame.tables, visible, residual, targets, models, columns))
    network.load_state_dict(member.state)
    moved, log_variance = decoded(network, data, torch.from_numpy(models), torch.from_numpy(targets[columns]), pairs)
    mean = standing.mean[models] + multiplier * moved
    return mean.reshape(shape), np.exp(log_variance).reshape(shape)
