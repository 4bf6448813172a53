"""Link prediction on the published matrices: what GNN, mixed model and TransferGraph's recipe add to history.

    python benchmarks/link_prediction.py --data ../shared/data [--json OUT] [--matrix NAME ...] [--hide 0 50 95 single]

Cold: each target is ranked without any result on it. `--hide` hides that share of all results at random, or leaves
30 % of the models one result ("single"); the truth judges all the same. Rankers: `history`, mean z shrunk by
n / (n + 3); `mean_z`, plain; `mixed`, the linear mixed model, each dataset left out in turn, variances too; `gnn`, the
graph network in five folds of datasets (networks, multiplier and end of training never saw the target's fold; retrained
per fold, not per target); `transfergraph_node2vec`, `transfergraph_graphsage`, retrained for every target
(`--transfergraph`, only where all results are shown). `--mteb-long` also times training on all 662 x 1,555 of MTEB.
Prints tables and with --json writes `{measure, value, unit, n, stderr}` after one record of the machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
if __name__ == "__main__" and any(os.environ.get(name) != "1" for name in THREADS):
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)  # BLAS reads it when it is loaded

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from matrices import Matrix, _mteb, is_judgeable, matrices  # noqa: E402
from scipy.stats import weightedtau, wilcoxon  # noqa: E402

from zoo_graph.link_prediction import mixed, predictor  # noqa: E402
from zoo_graph.link_prediction.graph import ZooGraph, no_pairs  # noqa: E402
from zoo_graph.link_prediction.results import history, read_results  # noqa: E402
from zoo_graph.link_prediction.tokens import label_similarity, name_tokens, single  # noqa: E402
from zoo_graph.link_prediction.transfergraph import TransferGraph  # noqa: E402
from zoo_graph.snapshot import Floats, Integers  # noqa: E402

RANKS = (1, 3, 5, 10)
METRICS = ("pearson", "weighted_tau", *(f"regret{k}" for k in RANKS))
HIDDEN = ("0", "50", "80", "95", "single")
SMALL = ("transfergraph_image", "2ps_text", "open_clip", "mteb_classification")

Row = dict[str, float]


# -- graphs


def graph_of(matrix: Matrix) -> ZooGraph:
    """The matrix as a graph; what models were pretrained on becomes datasets without results."""
    sources = sorted({name for names in matrix.trained_on for name in names} - set(matrix.datasets))
    alike = similarities(matrix, sources)
    if not any(np.isfinite(values).any() for values in alike.values()):
        sources = []  # unscored datasets that nothing is known of tell nothing
    datasets = (*matrix.datasets, *sources)
    n = len(matrix.datasets), len(datasets)
    models = [candidate.model for candidate in matrix.candidates]
    place = {name: column for column, name in enumerate(datasets)}
    pretrained = [(m, place[one]) for m, names in enumerate(matrix.trained_on) for one in names if one in place]
    rows = {name: m for m, name in enumerate(models)}
    bases = matrix.model_labels.get("adapted_from", ("",) * len(models))
    labels = dataset_labels(matrix, sources)
    return ZooGraph(
        tuple(models),
        datasets,
        widened(matrix.scores, n[1]),
        model_numbers={name: logs(values) for name, values in numbers(matrix).items()},
        model_labels=model_labels(matrix),
        dataset_numbers=dataset_numbers(matrix, len(sources)),
        dataset_labels=labels,
        pretrained_on=pairs_of(pretrained),
        derived_from=pairs_of([(m, rows[base]) for m, base in enumerate(bases) if base in rows]),
        similarity={"labels": label_similarity(labels, n[1]), **alike},
        proxies={name: widened(values, n[1]) for name, values in matrix.proxies.items()},
    )


def widened(values: Floats, n_datasets: int) -> Floats:
    return np.hstack([values, np.full((len(values), n_datasets - values.shape[1]), np.nan)])


def similarities(matrix: Matrix, sources: Sequence[str]) -> dict[str, Floats]:
    """The user's distances between datasets, and from pretraining datasets to them, as one similarity."""
    if matrix.dataset_distance is None:
        return {}
    n = len(matrix.datasets)
    distance = np.full((n + len(sources), n + len(sources)), np.nan)
    distance[:n, :n] = matrix.dataset_distance
    for m, names in enumerate(matrix.trained_on):
        for place, source in enumerate(sources):
            if source in names and matrix.pretraining_distance is not None:
                distance[n + place, :n] = distance[:n, n + place] = matrix.pretraining_distance[m]
    return {"given": np.exp(-distance / np.nanmedian(distance))}


def numbers(matrix: Matrix) -> dict[str, Floats]:
    size = np.array([candidate.n_parameters or np.nan for candidate in matrix.candidates])
    found = {name: values for name, values in matrix.model_numbers.items() if name != "number_of_parameters"}
    return found | ({"parameters": size} if np.isfinite(size).any() else {})


def logs(values: Floats) -> Floats:
    return np.log10(np.where(values > 0, values, np.nan))


def model_labels(matrix: Matrix) -> dict[str, tuple[tuple[str, ...], ...]]:
    tokens = tuple(name_tokens(candidate.model.replace("--", "/")) for candidate in matrix.candidates)
    families = single([candidate.family for candidate in matrix.candidates])
    return {name: single(values) for name, values in matrix.model_labels.items()} | {
        "family": families,
        "token": tokens,
    }


def dataset_numbers(matrix: Matrix, n_sources: int) -> dict[str, Floats]:
    found = {}
    for name in ("n_samples", "n_classes"):
        values = np.array([getattr(text, name) or np.nan for text in matrix.dataset_text], dtype=np.float64)
        found[name] = np.log10(np.append(values, [np.nan] * n_sources))
    return found


def dataset_labels(matrix: Matrix, sources: Sequence[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    none = ((),) * len(sources)
    return {
        "task": (*single([text.task for text in matrix.dataset_text]), *none),
        "language": (*(text.languages for text in matrix.dataset_text), *none),
        "domain": (*(text.domains for text in matrix.dataset_text), *none),
        "token": tuple(map(name_tokens, (*matrix.datasets, *sources))),
    }


def pairs_of(pairs: list[tuple[int, int]]) -> Integers:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2) if pairs else no_pairs()


def mteb_long(data: Path) -> Matrix:
    """All of MTEB: 662 models x 1,555 tasks, a tenth of it measured, repeats averaged; targets have 20 results."""
    table = pq.read_table(data / "mteb/mteb_long.parquet", columns=["model", "task", "main_score"])
    model, task = (table[name].combine_chunks().dictionary_encode() for name in ("model", "task"))
    shape = len(model.dictionary), len(task.dictionary)
    total, n = np.zeros(shape), np.zeros(shape)
    places = model.indices.to_numpy(), task.indices.to_numpy()
    np.add.at(total, places, table["main_score"].to_numpy())
    np.add.at(n, places, 1)
    scores = np.divide(total, n, out=np.full(shape, np.nan), where=n > 0)
    found = _mteb(
        "mteb_long", "further", data, model.dictionary.to_pylist(), tuple(task.dictionary.to_pylist()), scores
    )
    enough = np.isfinite(scores).sum(axis=0) >= 20
    kept = tuple(
        name
        for name, column, many in zip(found.datasets, scores.T, enough, strict=True)
        if many and is_judgeable(column)
    )
    return replace(found, targets=kept)


# -- measuring


def hide(scores: Floats, how: str, draw: int = 0) -> Floats:
    generator = np.random.default_rng(draw)
    if how != "single":
        return np.where(generator.random(scores.shape) < int(how) / 100, np.nan, scores)
    found = scores.copy()
    for m in generator.permutation(len(scores))[: round(0.3 * len(scores))]:
        seen = np.flatnonzero(np.isfinite(scores[m]))
        found[m, np.setdiff1d(seen, generator.choice(seen, 1))] = np.nan
    return found


def quality(prediction: Floats, truth: Floats) -> Row:
    seen = np.isfinite(truth)
    p, y = prediction[seen], truth[seen]
    order = np.argsort(-p, kind="stable")
    best, middle = y.max(), np.median(y)
    agreement = {"pearson": float(np.corrcoef(p, y)[0, 1]) if p.std() > 0 else 0.0}
    agreement["weighted_tau"] = float(weightedtau(p, y)[0]) if p.std() > 0 else 0.0
    return agreement | {f"regret{k}": float((best - y[order[:k]].max()) / (best - middle)) for k in RANKS}


def rankings(graph: ZooGraph, targets: Sequence[str], recipe: bool) -> Iterator[tuple[str, Floats]]:
    """Yields each ranker's predictions (M, T)."""
    columns = graph.columns(targets)
    results = read_results(graph.scores)
    visible = [results.hide(np.array([column])) for column in columns]
    yield "history", np.column_stack([history(one) for one in visible])
    yield "mean_z", np.column_stack([one.sums() / np.maximum(one.counts(), 1) for one in visible])
    yield "mixed", mixed.out_of_fold(graph)[:, columns]
    yield "gnn", predictor.out_of_fold(graph)[:, columns]
    for embedding in ("node2vec", "graphsage") if recipe else ():
        yield f"transfergraph_{embedding}", TransferGraph(embedding).predict(graph, targets).mean


def measure(matrix: Matrix, how: str, recipe: bool) -> tuple[dict[str, list[Row]], Row]:
    """Each ranker's quality on each target, and the seconds that all its predictions took."""
    graph = graph_of(matrix)
    shown = graph.with_scores(widened(hide(matrix.scores, how), len(graph.datasets)))
    found, seconds, start = {}, {}, time.perf_counter()
    for name, predicted in rankings(shown, matrix.targets, recipe and how == "0"):
        seconds[name] = time.perf_counter() - start
        truth = matrix.scores[:, [matrix.datasets.index(target) for target in matrix.targets]]
        found[name] = [quality(predicted[:, t], truth[:, t]) for t in range(truth.shape[1])]
        start = time.perf_counter()
    return found, seconds


# -- telling


def record(measure: str, values: Sequence[float], unit: str = "1") -> dict[str, object]:
    known = np.array(values)
    stderr = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else 0.0
    return {"measure": measure, "value": float(known.mean()), "unit": unit, "n": len(known), "stderr": stderr}


def table(title: str, rankers: dict[str, list[Row]]) -> str:
    lines = [f"{title} ({len(rankers['history'])} targets)", f"{'':24}" + "".join(f"{name:>20}" for name in METRICS)]
    for name, rows in rankers.items():
        cells = (compared(metric, rows, rankers["history"]) for metric in METRICS)
        lines.append(f"{name:24}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def compared(metric: str, rows: list[Row], past: list[Row]) -> str:
    """The mean; for another ranker than history the change (of regret in per cent) and Wilcoxon's p."""
    values, before = (np.array([row[metric] for row in some]) for some in (rows, past))
    if np.array_equal(values, before):
        return f"{values.mean():.3f}"
    change = values.mean() - before.mean()
    shown = f"{change / max(before.mean(), 1e-9):+.0%}" if metric.startswith("regret") else f"{change:+.3f}"
    return f"{values.mean():.3f} {shown} p{wilcoxon(values, before).pvalue:.2f}"


def time_training(data: Path) -> Iterator[dict[str, object]]:
    graph = graph_of(mteb_long(data))
    start = time.perf_counter()
    trained = predictor.train(graph)
    yield record("link_prediction/mteb_long/train/seconds", [time.perf_counter() - start], "s")
    start = time.perf_counter()
    trained.predict(graph, graph.datasets[:1])
    yield record("link_prediction/mteb_long/predict_one/seconds", [time.perf_counter() - start], "s")
    yield record("link_prediction/mteb_long/multiplier", [trained.multiplier])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--matrix", nargs="+", default=SMALL)
    parser.add_argument("--hide", nargs="+", default=HIDDEN, choices=HIDDEN)
    parser.add_argument("--transfergraph", action="store_true")
    parser.add_argument("--mteb-long", action="store_true")
    options = parser.parse_args()
    found: list[dict[str, object]] = []
    for how in options.hide:
        pools: dict[str, list[Row]] = defaultdict(list)
        kind = {"0": "cold", "single": "cold_single30"}.get(how, f"cold_hidden{how}")
        for matrix in matrices(options.data, options.matrix):
            rankers, seconds = measure(matrix, how, options.transfergraph)
            print(table(f"{matrix.name}, {kind}", rankers), flush=True)
            print("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()), flush=True)
            for name, rows in rankers.items():
                pools[name].extend(rows)
                found += [record(f"recall/{matrix.name}/{kind}/{name}/{m}", [row[m] for row in rows]) for m in METRICS]
        pools = {name: rows for name, rows in pools.items() if len(rows) == len(pools["history"])}
        print(table(f"pooled, {kind}", pools), flush=True)
        found += [
            record(f"recall/pooled/{kind}/{name}/{m}", [r[m] for r in rows])
            for name, rows in pools.items()
            for m in METRICS
        ]
        write(options.json, found)  # after each setting: a run takes long
    if options.mteb_long:
        timed = list(time_training(options.data))
        print(*timed, sep="\n")
        write(options.json, [*found, *timed])


def write(path: Path | None, found: list[dict[str, object]]) -> None:
    if path is None:
        return
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    head = {"machine": platform.platform(), "command": " ".join(sys.argv), "commit": commit}
    path.write_text(json.dumps([head, *found], indent=1))


if __name__ == "__main__":
    main()
