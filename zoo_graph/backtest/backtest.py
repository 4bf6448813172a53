"""The backtest of a user's own zoo: which ranker would have found its best models, and does ours beat history there?"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zoo_graph.backtest import report
from zoo_graph.backtest.cases import Case, chosen, is_judgeable
from zoo_graph.backtest.rankers import RANKERS, Ranker, with_proxies
from zoo_graph.backtest.records import Record
from zoo_graph.backtest.run import run
from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.evidence import candidates_of, evidence
from zoo_graph.ingest.session import code_version
from zoo_graph.scores import score_matrix
from zoo_graph.snapshot import Snapshot, take
from zoo_graph.store.connection import Connection

NAME = "zoo"
GROUPS = (report.Group(NAME),)
FIRST = ("ours", "history")
_LEAST_MODELS = 5  # below, a regret says more of who happened to be measured
_LEAST_DATASETS = 3  # below, history is one other dataset and a mean is over two targets


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a backtest found: every record, and the files that show it."""

    records: tuple[Record, ...]
    files: tuple[Path, ...]

    def lines(self) -> list[str]:
        """The tables for a terminal, and whether ours beat history."""
        return [*report.lines(self.records, GROUPS, first=FIRST), "", *report.verdict(self.records, GROUPS[0])]

    def rows(self) -> list[dict[str, Any]]:
        """`{regime, ranker, metric, mean, stderr, n, difference, difference_stderr, p, tie}`, a row each.

        Differences are from history, paired; None where there is none.
        """
        return report.rows(self.records, GROUPS[0])


def backtest(
    connection: Connection,
    folder: Path,
    *,
    targets: Collection[str] | None = None,
    rankers: Mapping[str, Ranker] | None = None,
    only: Collection[str] | None = None,
    evaluated: Sequence[int] = (0,),
    workers: int = 1,
    hold_out: Mapping[str, Collection[str]] | None = None,
    seed: int = 0,
    out: Path | None = None,
    track: Callable[[int, int], None] | None = None,
) -> Backtest:
    """Leaves out each target of the zoo in turn, asks every ranker for it, and judges them by the results there.

    `rankers` (None: `RANKERS` and each of the graph's proxies alone), of which `only` names the wanted ones; history is
    always among them. `evaluated`: for 0 a ranker knows nothing of the target, for n the results of history's first n
    models. `hold_out`: for a target, further datasets whose results must not count (its parts or supersets). Journal,
    table, JSON and picture lie in `out` (default `backtest/` under `folder`, the zoo's own); the same call goes on
    there after an interruption, and asks anew when the zoo has changed. `track(done, of)` is told of progress.

    Raises:
        UnknownNameError: a target that cannot be judged (`ZooSource.targets`) or is not held, or an unknown ranker.
        InputError: fewer than three datasets to judge by, no ranker, a negative number evaluated, or `out` is in use or
            damaged.
        StoreError: the store failed.
    """
    source = ZooSource(take(connection, folder), targets, hold_out or {})
    table = _table(source, rankers, only)
    where = out or folder / "backtest"
    of = len(source.targets) * len(evaluated) * len(table)
    records: list[Record] = []
    for record in run(source, table, where, evaluated=evaluated, workers=workers, seed=seed, code=code_version()):
        records.append(record)
        if track is not None:
            track(len(records), of)
    head = {"zoo": connection.uri, "version": code_version(), "evidence": source.digest, "seed": seed}
    return Backtest(tuple(records), report.write(records, where, GROUPS, head, first=FIRST))


def _table(
    source: "ZooSource", rankers: Mapping[str, Ranker] | None, only: Collection[str] | None
) -> dict[str, Ranker]:
    table = dict(rankers) if rankers is not None else with_proxies(source.proxies)
    for name in only or ():
        if name not in table:
            raise UnknownNameError("ranker", name, table)
    wanted = {name: ranker for name, ranker in table.items() if only is None or name in only}
    return {"history": RANKERS["history"], **wanted}


class ZooSource:
    """Cases from a snapshot: the target's results judge, and are never among what is known.

    With a target, datasets of the same texts or images (`features_digest`) are held out, and those that `hold_out`
    names for it. The models with any comparable result are ranked. Evaluating a model tells its validation result where
    the zoo holds such; it is judged by the score comparable with the others.

    Raises:
        InputError: fewer than three datasets can be judged.
        UnknownNameError: a target that is not held or cannot be judged, or an unknown dataset to hold out.
    """

    def __init__(
        self, snapshot: Snapshot, targets: Collection[str] | None, hold_out: Mapping[str, Collection[str]]
    ) -> None:
        self._snapshot = snapshot
        self._hold_out = {target: tuple(sorted(names)) for target, names in hold_out.items()}
        self._twins = twins(snapshot)
        self._matrix = score_matrix(snapshot)
        models = set(self._matrix.models)
        self._candidates = tuple(one for one in candidates_of(snapshot) if one.model in models)
        columns = zip(self._matrix.datasets, self._matrix.scores.T, strict=True)
        judgeable = [name for name, column in columns if is_judgeable(column, _LEAST_MODELS)]
        if len(judgeable) < _LEAST_DATASETS:
            raise _too_few(judgeable)
        _check_held(self._hold_out, snapshot.dataset_ids)
        self._targets = chosen(judgeable, targets)

    @property
    def name(self) -> str:
        """What the results are reported under."""
        return NAME

    @property
    def targets(self) -> tuple[str, ...]:
        """The datasets on which at least five models have comparable results, the best above the median."""
        return self._targets

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

    def case(self, target: str) -> Case:
        """The case of one target; see the class."""
        held = {*self._hold_out.get(target, ()), *self._twins.get(target, ())} - {target}
        known = evidence(self._snapshot, self._candidates, target=target, proxies={}, hold_out=sorted(held))
        rows = {model: row for row, model in enumerate(self._matrix.models)}
        at = [rows[one.model] for one in self._candidates]
        truth = self._matrix.scores[at, self._matrix.datasets.index(target)]
        told = known.measured if known.measured is not None else np.full(len(truth), np.nan)
        return Case(replace(known, measured=None), truth, told)


def _too_few(judgeable: Sequence[str]) -> InputError:
    named = f" ({', '.join(judgeable)})" if judgeable else ""
    return InputError(
        f"got a zoo with {len(judgeable)} datasets{named} on which at least {_LEAST_MODELS} models have comparable "
        f"results that differ; wanted {_LEAST_DATASETS} or more, to leave each out in turn: import or measure more"
    )


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
