"""Fine-tuning by method on a real encoder: seconds of a step, bytes of a saved state, test scores beside full training.

Steps of all methods are timed in turn, in one process on one thread, in CPU seconds: `head/cached` against
`head/frozen` (the same head, the frozen encoder run in each step), `lora` and `head` against `full`. Scores are of
whole runs by the demo recipe; `lora` at ten times its learning rate and, as `lora/rate1`, at the same; `full/search`
tries the rates 0.3, 1 and 3. Needs the demo candidates and tasks (`zoo demo --fetch-only`). Prints tables.

python benchmarks/finetune.py [--model FOLDER] [--tasks a,b] [--seeds 0,1] [--repeats 5] [--steps-only] [--json OUT]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median, stdev

from selection.datasets import Dataset, open_dataset
from selection.finetune import FineTuner
from selection.hardware import default_precision, threads
from selection.records import Candidate, Recipe, Trial
from selection.schedule import eval_steps, geometric_stops
from selection.training import Training
from zoo_graph.demo import protocol

CACHE = Path.home() / ".cache" / "zoo-graph"
TASKS = "clinc10-domain,election-tweets,friends-speaker,slovene-topic"
STEPS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=CACHE / "candidates" / "paraphrase-MiniLM-L3-v2")
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps-only", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = [
        open_dataset(CACHE / "tasks" / f"{name}.parquet", name=name, limits=protocol.LIMITS)
        for name in options.tasks.split(",")
    ]
    with threads(1):
        rows = costs(options.model, data[0], options.repeats)
        if not options.steps_only:
            rows += scores(options.model, data, [int(seed) for seed in options.seeds.split(",")])
    for row in rows:
        print(f"{row['measure']:44}{row['value']:14.5g} {row['unit']:8} n={row['n']}  ± {row['stderr']:.2g}")
    if options.json:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
        head = {"machine": platform.platform(), "command": " ".join(sys.argv), "commit": commit.strip()}
        options.json.write_text(json.dumps([head, *rows], indent=1))


def recipes() -> dict[str, Recipe]:
    """The demo's recipe by method."""
    full = protocol.recipe(default_precision("cpu"))
    tenfold = replace(full, method="lora", learning_rate=10 * full.learning_rate)
    return {
        "full": full,
        "lora": tenfold,
        "lora/rate1": replace(full, method="lora"),
        "head": replace(full, method="head"),
        "full/search": replace(full, rate_factors=(0.3, 1.0, 3.0)),
    }


def trial_of(model: Path, recipe: Recipe) -> Trial:
    total = recipe.total_steps
    points = eval_steps(total, geometric_stops(8, total), protocol.POINTS)
    return Trial(Candidate(model.name, str(model)), recipe, points)


def costs(model: Path, data: Dataset, repeats: int) -> list[dict[str, object]]:
    """CPU seconds of a step, the seconds that features take once, and the bytes of a state."""
    made = recipes()
    each = {
        name: Training(replace(trial_of(model, made[name.split("/")[0]]), eval_steps=()), data, "cpu")
        for name in ("full", "lora", "head/frozen", "head/cached")
    }
    each["head/frozen"]._linear = None
    feature_seconds = seconds(lambda: [each["head/cached"]._features(part) for part in ("train", "validation")])
    times: dict[str, list[float]] = {name: [] for name in each}
    for repeat in range(repeats + 1):
        for name, training in each.items():
            step = repeat * STEPS
            taken = seconds(lambda training=training, step=step: training.advance(step, step + STEPS)) / STEPS
            times[name] += [taken] * (repeat > 0)  # the first encodes the rows
    with tempfile.TemporaryDirectory() as folder:
        sizes = {name: saved_bytes(training, Path(folder) / "state.pt") for name, training in each.items()}
    return [
        *(measure(f"finetune/{name}/step", times[name], "s") for name in each),
        measure("finetune/head/features", [feature_seconds], "s"),
        *(ratio(times, one, other) for one, other in (("lora", "full"), ("head/cached", "head/frozen"))),
        *(measure(f"finetune/{name}/state", [float(size)], "bytes") for name, size in sizes.items()),
    ]


def scores(model: Path, data: list[Dataset], seeds: list[int]) -> list[dict[str, object]]:
    """Test scores and CPU seconds of whole runs; of each method also the difference to full fine-tuning, paired."""
    found: dict[str, list[float]] = {name: [] for name in recipes()}
    spent: dict[str, list[float]] = {name: [] for name in recipes()}
    for dataset in data:
        for seed in seeds:
            for name, recipe in recipes().items():
                progress, score = FineTuner(dataset).complete(trial_of(model, replace(recipe, seed=seed)))
                found[name].append(score)
                spent[name].append(progress.cpu_seconds)
                print(dataset.name, seed, name, f"{score:.3f} {progress.cpu_seconds:.1f} s", flush=True)
    rows = []
    for name, values in found.items():
        rows += [measure(f"finetune/{name}/test", values, "1"), measure(f"finetune/{name}/run", spent[name], "s")]
        away = [one - full for one, full in zip(values, found["full"], strict=True)]
        rows += [measure(f"finetune/{name}/test_minus_full", away, "1")] * (name != "full")
    return rows


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def saved_bytes(training: Training, path: Path) -> int:
    training.save(path)
    return path.stat().st_size


def ratio(times: dict[str, list[float]], one: str, other: str) -> dict[str, object]:
    shares = [b / a for a, b in zip(times[one], times[other], strict=True)]
    return measure(f"finetune/{one}/speedup_over_{other}", shares, "x")


def measure(path: str, values: list[float], unit: str) -> dict[str, object]:
    """The median of times and ratios, the mean of scores."""
    value = fmean(values) if unit == "1" else median(values)
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"measure": path, "value": value, "unit": unit, "n": len(values), "stderr": error}


if __name__ == "__main__":
    # Set before numpy starts its threads.
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.execve(
            sys.executable,
            [sys.executable, *sys.argv],
            {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    main()
