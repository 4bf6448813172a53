"""Random feature matrices of the shapes that matter, and slow helpers the references share."""

from dataclasses import dataclass

import numpy as np
import pytest


@dataclass(frozen=True)
class Sample:
    features: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def one_hot(self) -> np.ndarray:
        return np.eye(self.labels.max() + 1)[self.labels]


def drawn(n: int, d: int, shares: list[float], seed: int, dtype: str = "float64") -> Sample:
    """Correlated features with a decaying spectrum, an offset and class signal; every class has at least one row."""
    generator = np.random.default_rng(seed)
    n_classes = len(shares)
    labels = np.concatenate([np.arange(n_classes), generator.choice(n_classes, n - n_classes, p=shares)])
    generator.shuffle(labels)
    scales = np.arange(1, d + 1) ** -0.8
    rotation = np.linalg.qr(generator.standard_normal((d, d)))[0]
    signal = 0.7 * generator.standard_normal((n_classes, d))
    features = ((generator.standard_normal((n, d)) + signal[labels]) * scales) @ rotation + generator.standard_normal(d)
    logits = 2 * generator.standard_normal((n_classes, 7))[labels] + generator.standard_normal((n, 7))
    powers = np.exp(logits)
    return Sample(features.astype(dtype), labels, powers / powers.sum(axis=1, keepdims=True))


def singular(sample: Sample) -> Sample:
    """The same with a constant, a dead, a doubled and a summed feature, and doubled rows."""
    features = sample.features.copy()
    features[:, 1] = 3.7
    features[:, 2] = 0.0
    features[:, 3] = features[:, 4]
    features[:, 5] = features[:, 4] + features[:, 6]
    features[: len(features) // 4] = features[-(len(features) // 4) :]
    return Sample(features, sample.labels, sample.probabilities)


SAMPLES = {
    "more rows than dims": drawn(120, 15, [0.25] * 4, 1),
    "more dims than rows": drawn(40, 90, [0.5, 0.3, 0.2], 2),
    "as many dims as rows": drawn(30, 30, [0.5, 0.5], 3),
    "imbalanced, one row in some classes": drawn(150, 20, [0.9, 0.1, 0, 0, 0], 4),
    "singular": singular(drawn(100, 12, [0.5, 0.3, 0.2], 5)),
    "singular and more dims than rows": singular(drawn(36, 70, [0.5, 0.5], 6)),
    "float32": drawn(200, 24, [1 / 3] * 3, 7, "float32"),
}


@pytest.fixture(params=SAMPLES.values(), ids=SAMPLES.keys())
def sample(request: pytest.FixtureRequest) -> Sample:
    return request.param
