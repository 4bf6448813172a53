"""Fine-tunes every given model on every given dataset, resumably: how a zoo gets its first results, curves and proxies.

Each finished run is one line of `measurements.jsonl`, synced to disk before it is yielded. The same call continues
after kill -9: runs already there are yielded again without work, failed ones are tried again.
"""

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from selection.datasets import Dataset
from selection.errors import InputError, SelectionError
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
        return "|".join((self.candidate.model, self.dataset.digest, json.dumps(asdict(self.recipe), sort_keys=True)))


def measure(
    datasets: Sequence[Dataset],
    candidates: Sequence[Candidate],
    folder: Path,
    *,
    recipe: Recipe,
    seeds: Sequence[int] = (0,),
    points: int = 8,
    workers: int = 1,
    hours: float | None = None,
    cache: Path | None = None,
    device: str = "cpu",
) -> Iterator[Measurement | Failure]:
    """Yields a measurement or a failure for each seed, dataset and candidate, first those already measured.

    `points` validation scores make each curve. With `hours`, no run starts after that time; ask again to go on.

    Raises:
        InputError: nothing to measure, no worker, or the folder belongs to a run now going on.
    """
    if not datasets or not candidates or workers < 1:
        raise InputError(
            f"got {len(datasets)} datasets, {len(candidates)} models, {workers} workers; wanted one of each"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with _Journal(folder) as journal:
        done = journal.read()
        runs = [
            Run(candidate, dataset, replace(recipe, seed=seed), with_proxies=seed == seeds[0])
            for seed in seeds
            for dataset in datasets
            for candidate in candidates
        ]
        yield from (done[run.key] for run in runs if run.key in done)
        todo = [run for run in runs if run.key not in done]
        until = time.monotonic() + hours * 3600 if hours is not None else float("inf")
        for run, result in _work(todo, workers, until, points, cache or folder / "features", device):
            if isinstance(result, Measurement):
                journal.append(run.key, result)
            yield result


def _work(
    todo: list[Run], workers: int, until: float, points: int, cache: Path, device: str
) -> Iterator[tuple[Run, Measurement | Failure]]:
    """Runs at most `workers` at a time; a worker that dies takes only its own run with it."""
    queue = list(reversed(todo))
    while queue and time.monotonic() < until:
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (os.getpid(),))
        running: dict[Future[Measurement], Run] = {}
        try:
            while running or (queue and time.monotonic() < until):
                while queue and len(running) < workers and time.monotonic() < until:
                    run = queue.pop()
                    running[pool.submit(measure_one, run, points, cache, device)] = run
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    run = running[future]
                    yield run, _result(run, future, alone=len(running) == 1)
                    del running[future]
        except BrokenProcessPool:
            # Whose worker died is unknown: the runs under way go on one by one, so the next death names its run.
            queue += list(running.values())
            workers = 1
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _result(run: Run, future: "Future[Measurement]", alone: bool) -> Measurement | Failure:
    try:
        return future.result()
    except SelectionError as error:
        return _failure(run, str(error))
    except BrokenProcessPool:
        if not alone:
            raise
        return _failure(run, "its process was killed (out of memory?)")
    except Exception as error:  # a checkpoint's own code may raise anything; the other runs go on
        return _failure(run, f"{type(error).__name__}: {error}")


def _failure(run: Run, reason: str) -> Failure:
    return Failure(run.candidate.model, run.dataset.name, run.recipe.seed, reason)


def measure_one(run: Run, points: int, cache: Path, device: str = "cpu") -> Measurement:
    """Fine-tunes one pair to the end and tests it once; scores its proxies on the features of the train part.

    Raises:
        SelectionError: the checkpoint or the training failed.
    """
    from selection.finetune import FineTuner

    total = run.recipe.total_steps
    steps = eval_steps(total, geometric_stops(8, total), points)
    seconds, proxies = _proxies(run, cache, device) if run.with_proxies else (0.0, ())
    progress, test_score = FineTuner(run.dataset, device=device).complete(Trial(run.candidate, run.recipe, steps))
    return Measurement(
        model=run.candidate.model,
        dataset=run.dataset.name,
        metric=run.recipe.metric,
        recipe=run.recipe,
        progress=progress,
        test_score=test_score,
        n_train=int(run.dataset.train.size),
        n_test=int(run.dataset.test.size),
        feature_seconds=seconds,
        proxies=proxies,
    )


def _proxies(run: Run, cache: Path, device: str) -> tuple[float, tuple[ProxyScore, ...]]:
    from selection.backbones import open_backbone
    from selection.features import FeatureCache, extract
    from selection.proxies import score_all

    rows, labels = run.dataset.part("train")
    backbone = open_backbone(
        run.candidate.source or "", name=run.candidate.model, max_length=run.recipe.max_length, device=device
    )
    found = extract(backbone, rows, cache=FeatureCache(cache))
    return found.seconds, score_all(
        found.features, labels, source_logits=found.logits, sample_digest=found.sample_digest
    )


def _start_worker(parent: int) -> None:
    """Bounds a worker to one thread, and ends it when its parent has gone (kill -9 leaves no orphans)."""
    import threadpoolctl
    import torch

    torch.set_num_threads(1)
    # BLAS threads of two workers on two cores wait for each other in busy loops: fifty times slower at worst.
    threadpoolctl.threadpool_limits(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
        lines = (json.loads(line) for line in content[:whole].splitlines())
        return {line["key"]: measurement_from(line["measurement"]) for line in lines}

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
