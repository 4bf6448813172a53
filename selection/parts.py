"""A dataset's parts as one candidate reads them, each encoded once; under a frozen encoder what its head reads, too.

Knows a dataset and a headed model. Does not know steps or optimizers.
"""

from pathlib import Path

import torch

from selection.datasets import Dataset, Labels
from selection.encoded import Encoded, IntArray
from selection.head_features import head_features
from selection.heads import HeadedModel
from selection.states import has_state, read_state, write_state
from selection.tables import Part


class Parts:
    """Encoded rows, labels and features by part. With a `folder` features are kept in its `features-*.pt`."""

    def __init__(self, dataset: Dataset, folder: Path | None = None) -> None:
        self._dataset = dataset
        self._folder = folder
        self._encoded: dict[Part, Encoded] = {}
        self._features: dict[Part, torch.Tensor | None] = {}

    def labels(self, part: Part) -> Labels:
        """The labels (N,) of a part."""
        indices: IntArray = getattr(self._dataset, part)
        return self._dataset.labels[indices]

    def encoded(self, part: Part, headed: HeadedModel) -> Encoded:
        """The rows as the model reads them.

        Raises:
            DatasetError: an image cannot be read.
        """
        if part not in self._encoded:
            self._encoded[part] = headed.encoded(self._dataset.part(part)[0])
        return self._encoded[part]

    def features(self, part: Part, headed: HeadedModel) -> torch.Tensor | None:
        """What the head reads of each row (N, D); None where `head_features` has none.

        Raises:
            TrialError: the file that keeps them is damaged.
            OSError: the disk is full.
        """
        if part not in self._features:
            path = None if self._folder is None else self._folder / f"features-{part}.pt"
            self._features[part] = self._kept(path, part, headed)
        return self._features[part]

    def _kept(self, path: Path | None, part: Part, headed: HeadedModel) -> torch.Tensor | None:
        if path is not None and has_state(path):
            kept: torch.Tensor = read_state(path, headed.device)
            return kept
        features = head_features(headed, self.encoded(part, headed))
        if path is not None and features is not None:
            write_state(path, features)
        return features
