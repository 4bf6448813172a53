"""What TransferGraph's authors released: predicted scores of their methods, and the figures they published.

Of the predicted rows those of each method without a `_model_ratio_` count: trained on all models. Text targets hold
some models twice (repeated runs, and predictions that differ between them); the first row of a pair counts, so that
each model is one row ("unbiased rows"). On image the published figures are exactly those of these rows; on text they
are not (closest, not equal: the better one of a model's full fine-tune and LoRA as its truth).
"""

import csv
import gzip
from pathlib import Path

from matrices import TRANSFERGRAPH_TARGETS

from zoo_graph.backtest.rankers import Given

_SUFFIX = "_all_normalize_without_transfer"
_FIGURES = {"pearson": "pearson", "spearman": "spearman", "weighted_tau": "w-kendall"}


def predictions(data: Path, matrix: str) -> dict[str, Given]:
    """`transfergraph_<variant>` -> the released predictions; empty for a matrix that has none."""
    kind = matrix.removeprefix("transfergraph_")
    if kind not in TRANSFERGRAPH_TARGETS:
        return {}
    found: dict[str, dict[str, dict[str, float]]] = {}
    names = {target.replace("/", "_"): target for target in TRANSFERGRAPH_TARGETS[kind]}
    with gzip.open(data / "transfergraph" / kind / "predicted_scores_all_methods.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            if row["method"].endswith(_SUFFIX):
                by_target = found.setdefault(variant(row["method"]), {})
                by_target.setdefault(names[row["target"]], {}).setdefault(row["model"], float(row["score"]))
    return {name: Given(found[name]) for name in sorted(found)}


def variant(method: str) -> str:
    """`transfergraph_xgb_node2vec` for the authors' `xgb_node2vec_all_normalize_without_transfer`."""
    return "transfergraph_" + method.removesuffix(_SUFFIX)


def published(data: Path, matrix: str) -> dict[str, dict[str, dict[str, float]]]:
    """Metric -> `transfergraph_<variant>`, `logme` or `h_score` -> target -> the figure in the authors' tables."""
    kind = matrix.removeprefix("transfergraph_")
    if kind not in TRANSFERGRAPH_TARGETS:
        return {}
    plain = {"LogME": "logme", "Reg-H-Score": "h_score"}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for metric, stem in _FIGURES.items():
        path = data / "transfergraph" / kind / "result_analysis" / f"{stem}_correlation.csv"
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                name = row.pop("")
                by_target = {target: float(text) for target, text in row.items() if target != "average"}
                found.setdefault(metric, {})[plain.get(name) or variant(name)] = by_target
    return found
