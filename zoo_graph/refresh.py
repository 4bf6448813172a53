"""The jobs that derive scores, similarities and communities from what was measured, and write them back.

Each job is skipped while its inputs are those of its last run; otherwise its edges are brought up to date by
difference. One refresh at a time; killed at any moment, the next one continues.
"""

import contextlib
import datetime
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np

from zoo_graph import derived, queries
from zoo_graph.aliases import each_of
from zoo_graph.communities import Partition, describe
from zoo_graph.derived import Changes, EdgeKind, Value, Wanted
from zoo_graph.descriptions import embedding_similarities
from zoo_graph.errors import InputError, ZooError
from zoo_graph.job_inputs import Inputs, Job, code_of_jobs
from zoo_graph.lease import Lease
from zoo_graph.link_evidence import FOLDER
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.metrics import score_bounds
from zoo_graph.records import Dataset
from zoo_graph.similarity import Edges, dataset_edges, likeness_edges, similarity
from zoo_graph.snapshot import Floats, store_folder, take
from zoo_graph.store.connection import Connection, Transaction

if TYPE_CHECKING:
    from zoo_graph.link_prediction.predictor import Predictor

T = TypeVar("T")
JOBS: tuple[Job, ...] = ("scores", "dataset similarity", "similarity", "communities")
# Trained for minutes, so only when asked for.
ASKED_JOBS: tuple[Job, ...] = ("link prediction",)

_DECIMALS = 6
_PREDICTED_MODELS = 20  # edges of each dataset: every pair would be models times datasets


class Track(Protocol):
    """Shows progress through work; `rich.progress.track` is one."""

    def __call__(self, sequence: Iterable[T], description: str, total: float | None = None) -> Iterable[T]:
        """Yields the work's items while showing how far it is."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """What one job did. `changes` is None where its inputs had not changed; `run` is its (last) run's id."""

    job: Job
    run: str
    changes: Changes | None
    seconds: float
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """One line for people."""
        if self.changes is None:
            return f"{self.job}: unchanged, skipped"
        done = self.changes
        counts = f"{done.wanted:,} edges held, {done.written:,} written, {done.deleted:,} deleted"
        return "; ".join((f"{self.job}: {counts} in {self.seconds:.1f} s", *self.notes))


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What a refresh did, job by job, at which evidence version."""

    version: int
    n_models: int
    n_datasets: int
    n_results: int
    snapshot_seconds: float
    jobs: tuple[JobReport, ...]

    def lines(self) -> tuple[str, ...]:
        """Lines for people."""
        held = f"{self.n_models:,} models, {self.n_datasets:,} datasets, {self.n_results:,} results"
        return (f"snapshot: {held} in {self.snapshot_seconds:.1f} s", *(job.line() for job in self.jobs))


def refresh(
    connection: Connection,
    cache: Path | None = None,
    *,
    seed: int = 0,
    track: Track | None = None,
    exclude_datasets: str | Collection[str] = (),
    only: Job | Collection[Job] | None = None,
    links: bool = False,
) -> RefreshReport:
    """Brings everything derived from results up to date and says what was done.

    Args:
        connection: the zoo.
        cache: where a server's snapshot is kept; an embedded zoo keeps its own.
        seed: of Leiden and of the folds that choose its resolution.
        track: shows progress through the jobs.
        exclude_datasets: datasets held out. Nothing derived keeps a trace of them: no score, no similarity, no
            part in communities or in choosing their resolution. The next refresh without this puts them back.
        only: the jobs to do; the others' edges stay as they are. Link prediction is done only where it is named, or
            with `links`.
        links: do link prediction too. Where it is not done and is behind its inputs, the report says so, and its
            predictions for pairs that have results by now are deleted.

    Raises:
        RefreshBusyError: another refresh is at work.
        UnknownNameError: a dataset to exclude that the zoo does not hold.
        InputError: an unknown job, or a seed that is no whole number of 32 bits.
        StoreError: the store failed; what was written stays, and the next refresh continues.
    """
    wanted = _jobs(None if only is None else each_of(only), links)
    if not 0 <= seed < 2**32:
        raise InputError(f"got the seed {seed}; wanted a whole number from 0 to {2**32 - 1}")
    started = time.monotonic()
    snapshot = take(connection, cache)
    inputs = Inputs(snapshot, seed, tuple(sorted(each_of(exclude_datasets))), store_folder(connection, cache))
    snapshot_seconds = time.monotonic() - started
    reports = _do(connection, inputs, wanted, track)
    sizes = (snapshot.models.num_rows, snapshot.datasets.num_rows, snapshot.results.num_rows)
    return RefreshReport(snapshot.version, *sizes, snapshot_seconds, reports)


def _jobs(only: Collection[str] | None, links: bool) -> tuple[Job, ...]:
    every = (*JOBS, *ASKED_JOBS)
    unknown = sorted(set(only or ()) - set(every))
    if unknown:
        raise InputError(f"got the job {unknown[0]!r}; wanted some of: {', '.join(every)}")
    wanted = {*(JOBS if only is None else only), *(ASKED_JOBS if links else ())}
    return tuple(job for job in every if job in wanted)


def _do(connection: Connection, inputs: Inputs, wanted: tuple[Job, ...], track: Track | None) -> tuple[JobReport, ...]:
    """Does the jobs; where none has anything to do, not even the lease is taken, so nothing is written."""
    skipped = {job: run for job in wanted if (run := _current(connection, inputs, job)) is not None}
    old = _old_links(connection, inputs) if "scores" in wanted and "link prediction" not in wanted else None
    if len(skipped) == len(wanted) and (old is None or not old.n_measured):
        done = tuple(JobReport(job, skipped[job], None, 0.0) for job in wanted)
        return done if old is None else (*done, old.report(Changes(wanted=old.n_edges)))
    with Lease.take(connection) as lease:
        shown = wanted if track is None else track(wanted, description="refresh", total=len(wanted))
        done = tuple(_job(lease, inputs, job) for job in shown)
        return done if old is None else (*done, old.report(old.take_back(lease)))


def _job(lease: Lease, inputs: Inputs, job: Job) -> JobReport:
    current = _current(lease.connection, inputs, job)
    if current is not None:
        return JobReport(job, current, None, 0.0)
    started = time.monotonic()
    run = inputs.run_id(job)
    lease.write(lambda transaction: _started(transaction, inputs, job))
    try:
        changes, notes = _WORK[job](lease, inputs, run)
    except BaseException:
        with contextlib.suppress(ZooError):  # what went wrong before matters more, and "running" is no "done" either
            _ended(lease, run, "failed", {})
        raise
    counts = {"edges": changes.wanted, "written": changes.written, "deleted": changes.deleted, "notes": notes}
    _ended(lease, run, "done", counts)
    return JobReport(job, run, changes, time.monotonic() - started, notes)


# -- runs


def _current(connection: Connection, inputs: Inputs, job: Job) -> str | None:
    """Returns the job's last run if it is done, had these inputs, and the graph still holds all that it left."""
    runs = connection.read(queries.REFRESH_LAST_RUN, kind=job)
    if not runs or runs[0]["status"] != "done" or runs[0]["digest"] != inputs.digest(job):
        return None
    held = sum(derived.n_edges(connection, kind) for kind in _EDGES[job])
    return str(runs[0]["id"]) if held == json.loads(runs[0]["counts"])["edges"] else None


@dataclass(frozen=True, slots=True)
class _OldLinks:
    """Predictions by a link prediction that would learn something else now: of the pairs `measured` since, none stays.

    `kept` are the others, as they stand.
    """

    run: str
    kept: Wanted
    n_measured: int

    @property
    def n_edges(self) -> int:
        return sum(map(len, self.kept.values()))

    def take_back(self, lease: Lease) -> Changes:
        return derived.update_edges(lease, derived.PREDICTED, self.kept, self.run) if self.n_measured else Changes()

    def report(self, changes: Changes) -> JobReport:
        notes = ["older than the results, or than what is known of models and datasets: zoo refresh --links renews it"]
        if self.n_measured:
            notes.append(f"{self.n_measured} of its predictions taken back, as those pairs have results now")
        done = replace(changes, wanted=self.n_edges)
        return JobReport("link prediction", self.run, done, 0.0, tuple(notes))


def _old_links(connection: Connection, inputs: Inputs) -> _OldLinks | None:
    """Returns the predictions of a link prediction that is behind its inputs; None where it is not, or never was."""
    runs = connection.read(queries.REFRESH_LAST_RUN, kind="link prediction")
    if not runs:
        return None
    asked = inputs.with_seed(json.loads(runs[0]["parameters"])["seed"])
    if _current(connection, asked, "link prediction") is not None:
        return None
    held = derived.read_edges(connection, derived.PREDICTED)
    if not held and not (inputs.folder / FOLDER / "current").exists():
        return None  # a first one that was not finished left nothing
    seen = np.isfinite(inputs.matrix.scores)
    row = {name: place for place, name in enumerate(inputs.matrix.models)}
    column = {name: place for place, name in enumerate(inputs.matrix.datasets)}
    kept = {
        model: {
            dataset: values
            for dataset, values in said.items()
            if model not in row or dataset not in column or not seen[row[model], column[dataset]]
        }
        for model, said in held.items()
    }
    n_measured = sum(map(len, held.values())) - sum(map(len, kept.values()))
    return _OldLinks(str(runs[0]["id"]), kept, n_measured)


def _started(transaction: Transaction, inputs: Inputs, job: Job) -> None:
    transaction.run(queries.REFRESH_RUNS_CUT_OFF, kind=job, now=_now())  # whoever holds the lease is the only one
    transaction.run(
        queries.REFRESH_RUN_STARTED,
        id=inputs.run_id(job),
        kind=job,
        now=_now(),
        digest=inputs.digest(job),
        code=code_of_jobs(),
        parameters=json.dumps(inputs.parameters(job), sort_keys=True),
    )


def _ended(lease: Lease, run: str, status: Literal["done", "failed"], counts: Mapping[str, object]) -> None:
    text = json.dumps(counts)
    lease.write(
        lambda transaction: transaction.run(queries.REFRESH_RUN_ENDED, id=run, now=_now(), counts=text, status=status)
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


# -- the jobs

Done = tuple[Changes, tuple[str, ...]]


def _scores(lease: Lease, inputs: Inputs, run: str) -> Done:
    matrix = inputs.matrix
    wanted: dict[str, dict[str, tuple[Value, ...]]] = {}
    rows, columns = np.nonzero(matrix.n)
    n, scores = matrix.n[rows, columns].tolist(), _rounded(matrix.scores[rows, columns])
    spread = [None if np.isnan(value) else value for value in _rounded(matrix.spread[rows, columns])]
    for row, column, score, count, deviation in zip(rows.tolist(), columns.tolist(), scores, n, spread, strict=True):
        values = (score, matrix.metrics[column], count, deviation)
        wanted.setdefault(matrix.models[row], {})[matrix.datasets[column]] = values
    notes = (
        (f"{matrix.n_left_out:,} results left out: half-trained, or under another metric or protocol",)
        if matrix.n_left_out
        else ()
    )
    return derived.update_edges(lease, derived.SCORED, wanted, run), notes


def _dataset_similarity(lease: Lease, inputs: Inputs, run: str) -> Done:
    edges = dataset_edges(inputs.matrix)
    wanted = _wanted(inputs.matrix.datasets, edges, 1 - edges.distance)
    changes = derived.update_edges(lease, derived.SIMILAR_BY_PROFILE, wanted, run)
    embedded = _alike_by_embedding(inputs.described)
    return changes + derived.update_edges(lease, derived.SIMILAR_BY_EMBEDDING, embedded, run), ()


def _alike_by_embedding(datasets: Sequence[Dataset]) -> Wanted:
    """Each dataset's nearest among those embedded by the same encoder, whether they have results or not."""
    wanted: dict[str, dict[str, tuple[Value, ...]]] = {}
    for by, alike in embedding_similarities(datasets).items():
        edges = likeness_edges(alike)
        for a, b, score in zip(edges.a.tolist(), edges.b.tolist(), _rounded(1 - edges.distance), strict=True):
            wanted.setdefault(datasets[a].id, {})[datasets[b].id] = (score, by)
    return wanted


def _similarity(lease: Lease, inputs: Inputs, run: str) -> Done:
    wanted = _wanted(inputs.matrix.models, inputs.edges, similarity(inputs.edges.distance))
    return derived.update_edges(lease, derived.PERFORMS_LIKE, wanted, run), ()


def _wanted(names: tuple[str, ...], edges: Edges, scores: Floats) -> Wanted:
    wanted: dict[str, dict[str, tuple[Value, ...]]] = {}
    columns = (edges.a.tolist(), edges.b.tolist(), _rounded(scores), edges.overlap.tolist())
    for a, b, score, overlap in zip(*columns, strict=True):
        wanted.setdefault(names[a], {})[names[b]] = (score, overlap)
    return wanted


def _communities(lease: Lease, inputs: Inputs, run: str) -> Done:
    found = describe(inputs.matrix, inputs.edges, inputs.partition.labels, inputs.families)
    changes = derived.update_communities(lease, found, run)
    return changes, _partition_notes(inputs.partition, len(found))


def _link_prediction(lease: Lease, inputs: Inputs, run: str) -> Done:
    """Trains, keeps what recall needs beside the zoo, and writes the best of what is predicted and not measured."""
    from zoo_graph.link_prediction.predictor import MIN_DATASETS
    from zoo_graph.link_prediction.signal import learn, save

    signal = learn(inputs.graph, run, seed=inputs.seed, excluded=inputs.excluded)
    metrics = dict(zip(inputs.matrix.datasets, inputs.matrix.metrics, strict=True))
    wanted = _predicted(inputs.graph, signal.predictor, metrics)
    changes = derived.update_edges(lease, derived.PREDICTED, wanted, run)
    save(signal, inputs.folder / FOLDER)
    if not signal.predictor.members:
        return changes, (f"no network was trained: that takes results on {MIN_DATASETS} datasets, which differ",)
    believed = f"{100 * signal.predictor.multiplier:.0f} %"
    note = f"of the network's corrections to history {believed} are believed, as far as held-out datasets bear out"
    return changes, (note,)


def _predicted(graph: ZooGraph, predictor: "Predictor", metrics: Mapping[str, str]) -> Wanted:
    """The models expected best on each dataset of those without a result there; none where its unit is not known.

    Scores are cut to what the dataset's metric can be.
    """
    told = np.flatnonzero(np.isfinite(graph.scores).sum(axis=0) >= 2)
    targets = [graph.datasets[column] for column in told]
    said = predictor.predict(graph, targets).in_units(graph)
    by = "graph network" if predictor.members and predictor.multiplier > 0 else predictor.base.kind
    wanted: dict[str, dict[str, tuple[Value, ...]]] = {}
    for place, column in enumerate(told):
        bounds = score_bounds(metrics.get(graph.datasets[column], "")) or (-np.inf, np.inf)
        open_cells = np.flatnonzero(np.isnan(graph.scores[:, column]) & np.isfinite(said.mean[:, place]))
        for row in open_cells[np.argsort(-said.mean[open_cells, place], kind="stable")][:_PREDICTED_MODELS]:
            told_of = np.array([said.mean[row, place], said.low[row, place], said.high[row, place]])
            values = _rounded(np.clip(told_of, *bounds))
            wanted.setdefault(graph.models[row], {})[graph.datasets[column]] = (*values, by)
    return wanted


def _partition_notes(found: Partition, n_communities: int) -> tuple[str, ...]:
    if found.chosen is None:
        return (f"{n_communities} communities",)
    held_out = asdict(found.chosen.held_out)
    return (
        f"{n_communities} communities at resolution {found.chosen.resolution:g}",
        "they explain {explained:.2f} of the variance on datasets held out ({shuffled:.2f} if shuffled)".format(
            **held_out
        ),
        f"agreement between seeds {found.chosen.stability:.2f}",
    )


def _rounded(values: Floats) -> list[float]:
    """Rounds, so that the last bits of another machine's arithmetic are no difference to be written."""
    rounded: list[float] = np.round(values, _DECIMALS).tolist()
    return rounded


_WORK: dict[Job, Callable[[Lease, Inputs, str], Done]] = {
    "scores": _scores,
    "dataset similarity": _dataset_similarity,
    "similarity": _similarity,
    "communities": _communities,
    "link prediction": _link_prediction,
}
_EDGES: dict[Job, tuple[EdgeKind, ...]] = {
    "scores": (derived.SCORED,),
    "dataset similarity": (derived.SIMILAR_BY_PROFILE, derived.SIMILAR_BY_EMBEDDING),
    "similarity": (derived.PERFORMS_LIKE,),
    "communities": (derived.IN, derived.REPRESENTED_BY),
    "link prediction": (derived.PREDICTED,),
}
