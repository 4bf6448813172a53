import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    mean_squared_error,
    r2_score,
)

from selection.metrics import METRICS, METRICS_OF, default_metric


@pytest.mark.parametrize("seed", range(5))
def test_each_metric_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 4, 50), rng.integers(0, 5, 50)
    expected = {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
        "mcc": matthews_corrcoef(labels, predicted),
        "balanced_accuracy": balanced_accuracy_score(labels, np.minimum(predicted, 3)),
    }
    found = {name: score(labels, predicted) for name, score in METRICS_OF["classification"].items()}
    found["balanced_accuracy"] = METRICS["balanced_accuracy"](labels, np.minimum(predicted, 3))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_each_metric_of_a_regression_equals_its_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 9, 30) / 2
    predicted = labels + rng.normal(size=30)
    expected = {
        "r2": r2_score(labels, predicted),
        "pearson": pearsonr(labels, predicted).statistic,
        "spearman": spearmanr(labels, predicted).statistic,
        "mse": -mean_squared_error(labels, predicted),
    }
    assert {name: score(labels, predicted) for name, score in METRICS_OF["regression"].items()} == pytest.approx(
        expected
    )


def test_correlation_with_a_constant_prediction_is_zero() -> None:
    assert METRICS["mcc"](np.array([0, 1, 1]), np.array([1, 1, 1])) == 0
    for name in ("pearson", "spearman"):
        assert METRICS[name](np.array([0.5, 1.5, 1]), np.array([1.0, 1, 1])) == 0
    assert METRICS["r2"](np.array([1.0, 1]), np.array([1.0, 2])) == 0


def test_each_task_has_a_default_metric() -> None:
    assert [default_metric(task) for task in ("classification", "regression")] == ["accuracy", "r2"]
