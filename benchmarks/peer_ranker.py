"""Our proxies and recall beside the package transformer-ranker: same checkpoints, same texts, same run.

Needs that package (not a dependency of the project) and the demo's checkpoints and texts (`zoo demo --fetch-only`).
Both embed the same training rows of each task, cut to the same number of tokens, on one thread and score every
candidate that has a layer (the package cannot embed those without); the truth is the demo's measured test scores.
Prints a table and writes `{measure, value, unit, n, stderr}` with --json.

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
from selection.records import Candidate
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
    pool = with_layers(local_candidates(candidates(only=protocol.CANDIDATES)))
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
        if options.json:  # after each task: all of them take hours
            options.json.write_text(json.dumps([head(), *records(rows)], indent=1))
    show(rows)


def measured_scores() -> dict[tuple[str, str], float]:
    """Mean test score of each pair over its seeds."""
    import csv

    found = defaultdict(list)
    with (seed_folder() / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "test":
                found[row["model"], row["dataset"]].append(float(row["value"]))
    return {pair: float(np.mean(values)) for pair, values in found.items()}


def with_layers(pool: list[Candidate]) -> list[Candidate]:
    return [one for one in pool if json.loads((Path(str(one.source)) / "config.json").read_text())["num_hidden_layers"]]


def theirs(dataset: Dataset, pool: list[Candidate]) -> dict[str, tuple[np.ndarray, float]]:
    """Scores (M,) of each of its estimators, and the seconds with embedding.

    It embeds anew for every estimator; here once for all, so that the seconds are of one estimator at a time.
    """
    import datasets
    from transformer_ranker import TransformerRanker

    texts, labels = dataset.part("train")
    table = datasets.Dataset.from_dict(
        {"text": texts, "label": [dataset.classes[label] for label in labels]}
    ).class_encode_column("label")
    ranker = TransformerRanker(table, text_column="text", label_column="label")
    found = {estimator: (np.full(len(pool), np.nan), 0.0) for estimator in ESTIMATORS}
    for m, one in enumerate(pool):
        start = time.perf_counter()
        layers = embedded(one, ranker.texts)
        embedding = time.perf_counter() - start
        for estimator in ESTIMATORS:
            name, aggregator = estimator
            start = time.perf_counter()
            given = layers if aggregator == "bestlayer" else [rows.mean(dim=0, keepdim=True) for rows in layers]
            metric = ranker.transferability_metrics[name](regression=False)
            # Not run(): that would embed for each estimator.
            found[estimator][0][m] = ranker._transferability_score(given, metric, aggregator, show_progress=False)
            took = embedding + time.perf_counter() - start
            found[estimator] = found[estimator][0], found[estimator][1] + took
    return {f"transformer_ranker_{name}_{layers}": found[name, layers] for name, layers in ESTIMATORS}


def embedded(one: Candidate, texts: list[str]) -> list:
    """Its embeddings of every layer, one (layers, width) for each text."""
    from transformer_ranker.embedder import Embedder
    from transformers import AutoTokenizer

    source = str(one.source)
    tokenizer = AutoTokenizer.from_pretrained(source, model_max_length=MAX_LENGTH)
    embedder = Embedder(
        model=source, tokenizer=tokenizer, layer_ids="all", layer_mean=False, sentence_pooling="mean", device="cpu"
    )
    return embedder.embed(texts, batch_size=64, show_progress=False)


def ours(dataset: Dataset, pool: list[Candidate]) -> dict[str, tuple[np.ndarray, float]]:
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
        print(f"{ranker:40}" + "".join(f"{v.mean():10.3f}±{stderr(v) or 0:5.3f}" for v in cells))


def records(rows: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    return [
        {
            "measure": f"recall/demo/proxies/{ranker}/{metric}",
            "value": float(np.mean([row[metric] for row in of])),
            "unit": "s" if metric == "seconds" else "1",
            "n": len(of),
            "stderr": stderr(np.array([row[metric] for row in of])),
        }
        for ranker, of in rows.items()
        for metric in of[0]
    ]


def stderr(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def head() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {"machine": platform.platform(), "command": " ".join(sys.argv), "commit": commit}


if __name__ == "__main__":
    main()
