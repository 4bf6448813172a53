import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from selection.metrics import METRICS


@pytest.mark.parametrize("seed", range(5))
def test_each_metric_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 4, 50), rng.integers(0, 5, 50)
    expected = {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
        "mcc": matthews_corrcoef(labels, predicted),
    }
    assert {name: score(labels, predicted) for name, score in METRICS.items()} == pytest.approx(expected)


def test_correlation_with_a_constant_prediction_is_zero() -> None:
    assert METRICS["mcc"](np.array([0, 1, 1]), np.array([1, 1, 1])) == 0
