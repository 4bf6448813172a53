"""Measures the demo zoo (hours on 2 cores; resumable) and writes the seed tables of `zoo_graph/demo/seed`.

The journal of what was measured is kept in `benchmarks/demo_measurements.jsonl.gz`: unpack it to DIR/measurements.jsonl
and only what is missing is measured.

python scripts/measure_demo.py --shared ../shared/data/texts --journal DIR [--workers 2] [--hours 3] [--tables-only]
[--proxies-only] [--only TASK,TASK]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev

from selection.datasets import Dataset, open_dataset
from selection.embedding import embed
from selection.features import FeatureCache
from selection.hardware import default_precision
from selection.measure import JOURNAL, measure, measurement_from
from selection.probing import probe
from selection.records import Measurement, ProxyScore
from zoo_graph.demo import protocol
from zoo_graph.demo.candidates import candidates
from zoo_graph.demo.demonstration import local_candidates
from zoo_graph.demo.seed import seed_folder
from zoo_graph.demo.tasks import tasks
from zoo_graph.ingest import ingest, record_measurements
from zoo_graph.records import Dataset as Record
from zoo_graph.records import Run
from zoo_graph.zoo import Zoo


def main() -> None:
    options = read_options()
    ready = candidates(only=protocol.CANDIDATES)
    made = {task.dataset.id: task for task in tasks(shared=options.shared).ready}
    names = [name for name in protocol.TASKS if name in made and name in (options.only or protocol.TASKS)]
    data = {name: open_dataset(made[name].path, name=name, limits=protocol.LIMITS) for name in names}
    if options.proxies_only:
        score_again(options.journal, local_candidates(ready), data)
    elif not options.tables_only:
        run_all(options, local_candidates(ready), data)
    if options.only:
        return
    found = [round_off(one) for one in read_journal(options.journal) if one.dataset in data]
    complete = whole_tasks(found, len(protocol.CANDIDATES))
    found = [one for one in found if one.dataset in complete]
    write_seed(ready, [embedded(made[name].dataset, data[name]) for name in names if name in complete], found)
    print(*summary(found), sep="\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, help="folder with the texts that are for measuring only")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--tables-only", action="store_true", help="write the tables of what was measured so far")
    parser.add_argument("--proxies-only", action="store_true", help="compute all proxies again, train nothing")
    parser.add_argument("--only", type=lambda text: text.split(","), help="measure these tasks; no table is written")
    return parser.parse_args()


def run_all(options: argparse.Namespace, models: list, data: dict[str, Dataset]) -> None:
    """Every task with the first seed, then with each further one."""
    recipe = protocol.recipe(default_precision("cpu"))
    for one in measure(
        list(data.values()), models, options.journal, recipe=recipe, seeds=protocol.SEEDS,
        points=len(protocol.STOPS), stops=protocol.STOPS, workers=options.workers, hours=options.hours,
    ):  # fmt: skip
        result = f"{one.test_score:.3f}" if isinstance(one, Measurement) else one.reason
        print(one.model, one.dataset, result, flush=True)


def score_again(folder: Path, models: list, data: dict[str, Dataset]) -> None:
    """Computes every proxy of what was measured again, and rewrites the journal with them.

    Features come from the cache; where that is empty they are extracted, and timed (CPU seconds, with the opening of
    the checkpoint).
    """
    max_length = protocol.recipe(default_precision("cpu")).max_length
    cache, scores, seconds = FeatureCache(folder / "features"), {}, {}
    is_timed = not cache.n_bytes
    for name, dataset in data.items():
        for candidate in models:
            start = time.process_time()
            probed = probe(dataset, [candidate], cache, max_length=max_length)
            found = probed.scores[candidate.model]
            scores[candidate.model, name] = found
            seconds[candidate.model, name] = time.process_time() - start - sum(score.seconds for score in found)
        print(name, f"{sum(seconds[one.model, name] for one in models):.1f} s of features", flush=True)
    lines = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
    for line in lines:
        one = line["measurement"]
        key = one["model"], one["dataset"]
        one["proxies"] = [asdict(score) for score in scores[key]]
        one["feature_seconds"] = seconds[key] if is_timed else one["feature_seconds"]
    (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))


def read_journal(folder: Path) -> list[Measurement]:
    lines = (folder / JOURNAL).read_text().splitlines()
    return [measurement_from(json.loads(line)["measurement"]) for line in lines]


def whole_tasks(found: list[Measurement], n_models: int) -> set[str]:
    """Tasks on which every candidate was measured with the first seed."""
    counts = Counter(one.dataset for one in found if one.recipe.seed == 0)
    return {dataset for dataset, n in counts.items() if n == n_models}


def round_off(one: Measurement) -> Measurement:
    """Five digits are more than the noise and keep the table small; CPU seconds, as the machine was shared."""
    progress = replace(
        one.progress,
        curve=tuple(float(f"{score:.5g}") for score in one.progress.curve),
        seconds=float(f"{one.progress.cpu_seconds:.4g}"),
    )
    proxies = tuple(
        ProxyScore(p.name, float(f"{p.score:.6g}"), float(f"{p.seconds:.3g}"), p.n_samples, p.sample_digest, p.reason)
        for p in one.proxies
    )
    return replace(one, progress=progress, test_score=float(f"{one.test_score:.5g}"), proxies=proxies)


def embedded(record: Record, dataset: Dataset) -> Record:
    found = embed(dataset)
    return replace(record, embedding=found.vector, embedding_by=found.by)


def write_seed(ready, datasets, found: list[Measurement]) -> None:
    run = Run("measure-demo", "measure", datetime.now(UTC).isoformat(timespec="seconds"))
    with tempfile.TemporaryDirectory() as folder, Zoo.open(Path(folder) / "zoo.db") as zoo:
        ingest(zoo.connection, [*(one.model for one in ready.ready), *datasets], run)
        record_measurements(zoo.connection, found, run)
        counts = zoo.export(seed_folder())
    (seed_folder() / "distances.csv").unlink()  # nothing told of any
    n_bytes = sum(path.stat().st_size for path in seed_folder().glob("*.csv"))
    print(f"{seed_folder()}: {counts}, {n_bytes / 1e6:.2f} MB")


def summary(found: list[Measurement]) -> list[str]:
    """Who wins where, how often the deepest and the best on average do, and the noise between seeds."""
    table: dict[str, dict[str, float]] = defaultdict(dict)
    repeats: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in found:
        repeats[one.model, one.dataset].append(one.test_score)
        if one.recipe.seed == 0:
            table[one.dataset][one.model] = one.test_score
    winners = {dataset: max(scores, key=lambda model: scores[model]) for dataset, scores in table.items()}
    average = {model: fmean(scores[model] for scores in table.values()) for model in protocol.CANDIDATES}
    best = max(average, key=lambda model: average[model])
    deepest = "sentence-transformers/all-MiniLM-L6-v2"
    noise = [stdev(scores) for scores in repeats.values() if len(scores) > 2]
    lines = [f"{dataset}: {model} {table[dataset][model]:.3f}" for dataset, model in winners.items()]
    lines.append(
        f"{len(winners)} tasks; the deepest wins {sum(w == deepest for w in winners.values())}, the best on "
        f"average ({best}) {sum(w == best for w in winners.values())}; winners: {Counter(winners.values())}"
    )
    if noise:
        lines.append(f"noise between seeds (SD of the test score, mean over {len(noise)} pairs): {fmean(noise):.4f}")
    total = sum(one.progress.cpu_seconds for one in found)
    return [*lines, f"{len(found)} fine-tunes, {total / 3600:.2f} CPU hours of training"]


if __name__ == "__main__":
    # Set before numpy starts its threads in the workers.
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.execve(
            sys.executable,
            [sys.executable, *sys.argv],
            {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    main()
