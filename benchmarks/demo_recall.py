"""Recall on the demo zoo, where every proxy is measured on every pair: what proxies give, together and each alone.

16 candidates, 15 tasks; each task is left out together with those that share its texts. No files are needed but the
demo's own tables. Prints a table and writes `{measure, value, unit, n, stderr}` with --json.

python benchmarks/demo_recall.py [--json OUT]
"""

import argparse
import csv
import json
import platform
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from selection.recall import Evidence, FloatArray
from selection.recall.choice import regret
from selection.recall.ranking import rank
from selection.records import Candidate
from zoo_graph.demo.seed import group_of, read_measured, seed_folder
from zoo_graph.descriptions import similarities
from zoo_graph.records import Dataset

KS = (1, 3, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measured = read_measured()
    models, datasets = measured.models, measured.datasets
    scores = np.array([[measured.scores[model, dataset] for dataset in datasets] for model in models])
    candidates, proxies = read_candidates(models), read_proxies(models, datasets)
    about = read_datasets(datasets)
    rows: dict[str, list[FloatArray]] = defaultdict(list)
    for target in datasets:
        d = datasets.index(target)
        kept = [datasets.index(name) for name in datasets if name not in group_of(target)]
        z = (scores[:, kept] - scores[:, kept].mean(axis=0)) / scores[:, kept].std(axis=0)
        rows["history"].append(judged(np.argsort(-z.mean(axis=1), kind="stable"), scores[:, d]))
        sets = {"ours, no proxies": [], "ours, all proxies": list(proxies)} | {
            f"ours + {name}": [name] for name in proxies
        }
        alike = {name: v[np.ix_([*kept, d], [*kept, d])] for name, v in similarities(about).items()}
        for ranker, names in sets.items():
            evidence = Evidence(
                candidates, tuple(datasets[e] for e in kept), scores[:, kept],
                {name: proxies[name][:, d] for name in names}, {name: proxies[name][:, kept] for name in names},
                target=target, similarity=alike,
            )  # fmt: skip
            lists = rank(evidence, KS).lists
            rows[ranker].append(np.array([regret(lists[k], scores[:, d], k) for k in KS]))
        for name, values in proxies.items():
            rows[f"{name} alone"].append(judged(np.argsort(-values[:, d], kind="stable"), scores[:, d]))
    found = {ranker: np.stack(of) for ranker, of in rows.items()}
    show(found)
    if options.json:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
        head = {"machine": platform.platform(), "command": " ".join(sys.argv), "commit": commit.strip()}
        options.json.write_text(json.dumps([head, *records(found)], indent=1))


def read_candidates(models: list[str]) -> tuple[Candidate, ...]:
    with (seed_folder() / "models.csv").open(newline="", encoding="utf-8") as stream:
        told = {row["model"]: row for row in csv.DictReader(stream)}
    return tuple(
        Candidate(model, n_parameters=int(told[model]["n_parameters"]), family=told[model]["family"] or None)
        for model in models
    )


def read_proxies(models: list[str], datasets: list[str]) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = defaultdict(lambda: np.full((len(models), len(datasets)), np.nan))
    with (seed_folder() / "proxies.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["score"]:
                found[row["proxy"]][models.index(row["model"]), datasets.index(row["dataset"])] = float(row["score"])
    return dict(sorted(found.items()))


def read_datasets(datasets: list[str]) -> list[Dataset]:
    with (seed_folder() / "datasets.csv").open(newline="", encoding="utf-8") as stream:
        told = {row["dataset"]: row for row in csv.DictReader(stream)}
    return [
        Dataset(
            name,
            n_classes=int(told[name]["n_classes"] or 0) or None,
            n_samples=int(told[name]["n_samples"] or 0) or None,
            embedding=tuple(json.loads(told[name]["embedding"])) if told[name]["embedding"] else None,
            embedding_by=told[name]["embedding_by"] or None,
        )
        for name in datasets
    ]


def judged(order: np.ndarray, truth: FloatArray) -> FloatArray:
    return np.array([regret(order, truth, k) for k in KS])


def show(found: dict[str, FloatArray]) -> None:
    print(f"{'ranker':28}" + "".join(f"{f'regret@{k}':>16}" for k in KS) + f"{'minus history @1, @3':>36}")
    for ranker, values in found.items():
        means = "".join(f"{v.mean():10.3f}±{v.std(ddof=1) / len(v) ** 0.5:5.3f}" for v in values.T)
        gaps = (values - found["history"])[:, :2].T
        print(
            f"{ranker:28}{means}   " + "".join(f"{v.mean():+9.3f}±{v.std(ddof=1) / len(v) ** 0.5:5.3f}" for v in gaps)
        )


def records(found: dict[str, FloatArray]) -> list[dict[str, object]]:
    return [
        {
            "measure": f"recall/demo/cold/{ranker}/regret{k}",
            "value": float(values[:, place].mean()),
            "unit": "1",
            "n": len(values),
            "stderr": float(values[:, place].std(ddof=1) / len(values) ** 0.5),
        }
        for ranker, values in found.items()
        for place, k in enumerate(KS)
    ]


if __name__ == "__main__":
    main()
