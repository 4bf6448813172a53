"""What a metric's number means: its direction, its plausible range and its usual unit. One table, plain functions.

`value` is a number as reported; `score` is comparable: a fraction where the metric is one, always larger-is-better.
"""

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from zoo_graph.errors import InputError

Direction = Literal["larger", "smaller"]
DIRECTIONS: tuple[Direction, ...] = ("larger", "smaller")

PERCENT_ABOVE = 1.5
"""A value of a fraction metric above this can only be a percentage (or a mistake)."""
STRAY_SHARE = 0.1
"""Among percentages at most this share may look like fractions; among fractions any share of percentages is refused."""

_PREFIX = re.compile(r"^(eval|evaluation|test|val|valid|validation|dev|train|training)[_ ]")
_AT = re.compile(r"^(.+?)_?(?:@|_at_)_?(\d+)$")
_TOP = re.compile(r"^(?:top|acc)_?(\d+)(?:_?(acc|accuracy|err|error))?$")
_SPLITS = {"test": "test", "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation"}
_SPLITS |= {"train": "train", "training": "train"}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: which way is better and which values are possible (`low`, `high` in the default unit).

    `unit` is "fraction" (then percentages are understood too) or "raw" (any scale, taken as it is).
    """

    name: str
    direction: Direction = "larger"
    low: float = 0.0
    high: float = 1.0
    unit: Literal["fraction", "raw"] = "fraction"


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: dict[str, Metric] = _table(
    *(Metric(name) for name in ("accuracy", "balanced_accuracy", "f1", "macro_f1", "micro_f1", "weighted_f1")),
    *(Metric(name) for name in ("precision", "recall", "auroc", "auprc", "map", "ndcg", "mrr", "hit_rate")),
    *(Metric(name) for name in ("v_measure", "nmi", "iou", "exact_match", "bleu", "rouge", "jaccard")),
    *(Metric(name, low=-1.0) for name in ("main_score", "mcc", "spearman", "pearson", "kendall", "kappa", "ari")),
    Metric("r2", low=-math.inf),
    Metric("error", "smaller"),
    *(Metric(name, "smaller", high=math.inf) for name in ("wer", "cer")),
    *(Metric(name, "smaller", high=math.inf, unit="raw") for name in ("rmse", "mse", "mae", "perplexity")),
    Metric("loss", "smaller", low=-math.inf, high=math.inf, unit="raw"),
)
"""Every metric known by name; `name@k` and `topK_accuracy` are understood beside them."""

SYNONYMS: dict[str, str] = {
    **dict.fromkeys(("acc", "top1", "top_1", "acc1", "accuracy_score"), "accuracy"),
    **dict.fromkeys(("balanced_acc", "mean_per_class_accuracy", "mean_per_class_recall"), "balanced_accuracy"),
    **dict.fromkeys(("f1_score", "f_score"), "f1"),
    **dict.fromkeys(("f1_macro", "macro_f1_score", "macrof1"), "macro_f1"),
    **dict.fromkeys(("f1_micro", "micro_f1_score"), "micro_f1"),
    **dict.fromkeys(("f1_weighted", "weighted_f1_score"), "weighted_f1"),
    **dict.fromkeys(("auc", "roc_auc", "auc_roc", "roc_auc_score"), "auroc"),
    **dict.fromkeys(("pr_auc", "auc_pr"), "auprc"),
    **dict.fromkeys(("mean_average_precision", "average_precision", "ap"), "map"),
    **dict.fromkeys(("matthews_correlation", "matthews_corrcoef", "matthews"), "mcc"),
    **dict.fromkeys(("spearmanr", "spearman_correlation", "cosine_spearman", "cos_sim_spearman"), "spearman"),
    **dict.fromkeys(("pearsonr", "pearson_correlation", "cosine_pearson", "cos_sim_pearson"), "pearson"),
    **dict.fromkeys(("kendalltau", "kendall_tau"), "kendall"),
    **dict.fromkeys(("cohen_kappa", "quadratic_weighted_kappa", "qwk"), "kappa"),
    **dict.fromkeys(("adjusted_rand_index", "adjusted_rand_score"), "ari"),
    **dict.fromkeys(("r_squared", "r2_score"), "r2"),
    **dict.fromkeys(("err", "error_rate", "top1_err", "top1_error"), "error"),
    **dict.fromkeys(("word_error_rate",), "wer"),
    **dict.fromkeys(("root_mean_squared_error",), "rmse"),
    **dict.fromkeys(("mean_squared_error",), "mse"),
    **dict.fromkeys(("mean_absolute_error",), "mae"),
    **dict.fromkeys(("ppl",), "perplexity"),
    **dict.fromkeys(("log_loss", "cross_entropy", "nll"), "loss"),
    **dict.fromkeys(("v_measure_score", "vmeasure"), "v_measure"),
    **dict.fromkeys(("normalized_mutual_info", "normalized_mutual_information"), "nmi"),
    **dict.fromkeys(("miou", "mean_iou"), "iou"),
    **dict.fromkeys(("em",), "exact_match"),
    **dict.fromkeys(("rougel", "rouge_l"), "rouge"),
    **dict.fromkeys(("mean_reciprocal_rank",), "mrr"),
    **dict.fromkeys(("hits", "hit"), "hit_rate"),
}


def find_metric(name: str) -> Metric | None:
    """Returns the metric a name stands for, whatever its case, spelling or `eval_` prefix; None where it is unknown.

    >>> find_metric("eval_Accuracy").name, find_metric("nDCG@10").name, find_metric("top5").name
    ('accuracy', 'ndcg@10', 'top5_accuracy')
    """
    plain = re.sub(r"[\s\-./]+", "_", name.strip().lower())
    return _lookup(plain) or _lookup(_PREFIX.sub("", plain))


def split_of(name: str) -> str | None:
    """Returns the split that a metric's name tells (`val_accuracy`: validation), or None."""
    found = _PREFIX.match(re.sub(r"[\s\-]+", "_", name.strip().lower()))
    return _SPLITS.get(found.group(1)) if found else None


def declared_metric(name: str, direction: str) -> Metric:
    """Makes a metric the table does not hold; its values may be anything.

    Raises:
        InputError: `direction` is neither "larger" nor "smaller".
    """
    known = next((choice for choice in DIRECTIONS if choice == direction), None)
    if known is None:
        raise InputError(f"direction {direction!r} of metric {name!r}: say 'larger' (is better) or 'smaller'")
    return Metric(name.strip().lower(), known, -math.inf, math.inf, "raw")


def unknown_metric(name: str) -> str:
    """Returns the sentence for a name that is no known metric, with close matches and the way out."""
    close = difflib.get_close_matches(name.strip().lower(), [*METRICS, *SYNONYMS], n=3, cutoff=0.5)
    near = dict.fromkeys(SYNONYMS.get(match, match) for match in close)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f"unknown metric {name!r}: {hint}declare a new one with direction=larger or direction=smaller"


def plausible(metric: Metric, value: float, unit: str) -> bool:
    """Tells whether a metric can have this value in this unit (nan and infinities never)."""
    scaled = value / 100 if unit == "percent" else value
    return math.isfinite(value) and metric.low <= scaled <= metric.high


def comparable(metric: Metric, value: float, unit: str) -> float:
    """Returns the score of a reported value: percentages as fractions, what is better when small negated."""
    scaled = round(value / 100, 12) if unit == "percent" else value
    return scaled if metric.direction == "larger" else 0.0 - scaled


def reported(metric: Metric, score: float, unit: str) -> float:
    """Returns the value that `comparable` makes this score of."""
    signed = score if metric.direction == "larger" else 0.0 - score
    return round(signed * 100, 10) if unit == "percent" else signed


def score_bounds(name: str) -> tuple[float, float] | None:
    """What a score of the metric of this name (larger is better) can be; None where that is not known."""
    metric = find_metric(name)
    if metric is None:
        return None
    return (metric.low, metric.high) if metric.direction == "larger" else (0.0 - metric.high, 0.0 - metric.low)


def range_text(metric: Metric, unit: str) -> str:
    """Returns the values a metric can have, to be read: `0 to 1`, `0 to 100`, `any finite number`."""
    factor = 100 if unit == "percent" else 1
    low, high = metric.low * factor, metric.high * factor
    if math.isinf(low) and math.isinf(high):
        return "any finite number"
    if math.isinf(high):
        return f"{low:g} or more"
    return f"{high:g} or less" if math.isinf(low) else f"{low:g} to {high:g}"


def infer_unit(metric: Metric, values: Iterable[float]) -> tuple[str, str]:
    """Returns the unit of a whole column of reported values, and the sentence that says how it was inferred.

    Fractions and percentages cannot be told apart one by one, so the column decides: percent where most values
    exceed 1.5. A few larger values among fractions stay fractions, and are rejected as implausible.

    Raises:
        InputError: most values exceed 1.5, but more than a tenth look like fractions; the unit must be given.
    """
    if metric.unit == "raw":
        return "raw", f"{metric.name}: taken as it is (no unit to infer)"
    finite = [abs(value) for value in values if math.isfinite(value)]
    above = sum(value > PERCENT_ABOVE for value in finite)
    if 2 * above <= len(finite):
        strays = f", {above} of them above {PERCENT_ABOVE} (percentages? then unit=percent)" if above else ""
        return "fraction", f"{metric.name}: fraction, inferred from {len(finite)} values{strays}"
    if len(finite) - above > STRAY_SHARE * len(finite):
        mixed = f"{above} of {len(finite)} values of {metric.name!r} are above {PERCENT_ABOVE}, the others look like"
        raise InputError(f"{mixed} fractions: cannot tell the unit; say unit=percent or unit=fraction")
    low = f", {len(finite) - above} of them below {PERCENT_ABOVE}" if above < len(finite) else ""
    return "percent", f"{metric.name}: percent, inferred from {len(finite)} values{low}"


def _lookup(plain: str) -> Metric | None:
    known = METRICS.get(SYNONYMS.get(plain, plain))
    if known is not None:
        return known
    if top := _TOP.match(plain):
        return _top(int(top.group(1)), error=(top.group(2) or "").startswith("err"))
    if at := _AT.match(plain):
        base = METRICS.get(SYNONYMS.get(at.group(1), at.group(1)))
        if base is METRICS["accuracy"]:
            return _top(int(at.group(2)), error=False)
        return replace(base, name=f"{base.name}@{int(at.group(2))}") if base else None
    return None


def _top(k: int, *, error: bool) -> Metric:
    if error:
        return METRICS["error"] if k == 1 else Metric(f"top{k}_error", "smaller")
    return METRICS["accuracy"] if k == 1 else Metric(f"top{k}_accuracy")
