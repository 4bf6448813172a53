"""The metrics a fine-tune can be judged by: (labels (N,), predictions (N,)) -> score, larger is better.

Of classification labels and predictions are classes' numbers, of regression the numbers themselves.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Task = Literal["classification", "regression"]


def accuracy(labels: Any, predicted: Any) -> float:
    """The share of rows predicted right."""
    return float(np.mean(labels == predicted))


def macro_f1(labels: Any, predicted: Any) -> float:
    """The mean over the classes present of 2 TP / (2 TP + FP + FN)."""
    scores = []
    for label in np.unique(np.concatenate([labels, predicted])):
        hit = np.sum((labels == label) & (predicted == label))
        scores.append(2 * hit / (np.sum(labels == label) + np.sum(predicted == label)))
    return float(np.mean(scores))


def matthews(labels: Any, predicted: Any) -> float:
    """Matthews' correlation for any number of classes (Gorodkin 2004); 0 where it is not defined."""
    classes = np.unique(np.concatenate([labels, predicted]))
    truth = np.array([np.sum(labels == c) for c in classes], dtype=float)
    guess = np.array([np.sum(predicted == c) for c in classes], dtype=float)
    n = float(len(labels))
    covariance = np.sum(labels == predicted) * n - truth @ guess
    spread = (n * n - guess @ guess) * (n * n - truth @ truth)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def balanced_accuracy(labels: Any, predicted: Any) -> float:
    """The mean over the classes present of the share of their rows predicted right."""
    return float(np.mean([np.mean(predicted[labels == label] == label) for label in np.unique(labels)]))


def r_squared(labels: Any, predicted: Any) -> float:
    """1 - squared errors / squared distances from the labels' mean; 0 where the labels are all equal."""
    spread = np.sum(np.square(labels - np.mean(labels)))
    return float(1 - np.sum(np.square(labels - predicted)) / spread) if spread > 0 else 0.0


def pearson(labels: Any, predicted: Any) -> float:
    """Pearson's correlation; 0 where either is constant."""
    one, two = (np.asarray(values, dtype=float) - np.mean(values) for values in (labels, predicted))
    spread = np.sqrt(np.sum(one * one) * np.sum(two * two))
    return float(np.sum(one * two) / spread) if spread > 0 else 0.0


def spearman(labels: Any, predicted: Any) -> float:
    """Pearson's correlation of the ranks, equals at their mean rank; 0 where either is constant."""
    from scipy.stats import rankdata

    return pearson(rankdata(labels), rankdata(predicted))


def negative_squared_error(labels: Any, predicted: Any) -> float:
    """Minus the mean squared error, in the labels' own unit squared."""
    return 0.0 - float(np.mean(np.square(labels - predicted)))


# The first of each is its task's default.
METRICS_OF: dict[Task, dict[str, Callable[[Any, Any], float]]] = {
    "classification": {
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "mcc": matthews,
        "balanced_accuracy": balanced_accuracy,
    },
    "regression": {"r2": r_squared, "pearson": pearson, "spearman": spearman, "mse": negative_squared_error},
}
METRICS: dict[str, Callable[[Any, Any], float]] = {
    name: score for metrics in METRICS_OF.values() for name, score in metrics.items()
}


def default_metric(task: Task) -> str:
    """Accuracy for classes, r2 for numbers."""
    return next(iter(METRICS_OF[task]))
