"""Cases from the user's own zoo: a snapshot with each target left out in turn."""

import copy
import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from selection.executors.executor import Site
from selection.executors.packing import Workers
from zoo_graph.backtest.cases import Case, chosen, why_not_judged
from zoo_graph.backtest.links import Links, kin_of, learn_links
from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.evidence import candidates_of, evidence
from zoo_graph.link_evidence import link_graph
from zoo_graph.scores import score_matrix
from zoo_graph.snapshot import Snapshot

NAME = "zoo"
_LEAST_MODELS = 5  # below, a regret says more of who happened to be measured
_SHOWN = 5  # names of datasets left out, on a line
_LEAST_DATASETS = 3  # below, history is one other dataset and a mean is over two targets


class ZooSource:
    """Cases from a snapshot: the target's results judge, and are never among what is known.

    With a target, datasets of the same texts or images (`features_digest`) are held out, and those that `hold_out`
    names for it. The models with any comparable result are ranked. Evaluating a model tells its validation result where
    the zoo holds such; it is judged by the score comparable with the others.

    Raises:
        InputError: fewer than three datasets can be judged, or not one that is named.
        UnknownNameError: a target that is not held or has no results, or an unknown dataset to hold out.
    """

    def __init__(
        self, snapshot: Snapshot, targets: Collection[str] | None, hold_out: Mapping[str, Collection[str]]
    ) -> None:
        self._snapshot = snapshot
        self._links: Links | None = None
        self._hold_out = {target: tuple(sorted(names)) for target, names in hold_out.items()}
        self._twins = twins(snapshot)
        self._matrix = score_matrix(snapshot)
        models = set(self._matrix.models)
        self._candidates = tuple(one for one in candidates_of(snapshot) if one.model in models)
        columns = zip(self._matrix.datasets, self._matrix.scores.T, strict=True)
        reasons = {name: why_not_judged(column, _LEAST_MODELS) for name, column in columns}
        judgeable = [name for name, reason in reasons.items() if reason is None]
        if len(judgeable) < _LEAST_DATASETS:
            raise _too_few(judgeable)
        _check_held(self._hold_out, snapshot.dataset_ids)
        left_out = {name: reason for name, reason in reasons.items() if reason is not None}
        for name in targets or ():
            if name in left_out:
                raise _unjudgeable(name, left_out[name])
        self._targets = chosen(judgeable, targets)
        self._left_out = left_out if targets is None else {}

    @property
    def name(self) -> str:
        """What the results are reported under."""
        return NAME

    @property
    def targets(self) -> tuple[str, ...]:
        """The datasets on which at least five models have comparable results, the best above the median."""
        return self._targets

    @property
    def notes(self) -> tuple[str, ...]:
        """Which datasets that have results are no targets though no one chose among them, and why: a line a reason."""
        by_reason: dict[str, list[str]] = defaultdict(list)
        for name, reason in self._left_out.items():
            by_reason[reason].append(name)
        return tuple(f"not judged: {_first(names)} ({reason})" for reason, names in sorted(by_reason.items()))

    @property
    def proxies(self) -> tuple[str, ...]:
        """The proxy scores that the graph holds."""
        return tuple(sorted(set(self._snapshot.proxies["name"].to_pylist())))

    @cached_property
    def digest(self) -> str:
        """24 hex digits of the snapshot's columns and of what is held out."""
        digest = hashlib.blake2b(digest_size=12)
        for table in self._snapshot.tables:
            digest.update(repr(table.to_pydict()).encode())
        digest.update(repr(sorted(self._hold_out.items())).encode())
        return digest.hexdigest()

    def with_links(
        self, folder: Path, workers: Workers | Site, seed: int, code: str, track: Callable[[int, int], None]
    ) -> "ZooSource":
        """The source whose cases also hold what link prediction says, learnt with `learn_links` in the folder.

        Datasets of the same content, and a target and what is held out with it, are left out together.
        """
        graph = link_graph(self._snapshot)
        kin = kin_of(graph.datasets, [*self._twins.values(), *((name, *held) for name, held in self._hold_out.items())])
        found = copy.copy(self)
        found._links = learn_links(graph, kin, folder, workers=workers, seed=seed, code=code, track=track)
        return found

    def case(self, target: str) -> Case:
        """The case of one target; see the class."""
        held = {*self._hold_out.get(target, ()), *self._twins.get(target, ())} - {target}
        known = evidence(self._snapshot, self._candidates, target=target, proxies={}, hold_out=sorted(held))
        rows = {model: row for row, model in enumerate(self._matrix.models)}
        at = [rows[one.model] for one in self._candidates]
        truth = self._matrix.scores[at, self._matrix.datasets.index(target)]
        told = known.measured if known.measured is not None else np.full(len(truth), np.nan)
        cold = replace(known, measured=None)
        return Case(self._links.onto(cold, target) if self._links else cold, truth, told)


def _too_few(judgeable: Sequence[str]) -> InputError:
    named = f" ({', '.join(judgeable)})" if judgeable else ""
    return InputError(
        f"got a zoo with {len(judgeable)} datasets{named} on which at least {_LEAST_MODELS} models have comparable "
        f"results that differ; wanted {_LEAST_DATASETS} or more, to leave each out in turn: import or measure more"
    )


def _unjudgeable(name: str, reason: str) -> InputError:
    return InputError(
        f"got the dataset {name!r}, by which no ranker can be judged: {reason}; wanted a best result above the median "
        f"of {_LEAST_MODELS} or more: measure more models there, or name other datasets"
    )


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _check_held(hold_out: Mapping[str, Collection[str]], known: Sequence[str]) -> None:
    for name in (name for target, names in hold_out.items() for name in (target, *names)):
        if name not in known:
            raise UnknownNameError("dataset", name, known)


def twins(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """For each dataset whose content is known, those of the same content (itself included)."""
    alike: dict[str, list[str]] = defaultdict(list)
    rows: Iterable[tuple[str, str | None]] = zip(
        snapshot.dataset_ids, snapshot.datasets["features_digest"].to_pylist(), strict=True
    )
    for name, digest in rows:
        if digest is not None:
            alike[digest].append(name)
    return {name: tuple(names) for names in alike.values() for name in names}
