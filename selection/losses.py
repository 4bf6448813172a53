"""What a step minimises and what a model's logits mean: classes, or one number. Knows labels; no model, no step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from selection.datasets import Dataset, Labels
from selection.records import ClassWeights


@dataclass(frozen=True, slots=True, eq=False)
class ClassLoss:
    """Cross entropy; `weights` (C,) of the classes, None for all alike."""

    weights: torch.Tensor | None = None

    def __call__(self, logits: torch.Tensor, labels: Labels) -> torch.Tensor:
        """The mean loss of logits (B, C) for labels (B,)."""
        targets = torch.from_numpy(labels).to(logits.device)
        return functional.cross_entropy(logits, targets, weight=self.weights)

    def predicted(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The class (N,) of the largest logit."""
        classes: npt.NDArray[Any] = logits.argmax(-1)
        return classes


@dataclass(frozen=True, slots=True)
class NumberLoss:
    """Squared error of standardised numbers: (label - `mean`) / `scale`."""

    mean: float
    scale: float

    def __call__(self, logits: torch.Tensor, labels: Labels) -> torch.Tensor:
        """The mean loss of logits (B, 1) for labels (B,) in their own unit."""
        targets = torch.from_numpy((labels - self.mean) / self.scale).float().to(logits.device)
        return functional.mse_loss(logits[:, 0], targets)

    def predicted(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The numbers (N,) in the labels' own unit."""
        return logits[:, 0].astype(np.float64) * self.scale + self.mean


Loss = ClassLoss | NumberLoss


def loss_of(dataset: Dataset, class_weights: ClassWeights, device: str) -> Loss:
    """The loss for a dataset: mean and scale, or the classes' shares, are those of its train part.

    A balanced weight is N / (C x rows of the class), C the classes present; a class without a row has none to weigh.
    """
    labels = dataset.labels[dataset.train]
    if dataset.task == "regression":
        return NumberLoss(float(labels.mean()), float(labels.std()))
    if class_weights == "none":
        return ClassLoss()
    rows = np.bincount(labels, minlength=dataset.n_classes)
    weights = labels.size / (np.count_nonzero(rows) * np.maximum(rows, 1))
    return ClassLoss(torch.from_numpy(weights).float().to(device))
