"""A fine-tuned checkpoint in use: rows in, labels and probabilities or numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selection.backbones import quiet
from selection.errors import CheckpointError, InputError
from selection.heads import FloatArray, HeadedModel
from selection.losses import NumberLoss
from selection.records import Modality
from selection.saved import open_saved


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """`labels`: N class names; `probabilities` (N, C) in the order of the classifier's classes, rows sum to 1."""

    labels: tuple[str, ...]
    probabilities: FloatArray


class Classifier:
    """A saved classifier: rows in, labels and probabilities out."""

    def __init__(self, headed: HeadedModel) -> None:
        self._headed = headed
        names = headed.model.config.id2label
        self.classes: tuple[str, ...] = tuple(str(names[i]) for i in range(len(names)))

    @classmethod
    def open(cls, folder: str | Path, *, device: str = "cpu") -> "Classifier":
        """Opens a folder that a selection saved, or any checkpoint with a classification head.

        Raises:
            CheckpointError: no checkpoint there, one without a trained classification head, or one of a regression.
        """
        headed, numbers = open_saved(folder, device)
        if numbers is not None:
            raise CheckpointError(f"{folder} predicts a number, wanted classes: open it with Regressor")
        return cls(headed)

    @property
    def modality(self) -> Modality:
        """What the rows must be."""
        return self._headed.modality

    def predict(self, rows: Sequence[Any]) -> Predictions:
        """Classifies texts, or images (paths, bytes, uint8 arrays, Pillow images).

        Raises:
            InputError: a row that is no text (or no image).
            TrialError: logits are not finite.
        """
        logits = _logits(self._headed, rows)
        if not len(logits):
            return Predictions((), logits)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        labels = tuple(self.classes[i] for i in logits.argmax(-1))
        return Predictions(labels, weights / weights.sum(axis=1, keepdims=True))


class Regressor:
    """A saved regression: rows in, numbers in the labels' own unit out."""

    def __init__(self, headed: HeadedModel, numbers: NumberLoss) -> None:
        self._headed = headed
        self._numbers = numbers

    @classmethod
    def open(cls, folder: str | Path, *, device: str = "cpu") -> "Regressor":
        """Opens a folder that a selection on numbers saved.

        Raises:
            CheckpointError: no checkpoint there, or one that tells classes.
        """
        headed, numbers = open_saved(folder, device)
        if numbers is None:
            raise CheckpointError(f"{folder} tells classes, wanted a number: open it with Classifier")
        return cls(headed, numbers)

    @property
    def modality(self) -> Modality:
        """What the rows must be."""
        return self._headed.modality

    def predict(self, rows: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Predicts a number (N,) for each of texts, or images (paths, bytes, uint8 arrays, Pillow images).

        Raises:
            InputError: a row that is no text (or no image).
            TrialError: the numbers are not finite.
        """
        predicted: npt.NDArray[np.float64] = self._numbers.predicted(_logits(self._headed, rows))
        return predicted


def _logits(headed: HeadedModel, rows: Sequence[Any]) -> FloatArray:
    """Logits (N, C) of the rows.

    Raises:
        InputError: a row that is no text (or no image).
        TrialError: logits are not finite.
    """
    if isinstance(rows, str):
        raise InputError("got one text; wanted a list of texts")
    if not len(rows):
        return np.empty((0, headed.model.config.num_labels), dtype=np.float32)
    wrong = [row for row in rows if headed.modality == "text" and not isinstance(row, str)]
    if wrong:
        raise InputError(f"got {type(wrong[0]).__name__} {wrong[0]!r:.60}; wanted texts")
    with quiet():
        return headed.score(headed.encoded(rows))
