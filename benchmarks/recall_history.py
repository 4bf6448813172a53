"""Recall against the plain mean z of history, leaving out one dataset at a time, on the published matrices.

Needs the benchmark input folder (--data); prints a table and writes `{measure, value, unit, n, stderr}` with --json.
"""

import argparse
import csv
import json
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import weightedtau

from selection.recall import Evidence, FloatArray
from selection.recall.columns import standardise
from selection.recall.evidence import BoolArray
from selection.recall.posterior import Posterior, learn_posterior
from selection.recall.ranking import bounded
from selection.records import Candidate

RANKS = (1, 3, 5, 10)
COLUMNS = ("pearson", "weighted_tau", *(f"regret{k}" for k in RANKS), "coverage90", "coverage90_z", "probability_best5")


@dataclass(frozen=True, slots=True)
class Matrix:
    name: str
    candidates: tuple[Candidate, ...]
    datasets: tuple[str, ...]
    scores: FloatArray
    targets: tuple[str, ...]
    proxies: Mapping[str, FloatArray] = field(default_factory=dict)


def number(text: str) -> float:
    return float(text.replace(",", "")) if text.strip() else np.nan


def wide(path: Path) -> tuple[list[str], list[str], FloatArray]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return [row[0] for row in rows], header[1:], np.array([[number(cell) for cell in row[1:]] for row in rows])


def matrix(
    name: str, path: Path, described: Mapping[str, Candidate], *, drop: str = "", targets: tuple[str, ...] = ()
) -> Matrix:
    models, datasets, scores = wide(path)
    keep = [d for d, dataset in enumerate(datasets) if dataset != drop]
    names = tuple(datasets[d] for d in keep)
    candidates = tuple(described.get(model, Candidate(model)) for model in models)
    return Matrix(name, candidates, names, scores[:, keep], targets or names)


def matrices(data: Path) -> Iterator[Matrix]:
    yield transfergraph(data / "transfergraph/image", "image", "food101")
    yield transfergraph(data / "transfergraph/text", "text", "dbpedia_14")
    yield matrix("2ps_text", data / "2ps/perf_nlp.csv", {}, drop="dbpedia_14")
    yield matrix("2ps_image", data / "2ps/perf_cv.csv", {})
    parc = matrix("parc", data / "parc/perf_controlled_model_x_target.csv", {})
    yield Matrix("parc", parc.candidates, parc.datasets, parc.scores, tuple(d for d in parc.datasets if d != "voc2007"))
    yield open_clip(data / "open_clip/openclip_wide_120x38.csv")
    described = {
        row["name"]: Candidate(row["name"], n_parameters=row["n_parameters"])
        for row in pq.read_table(data / "mteb/models.parquet", columns=["name", "n_parameters"]).to_pylist()
    }
    described = {
        k: Candidate(k, n_parameters=int(c.n_parameters) if c.n_parameters else None) for k, c in described.items()
    }
    yield matrix("mteb_classification", data / "mteb/mteb_classification_dense.csv", described)
    with (data / "timm/models.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    timm = {
        row["model"]: Candidate(
            row["model"],
            n_parameters=int(1e6 * number(row["param_count"])) if row["param_count"] else None,
            family=row["family"],
        )
        for row in rows
    }
    yield matrix("timm", data / "timm/timm_top1_wide.csv", timm)


def transfergraph(folder: Path, kind: str, drop: str) -> Matrix:
    with (folder / "model_config_dataset.csv").open(newline="") as file:
        described = {
            row["model"]: Candidate(
                row["model"],
                n_parameters=int(number(row["number_of_parameters"])) if row["number_of_parameters"] else None,
                family=row["model_type"] or None,
            )
            for row in csv.DictReader(file)
        }
    plain = matrix(f"transfergraph_{kind}", folder / "perf_full_model_x_dataset.csv", described, drop=drop)
    index = {candidate.model: m for m, candidate in enumerate(plain.candidates)}
    places = {dataset: d for d, dataset in enumerate(plain.datasets)}
    proxies: dict[str, FloatArray] = defaultdict(lambda: np.full(plain.scores.shape, np.nan))
    with (folder / "transferability_score_records.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            m, d = index.get(row["model"]), places.get(row["target_dataset"] or "")
            if m is not None and d is not None and row["score"]:
                proxies["logme" if row["metric"].endswith("LOG_ME") else "h_score"][m, d] = float(row["score"])
    seen = [np.isfinite(p).sum(axis=0) for p in proxies.values()]
    targets = tuple(d for d, n in zip(plain.datasets, np.min(seen, axis=0), strict=True) if n >= 20)
    return Matrix(plain.name, plain.candidates, plain.datasets, plain.scores, targets, dict(proxies))


def open_clip(path: Path) -> Matrix:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    candidates = tuple(
        Candidate(f"{row[0]}|{row[1]}", n_parameters=int(1e6 * number(row[2])), family=row[0]) for row in rows
    )
    return Matrix(
        "open_clip",
        candidates,
        tuple(header[5:]),
        np.array([[number(c) for c in row[5:]] for row in rows]),
        tuple(header[5:]),
    )


def mean_z(scores: FloatArray) -> FloatArray:
    z = standardise(scores).z
    total, count = np.nansum(z, axis=1), (~np.isnan(z)).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), 0.0)


def quality(prediction: FloatArray, truth: FloatArray, shown: BoolArray) -> dict[str, float]:
    """Agreement over the models not shown; regret after trying those shown first, then the rest as predicted."""
    seen = ~np.isnan(truth)
    p, y = prediction[seen & ~shown], truth[seen & ~shown]
    order = np.argsort(-np.where(shown, np.inf, prediction)[seen], kind="stable")
    best, middle = truth[seen].max(), np.median(truth[seen])
    row = {"pearson": float(np.corrcoef(p, y)[0, 1]), "weighted_tau": float(weightedtau(p, y)[0])}
    return row | {
        f"regret{k}": float((best - truth[seen][order[:k]].max()) / (best - middle)) for k in RANKS if k > shown.sum()
    }


def intervals(posterior: Posterior, truth: FloatArray, shown: BoolArray) -> dict[str, float]:
    seen = ~np.isnan(truth) & ~shown
    y = truth[seen]
    z = (y - np.nanmean(truth)) / np.nanstd(truth)
    width = 1.645 * posterior.calibration.z * posterior.prediction.sd[seen]
    draws = posterior.draws(0, np.arange(len(truth)))[:, seen]
    top = np.argsort(-posterior.prediction.mean[seen], kind="stable")[:5]
    held = np.bincount(draws.argmax(axis=1), minlength=len(y))[top].sum() / len(draws)
    return {
        "coverage90": float(((y >= posterior.low[seen]) & (y <= posterior.high[seen])).mean()),
        "coverage90_z": float((np.abs(z - posterior.prediction.mean[seen]) <= width).mean()),
        "probability_best5": float(held),
        "hit5": float(y[top].max() >= y.max()),
    }


def backtest(task: Matrix, n_warm: int, hidden: float) -> Iterator[tuple[str, dict[str, float]]]:
    generator = np.random.default_rng(0)
    for target in task.targets:
        d = task.datasets.index(target)
        others = [e for e in range(len(task.datasets)) if e != d]
        truth = task.scores[:, d]
        scores = np.where(generator.random((len(truth), len(others))) < hidden, np.nan, task.scores[:, others])
        history = mean_z(scores)
        measured = np.full(len(truth), np.nan)
        warm = np.argsort(-np.where(np.isnan(truth), -np.inf, history), kind="stable")[:n_warm]
        measured[warm] = truth[warm]
        shown = ~np.isnan(measured)
        yield "history", quality(history, truth, shown)
        sources = tuple(task.datasets[e] for e in others)
        for ranker in ("ours", "ours_proxies") if task.proxies else ("ours",):
            proxies = task.proxies if ranker == "ours_proxies" else {}
            evidence = Evidence(
                task.candidates,
                sources,
                scores,
                {name: values[:, d] for name, values in proxies.items()},
                {name: values[:, others] for name, values in proxies.items()},
                measured if n_warm else None,
                target=target,
            )
            posterior = bounded(learn_posterior(evidence, 0.9), evidence)
            row = quality(posterior.prediction.mean, truth, shown) | intervals(posterior, truth, shown)
            yield ranker, row


def records(rows: list[tuple[str, str, dict[str, float]]], kind: str) -> list[dict[str, object]]:
    pools: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for name, ranker, row in rows:
        pools[name, ranker].append(row)
        if ranker != "ours_proxies":
            pools["pooled", ranker].append(row)
    found: list[dict[str, object]] = []
    for (name, ranker), pool in pools.items():
        for metric in pool[0]:
            values = np.array([row[metric] for row in pool])
            stderr = float(values.std(ddof=1) / np.sqrt(len(values)))
            measure = f"recall/{name}/{kind}/{ranker}/{metric}"
            found.append(
                {"measure": measure, "value": float(values.mean()), "unit": "1", "n": len(values), "stderr": stderr}
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--warm", type=int, default=0, help="results of history's best n are shown")
    parser.add_argument("--hide", type=float, default=0.0, help="share of the sources' results hidden at random")
    arguments = parser.parse_args()
    start = time.perf_counter()
    rows = [
        (task.name, ranker, row)
        for task in matrices(arguments.data)
        for ranker, row in backtest(task, arguments.warm, arguments.hide)
    ]
    kind = ("warm" if arguments.warm else "cold") + (f"_hidden{100 * arguments.hide:.0f}" if arguments.hide else "")
    found = records(rows, kind)
    show(found)
    print(f"{len(rows)} rankings in {time.perf_counter() - start:.1f} s")
    if arguments.json:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
        head = {"machine": platform.platform(), "command": " ".join(sys.argv), "commit": commit}
        arguments.json.write_text(json.dumps([head, *found], indent=1))


def show(found: list[dict[str, object]]) -> None:
    table: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    sizes = {}
    for record in found:
        _, name, _, ranker, metric = str(record["measure"]).split("/")
        table[name, ranker][metric] = float(str(record["value"]))
        sizes[name, ranker] = record["n"]
    columns = (*COLUMNS, "hit5")
    print(f"{'matrix':22}{'ranker':14}{'n':>4}" + "".join(f"{c[:11]:>12}" for c in columns))
    for (name, ranker), row in table.items():
        cells = "".join(f"{row[c]:12.3f}" if c in row else f"{'':12}" for c in columns)
        print(f"{name:22}{ranker:14}{sizes[name, ranker]:>4}{cells}")


if __name__ == "__main__":
    main()
