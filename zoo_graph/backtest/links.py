"""Link prediction in a backtest: trained so that it never saw the target it is asked for, once for all targets.

Ten networks whatever the number of targets (`nested` says why that is enough), each as long in training as one of a
refresh's. Each is on disk as soon as it is trained, and what all of them say at the end, so that a backtest goes on
after kill -9 where it was, and is asked again at no cost.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from selection.executors.executor import Site, site_of
from selection.executors.packing import Workers
from selection.recall import Evidence
from zoo_graph.backtest.rankers import Ranker, ours, proxy_alone
from zoo_graph.backtest.threads import one_thread
from zoo_graph.link_evidence import NAME, as_proxy, graph_digest
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.snapshot import Integers

if TYPE_CHECKING:
    from zoo_graph.link_prediction.nested import Nested, Pair, Plan
    from zoo_graph.link_prediction.training import Settings

LINKED: Mapping[str, Ranker] = {NAME: partial(proxy_alone, NAME), "ours_links": ours}
_SAID = "said.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """What link prediction says of the datasets of a graph, each as a target that it never saw."""

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    nested: "Nested"

    def onto(self, evidence: Evidence, target: str) -> Evidence:
        """The evidence for a target with what is said of it and, by networks that never saw it, of past datasets.

        Unchanged where that is nothing but history, as after a refresh.
        """
        column = self.datasets.index(target)
        if not self.nested.beyond[column]:
            return evidence
        said, past = self.nested.of(column)
        return as_proxy(evidence, said, self.models, past, self.models, self.datasets)


def kin_of(datasets: Sequence[str], together: Iterable[Sequence[str]]) -> Integers:
    """Numbers (D,) that are equal for datasets which a chain of the groups `together` joins."""
    place = {name: row for row, name in enumerate(datasets)}
    kin = np.arange(len(datasets))
    for group in together:
        joined = kin[[place[one] for one in group]]
        kin[np.isin(kin, joined)] = joined.min()
    return kin


def learn_links(
    graph: ZooGraph,
    kin: Integers,
    folder: Path,
    *,
    workers: Workers | Site = 1,
    seed: int = 0,
    code: str = "",
    settings: "Settings | None" = None,
    track: Callable[[int, int], None] | None = None,
) -> Links:
    """Trains what `folder` does not hold yet for this graph, kin, seed and `code`; `track(networks, of)`.

    What the folder holds for others is deleted. Several workers train networks side by side, one thread each.
    `settings` default to those of a refresh.

    Raises:
        selection.errors.TrialError: a worker died.
    """
    from zoo_graph.link_prediction import signal
    from zoo_graph.link_prediction.nested import plan

    laid = plan(graph, kin, seed=seed, settings=settings or signal.SETTINGS)
    place = _made(folder, _digest(laid, code))
    if not (place / _SAID).exists():
        _train(laid, place, workers, track)
        with one_thread():
            _say(laid, place)
    return Links(graph.models, graph.datasets, _read(place / _SAID))


def _digest(laid: "Plan", code: str) -> str:
    said = [graph_digest(laid.graph), laid.kin.tolist(), repr(laid.settings), laid.seed, code]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=12).hexdigest()


def _made(folder: Path, digest: str) -> Path:
    place = folder / digest
    place.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old != place:
            shutil.rmtree(old, ignore_errors=True)
    return place


def _train(laid: "Plan", place: Path, workers: Workers | Site, track: Callable[[int, int], None] | None) -> None:
    missing = [pair for pair in laid.pairs if not _path(place, pair).exists()]
    with site_of(workers).at_most(len(missing)).open(_Train(laid, place), folder=place) as executor:
        for done, (_, result) in enumerate(executor.run(missing), len(laid.pairs) - len(missing) + 1):
            if isinstance(result, Exception):
                raise result
            if track is not None:
                track(done, len(laid.pairs))


@dataclass(frozen=True, slots=True, eq=False)
class _Train:
    """What a worker does with a pair of folds."""

    laid: "Plan"
    place: Path

    def __call__(self, pair: "Pair") -> None:
        """Trains the network that misses them and writes it."""
        from zoo_graph.link_prediction.nested import fit_pair
        from zoo_graph.link_prediction.storage import trained_bytes

        with one_thread():
            _write(_path(self.place, pair), trained_bytes(fit_pair(self.laid, pair)))


def _path(place: Path, pair: "Pair") -> Path:
    return place / f"without-{pair[0]}-{pair[1]}.safetensors"


def _say(laid: "Plan", place: Path) -> None:
    from safetensors.numpy import save

    from zoo_graph.link_prediction.nested import nested
    from zoo_graph.link_prediction.storage import read_trained

    found = nested(laid, {pair: read_trained(_path(place, pair)) for pair in laid.pairs})
    _write(place / _SAID, save({"said": found.said, "past": found.past, "part": found.part, "beyond": found.beyond}))
    for pair in laid.pairs:
        _path(place, pair).unlink()


def _read(path: Path) -> "Nested":
    from safetensors.numpy import load_file

    from zoo_graph.link_prediction.nested import Nested

    return Nested(**load_file(path))


def _write(path: Path, content: bytes) -> None:
    partial_path = path.with_suffix(".partial")
    with partial_path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial_path.replace(path)
