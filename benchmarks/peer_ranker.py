"""Our proxies and recall beside the package transformer-ranker: same checkpoints, same texts, same run.

Needs that package (not a dependency of the project) and the demo's checkpoints and texts (`zoo demo --fetch-only`).
Both embed the same training rows of each task on one thread and score every candidate; the truth is the demo's measured
test scores. Prints a table and writes `{measure, value, unit, n, stderr}` with --json.

python benchmarks/peer_ranker.py --shared ../shared/data/texts [--task NAME ...] [--json OUT]
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr, weightedtau

from selection.datasets import Dataset, open_dataset
from selection.features import FeatureCache
from selection.probing import probe
from zoo_graph.demo import protocol
from zoo_graph.demo.candidates import candidates
from zoo_graph.demo.demonstration import local_candidates
from zoo_graph.demo.seed import seed_folder
from zoo_graph.demo.tasks import tasks

MAX_LENGTH = 48
ESTIMATORS = (("hscore", "layermean"), ("logme", "layermean"), ("knn", "layermean"), ("hscore", "bestlayer"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, help="folder with the texts that are for measuring only")
    parser.add_argument("--task", action="append", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    pool = local_candidates(candidates(only=protocol.CANDIDATES))
    made = {task.dataset.id: task for task in tasks(shared=options.shared).ready}
    names = [name for name in options.task or protocol.TASKS if name in made]
    truth = measured_scores()
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for name in names:
        dataset = open_dataset(made[name].path, name=name, limits=protocol.LIMITS)
        found = theirs(dataset, pool) | ours(dataset, pool)
        y = np.array([truth[one.model, name] for one in pool])
        for ranker, (scores, seconds) in found.items():
            rows[ranker].append(judged(scores, y) | {"seconds": seconds})
        print(name, {ranker: round(of[-1]["spearman"], 2) for ranker, of in rows.items()}, flush=True)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([head(), *records(rows)], indent=1))


def measured_scores() -> dict[tuple[str, str], float]:
    """Mean test score of each pair over its seeds."""
    import csv

    found = defaultdict(list)
    with (seed_folder() / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "test":
                found[row["model"], row["dataset"]].append(float(row["value"]))
    return {pair: float(np.mean(values)) for pair, values in found.items()}


def theirs(dataset: Dataset, pool: list) -> dict[str, tuple[np.ndarray, float]]:
    """Scores (M,) and seconds of each of its estimators; it embeds anew for every estimator, as its users do."""
    import datasets
    from transformer_ranker import TransformerRanker

    texts, labels = dataset.part("train")
    table = datasets.Dataset.from_dict(
        {"text": texts, "label": [dataset.classes[label] for label in labels]}
    ).class_encode_column("label")
    found = {}
    for estimator, layers in ESTIMATORS:
        ranker = TransformerRanker(table, text_column="text", label_column="label")
        scores, start = [], time.perf_counter()
        for one in pool:  # one at a time: it names results by the folder's last part only
            result = ranker.run(
                [str(one.source)], estimator=estimator, layer_aggregator=layers, batch_size=64, device="cpu"
            )
            scores.append(next(iter(result.scores.values())))
        found[f"transformer_ranker_{estimator}_{layers}"] = np.array(scores), time.perf_counter() - start
    return found


def ours(dataset: Dataset, pool: list) -> dict[str, tuple[np.ndarray, float]]:
    """Scores (M,) of every proxy; the seconds are of extraction and all thirteen together."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        probed = probe(dataset, pool, FeatureCache(Path(folder)), max_length=MAX_LENGTH)
        seconds = time.perf_counter() - start
    found: dict[str, list[float]] = defaultdict(list)
    for one in pool:
        for score in probed.scores[one.model]:
            found[score.name].append(score.score)
    return {name: (np.array(values), seconds) for name, values in found.items() if np.isfinite(values).all()}


def judged(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    order = np.argsort(-scores, kind="stable")
    gap = truth.max() - np.median(truth)
    row = {"spearman": float(spearmanr(scores, truth)[0]), "weighted_tau": float(weightedtau(scores, truth)[0])}
    return row | {f"regret{k}": float((truth.max() - truth[order[:k]].max()) / gap) for k in (1, 3)}


def show(rows: dict[str, list[dict[str, float]]]) -> None:
    columns = list(next(iter(rows.values()))[0])
    print(f"{'ranker':40}" + "".join(f"{column:>16}" for column in columns))
    for ranker, of in rows.items():
        cells = (np.array([row[column] for row in of]) for column in columns)
        print(f"{ranker:40}" + "".join(f"{v.mean():10.3f}±{v.std(ddof=1) / len(v) ** 0.5:5.3f}" for v in cells))


def records(rows: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    return [
        {
            "measure": f"recall/demo/proxies/{ranker}/{metric}",
            "value": float(np.mean([row[metric] for row in of])),
            "unit": "s" if metric == "seconds" else "1",
            "n": len(of),
            "stderr": float(np.std([row[metric] for row in of], ddof=1) / len(of) ** 0.5),
        }
        for ranker, of in rows.items()
        for metric in of[0]
    ]


def head() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {"machine": platform.platform(), "command": " ".join(sys.argv), "commit": commit}


if __name__ == "__main__":
    main()
