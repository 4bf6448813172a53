"""Fine-tunes every given model on every given dataset, resumably: how a zoo gets its first results, curves and proxies.

Each finished run is one line of `measurements.jsonl`, synced to disk before it is yielded. The same call continues
after kill -9: runs already there are yielded again without work, failed ones are tried again.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from selection.datasets import Dataset
from selection.errors import InputError, TrialError
from selection.executors.executor import Site, site_of
from selection.executors.packing import Workers
from selection.features import FeatureCache
from selection.records import Candidate, Failure, Measurement, Progress, ProxyScore, Recipe, Trial
from selection.schedule import eval_steps, geometric_stops

JOURNAL = "measurements.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One fine-tune to be measured. `with_proxies`: also the proxy scores of the pair, on its train part."""

    candidate: Candidate
    dataset: Dataset
    recipe: Recipe
    with_proxies: bool

    @property
    def key(self) -> str:
        """Names the run in the journal: model, dataset content and recipe."""
        return "|".join((self.candidate.model, self.dataset.digest, json.dumps(self.recipe.identity(), sort_keys=True)))


def measure(
    datasets: Sequence[Dataset],
    candidates: Sequence[Candidate],
    folder: Path,
    *,
    recipe: Recipe | Callable[[Dataset], Recipe],
    seeds: Sequence[int] = (0,),
    points: int = 8,
    stops: Sequence[int] | None = None,
    workers: Workers | Site = 1,
    hours: float | None = None,
    cache: Path | None = None,
    device: str = "cpu",
) -> Iterator[Measurement | Failure]:
    """Yields a measurement or a failure for each seed, dataset and candidate, first those already measured.

    `recipe` is one for all or makes each dataset's own. A pair whose model is known to read another modality is left
    out. `points` validation scores make each curve, at `stops` and, as far as there are more, between them (by default
    at eighths, quarters and halves of the run). With `hours`, no run starts after that time; ask again to go on.

    Raises:
        InputError: nothing to measure, no worker, or the folder belongs to a run now going on.
    """
    site = site_of(workers)
    if not datasets or not candidates or site.workers == 0:
        raise InputError(
            f"got {len(datasets)} datasets, {len(candidates)} models, {site.workers} workers; wanted one of each"
        )
    recipes = {dataset.digest: recipe(dataset) if callable(recipe) else recipe for dataset in datasets}
    folder.mkdir(parents=True, exist_ok=True)
    with _Journal(folder) as journal:
        done = journal.read()
        runs = {
            run.key: run
            for run in (
                Run(candidate, dataset, replace(recipes[dataset.digest], seed=seed), with_proxies=seed == seeds[0])
                for seed in seeds
                for candidate, dataset in pairs(candidates, datasets)
            )
        }
        yield from (done[key] for key in runs if key in done)
        until = time.monotonic() + hours * 3600 if hours is not None else float("inf")
        work = partial(
            _measure_alone, points=points, stops=stops, cache=(cache or folder / "features").absolute(), device=device
        )
        # Spawned even for one worker: a checkpoint that crashes the process or eats the memory takes only its own run.
        threads = max(one.threads for one in recipes.values())
        with site.open(work, spawn=True, threads=threads, device=device, folder=folder.absolute()) as executor:
            todo = [run for key, run in runs.items() if key not in done]
            for run, result in executor.run(todo, lambda: time.monotonic() >= until):
                if isinstance(result, Measurement):
                    journal.append(run.key, result)
                yield result if isinstance(result, Measurement) else _failure(run, str(result))


def pairs(candidates: Sequence[Candidate], datasets: Sequence[Dataset]) -> list[tuple[Candidate, Dataset]]:
    """Who is measured on what, by dataset: a model that is known to read another modality is left out."""
    return [(one, dataset) for dataset in datasets for one in candidates if one.modality in {None, dataset.modality}]


def _failure(run: Run, reason: str) -> Failure:
    return Failure(run.candidate.model, run.dataset.name, run.recipe.seed, reason)


def _measure_alone(run: Run, points: int, stops: Sequence[int] | None, cache: Path, device: str) -> Measurement:
    """`measure_one` on the recipe's number of threads, in a process of its own."""
    import threadpoolctl

    import selection.proxies  # noqa: F401  loads every BLAS there is, so that the limit holds for all
    from selection.hardware import threads

    # BLAS threads of two workers on two cores wait for each other in busy loops: fifty times slower at worst.
    with threadpoolctl.threadpool_limits(run.recipe.threads), threads(run.recipe.threads):
        return measure_one(run, points, cache, device, stops)


def measure_one(
    run: Run, points: int, cache: Path, device: str = "cpu", stops: Sequence[int] | None = None
) -> Measurement:
    """Fine-tunes one pair to the end and tests it once; scores its proxies on the features of the train part.

    The measurement's recipe names the head that the model got, where its family lacks the one asked for.

    Raises:
        SelectionError: the checkpoint or the training failed.
    """
    from selection.finetune import FineTuner

    total = run.recipe.total_steps
    trial = Trial(run.candidate, run.recipe, eval_steps(total, stops or geometric_stops(8, total), points))
    tuner = FineTuner(run.dataset, device=device)
    head = tuner.head(trial)
    seconds, proxies = _proxies(run, cache, device) if run.with_proxies else (0.0, ())
    progress, test_score = tuner.complete(trial)
    return Measurement(
        model=run.candidate.model,
        dataset=run.dataset.name,
        metric=run.recipe.metric,
        recipe=replace(run.recipe, head=head),
        progress=progress,
        test_score=test_score,
        n_train=int(run.dataset.train.size),
        n_test=int(run.dataset.test.size),
        feature_seconds=seconds,
        proxies=proxies,
    )


def _proxies(run: Run, cache: Path, device: str) -> tuple[float, tuple[ProxyScore, ...]]:
    from selection.probing import probe

    probed = probe(run.dataset, [run.candidate], FeatureCache(cache), max_length=run.recipe.max_length, device=device)
    if probed.failures:
        raise TrialError(f"{run.candidate.model} on {run.dataset.name}: {probed.failures[0].reason}")
    seconds = probed.row_seconds[run.candidate.model] * len(run.dataset.probe_part()[0])
    return seconds, probed.scores[run.candidate.model]


class _Journal:
    """`measurements.jsonl`: append-only, synced, a torn last line is cut off; one writer at a time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL

    def __enter__(self) -> "_Journal":
        import fcntl

        self._stream = self._path.open("a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._stream.close()
            raise InputError(
                f"{self._path.parent} is in use by another measurement; wait for it or give another --folder"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self) -> dict[str, Measurement]:
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._stream.truncate(whole)
        return dict(self._line(number, line) for number, line in enumerate(content[:whole].splitlines(), 1))

    def _line(self, number: int, line: bytes) -> tuple[str, Measurement]:
        try:
            fields = json.loads(line)
            return fields["key"], measurement_from(fields["measurement"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"got {line[:60]!r} in line {number} of {self._path}, wanted a measurement: the file was changed or "
                "damaged; mend or remove that line, or give another --folder"
            ) from error

    def append(self, key: str, measurement: Measurement) -> None:
        line = json.dumps({"key": key, "measurement": asdict(measurement)}) + "\n"
        self._stream.write(line.encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())


def measurement_from(fields: dict[str, Any]) -> Measurement:
    """A measurement from its JSON fields (as `dataclasses.asdict` wrote them)."""
    progress = fields["progress"]
    return Measurement(
        **{
            **fields,
            "recipe": Recipe(**fields["recipe"]),
            "progress": Progress(
                **{**progress, "curve": tuple(progress["curve"]), "curve_steps": tuple(progress["curve_steps"])}
            ),
            "proxies": tuple(ProxyScore(**proxy) for proxy in fields["proxies"]),
        }
    )
