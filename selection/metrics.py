"""The metrics a fine-tune can be judged by: (labels (N,), predictions (N,)) -> score, larger is better."""

from collections.abc import Callable
from typing import Any

import numpy as np


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


METRICS: dict[str, Callable[[Any, Any], float]] = {"accuracy": accuracy, "macro_f1": macro_f1, "mcc": matthews}
