"""Runs every ranker on every target, in parallel and resumably: the loop of a backtest.

Pure of the graph: cases come from a `Source`, so that the benchmarks run the very same code on plain arrays.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selection.executors.executor import Site, site_of
from selection.executors.packing import Workers
from zoo_graph.backtest.cases import Case, Source, with_evaluated
from zoo_graph.backtest.journal import Journal
from zoo_graph.backtest.quality import quality
from zoo_graph.backtest.rankers import Ranker
from zoo_graph.backtest.records import Record
from zoo_graph.backtest.threads import one_thread
from zoo_graph.errors import InputError


@dataclass(frozen=True, slots=True)
class Question:
    """One ranker to be asked about one target."""

    target: str
    n_evaluated: int
    ranker: str


def run(
    source: Source,
    rankers: Mapping[str, Ranker],
    folder: Path | None = None,
    *,
    evaluated: Sequence[int] = (0,),
    workers: Workers | Site = 1,
    seed: int = 0,
    code: str = "",
    prepare: Callable[[], Source] | None = None,
) -> Iterator[Record]:
    """Yields a record for each target, number of evaluated models and ranker; first those that `folder` holds.

    With a folder each record is on disk before it is yielded, and the same call goes on after kill -9: what was judged
    there on the same content of the source, under the same ranker's name, seed and `code` (a version, where rankers
    change) is not asked again; failures are. A ranker that fails on a target is recorded, and the rest goes on. Several
    workers are spawned processes of one BLAS thread each, to which source and rankers are pickled. `prepare`, called
    once and only if anything is left to ask, gives the source that is then asked: the same targets, and with them what
    took long to learn.

    Raises:
        InputError: no ranker, a negative number of evaluated models, or the folder is in use or damaged.
        selection.errors.InputError: a number of workers that this machine does not carry.
    """
    if not rankers or not evaluated or min(evaluated) < 0:
        raise InputError(
            f"got {len(rankers)} rankers and {list(evaluated)} models evaluated; wanted a ranker, and 0 (cold) or more"
        )
    questions = [Question(target, n, name) for target in source.targets for n in evaluated for name in rankers]
    digest = source.digest
    keys = {question: _key(digest, question, seed, code) for question in questions}
    with Journal(folder) if folder is not None else nullcontext() as journal:
        done = {key: record for key, record in (journal.read() if journal else {}).items() if record.state != "failed"}
        yield from (done[key] for key in keys.values() if key in done)
        todo = [question for question, key in keys.items() if key not in done]
        work = _Work(prepare() if prepare is not None and todo else source, rankers, seed)
        with site_of(workers).open(work) as executor:
            for question, result in executor.run(todo):
                record = result if isinstance(result, Record) else _failure(source.name, question, result)
                if journal:
                    journal.append(keys[question], record)
                yield record


def _key(digest: str, question: Question, seed: int, code: str) -> str:
    said = [digest, question.target, question.n_evaluated, question.ranker, seed, code]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=12).hexdigest()


def _failure(matrix: str, question: Question, error: Exception) -> Record:
    reason = f"{type(error).__name__}: {error}"
    return Record(matrix, question.target, question.n_evaluated, question.ranker, "failed", {}, reason=reason)


class _Work:
    """What a worker does with a question; it keeps the last case, as questions come target by target."""

    def __init__(self, source: Source, rankers: Mapping[str, Ranker], seed: int) -> None:
        self._source = source
        self._rankers = dict(rankers)
        self._seed = seed
        self._last: tuple[tuple[str, int], Case] | None = None

    def __call__(self, question: Question) -> Record:
        """Asks and judges one ranker."""
        with one_thread():
            case = self._case(question)
            began = time.perf_counter()
            ranking = self._rankers[question.ranker](case.evidence, self._seed)
            seconds = time.perf_counter() - began
        about = (self._source.name, question.target, question.n_evaluated, question.ranker)
        if ranking is None:
            return Record(*about, "silent", {}, seconds)
        measured = case.evidence.measured
        shown = None if measured is None else ~np.isnan(measured)
        return Record(*about, "judged", quality(ranking, case.truth, shown), seconds)

    def _case(self, question: Question) -> Case:
        asked = (question.target, question.n_evaluated)
        if self._last is None or self._last[0] != asked:
            self._last = asked, with_evaluated(self._source.case(question.target), question.n_evaluated)
        return self._last[1]
