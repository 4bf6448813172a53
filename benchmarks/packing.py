"""Several trials at once on CPU cores against one at a time at its best number of threads.

Trials of a MiniLM-L3-size encoder with random weights, in spawned workers that have worked before; all ways in turn,
`--repeats` times, so that the machine's other load is alike for all. The gain is `auto`, one thread each, over the best
of the others in the same repeat. The bound is what as many executors as there are cores reach that know nothing of each
other, each with its share of the trials. Prints a table. Nothing else should run on the machine.

python benchmarks/packing.py [--trials 4] [--steps 24] [--repeats 3] [--json OUT]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from gpu.workload import Piece, Train, checkpoint, opened, pieces, report, row, seconds_for, texts

from selection.executors.executor import Executor
from selection.executors.memory import n_cores
from selection.finetune import FineTuner
from selection.hardware import default_precision
from selection.records import Progress


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", default="minilm-l3")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        report(measured(options, Path(folder)), options.json)


def measured(options: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    source = checkpoint(folder / "checkpoint", options.size)
    shape = {"batch": options.batch_size, "tokens": options.tokens, "precision": default_precision("cpu")}
    work = Train(FineTuner(texts(400, options.tokens, options.size)))
    trials, short = (pieces(folder, source, options.trials, steps=n, **shape) for n in (options.steps, 1))
    counts = sorted({1, max(1, n_cores() // 2), n_cores()})
    names = {f"one at a time, {n} threads": n for n in counts}
    with ExitStack() as stack:
        ways: dict[str, Callable[[Sequence[Piece], Path], float]] = {
            name: partial(seconds_for, stack.enter_context(opened(work, workers)))
            for name, workers in [*((name, 1) for name in names), ("auto", "auto")]
        }
        strangers = [stack.enter_context(opened(work, 1)) for _ in range(n_cores())]
        ways["unconnected"] = partial(seconds_apart, strangers)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(-2, options.repeats):  # twice to warm up: "auto" begins with one alone
            given = short if repeat < 0 else trials
            for name, seconds_of in ways.items():
                seconds = seconds_of(on_threads(given, names.get(name, 1)), folder / f"{name} {repeat}")
                if repeat >= 0:
                    times[name].append(seconds)
    done = options.trials * options.steps
    rows = [row(f"{name}: throughput", [done / one for one in taken], "steps/s") for name, taken in times.items()]
    best = [min(times[name][repeat] for name in names) for repeat in range(options.repeats)]
    gains = {
        name: [alone / one for alone, one in zip(best, times[name], strict=True)] for name in ("auto", "unconnected")
    }
    return [*rows, *(row(f"{name} against the best of one at a time", found, "times") for name, found in gains.items())]


def seconds_apart(executors: Sequence[Executor[Piece, Progress]], given: Sequence[Piece], folder: Path) -> float:
    """Wall-clock seconds until executors that share nothing have each done their part of the trials."""
    parts = [given[number :: len(executors)] for number in range(len(executors))]
    start = time.perf_counter()
    with ThreadPoolExecutor(len(executors)) as pool:
        list(pool.map(seconds_for, executors, parts, [folder] * len(executors)))
    return time.perf_counter() - start


def on_threads(given: Sequence[Piece], n: int) -> list[Piece]:
    """The trials with so many threads each."""
    return [replace(one, trial=replace(one.trial, recipe=replace(one.trial.recipe, threads=n))) for one in given]


if __name__ == "__main__":
    main()
