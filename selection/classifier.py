"""A fine-tuned checkpoint in use, and how it is written: a `transformers` folder that says how to read it.

Knows the saved folder. Does not know how it was trained.
"""

import errno
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selection.backbones import checkpoint_folder, quiet, read_config
from selection.errors import CheckpointError, InputError
from selection.heads import MEAN_HEAD, FloatArray, HeadedModel, auto_class, open_headed
from selection.records import Modality

SETTINGS = "classifier.json"
DEFAULT_MAX_LENGTH = 512

_TEXT = """from transformers import {auto_class}, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {auto_class}.from_pretrained(folder).eval()
inputs = tokenizer(["your text"], truncation=True, padding=True, return_tensors="pt", return_token_type_ids=False)
with torch.inference_mode():
    logits = model(**inputs).logits
"""
_AVERAGE = """mask = inputs["attention_mask"].unsqueeze(-1)
logits = (logits * mask).sum(1) / mask.sum(1)  # the class logits are the mean of the tokens' logits
"""
_IMAGE = """from PIL import Image
from transformers import {auto_class}, AutoImageProcessor

folder = "."  # this folder
processor = AutoImageProcessor.from_pretrained(folder)
model = {auto_class}.from_pretrained(folder).eval()
inputs = processor([Image.new("RGB", (64, 64))], return_tensors="pt")
with torch.inference_mode():
    logits = model(**inputs).logits
"""
_CARD = """# {origin}, fine-tuned on {dataset}

Classifies {what} into {n_classes} classes: {classes}.

With this package:

```python
from selection.classifier import Classifier

predictions = Classifier.open(".").predict([...])  # .labels, .probabilities
```

With `transformers` alone{remark}:

```python
import torch
{snippet}print([model.config.id2label[int(i)] for i in logits.argmax(-1)])
```
"""


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
            CheckpointError: no checkpoint there, or one without a trained classification head.
        """
        path = checkpoint_folder(folder)
        settings = _settings(path)
        architecture = str((read_config(path).get("architectures") or [""])[0])
        head = settings.get("head", "mean" if architecture.endswith(MEAN_HEAD) else "native")
        if not architecture.endswith((MEAN_HEAD, "Classification")):
            raise CheckpointError(f"{path} is a {architecture or 'model'} without a classification head; fine-tune it")
        return cls(
            open_headed(
                path,
                head=head,
                max_length=settings.get("max_length", DEFAULT_MAX_LENGTH),
                precision=settings.get("precision", "float32"),
                device=device,
            )
        )

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
        if isinstance(rows, str):
            raise InputError("got one text; wanted a list of texts")
        if not len(rows):
            return Predictions((), np.empty((0, len(self.classes)), dtype=np.float32))
        wrong = [row for row in rows if self.modality == "text" and not isinstance(row, str)]
        if wrong:
            raise InputError(f"got {type(wrong[0]).__name__} {wrong[0]!r:.60}; wanted texts")
        with quiet():
            logits = self._headed.score(self._headed.encoded(rows))
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        labels = tuple(self.classes[i] for i in logits.argmax(-1))
        return Predictions(labels, weights / weights.sum(axis=1, keepdims=True))


def write_classifier(headed: HeadedModel, folder: Path, *, origin: str, dataset: str) -> None:
    """Writes model, preprocessing, settings and a README with lines to copy.

    Raises:
        OSError: the disk is full.
    """
    from safetensors import SafetensorError

    if headed.modality == "text":
        headed.preprocess.model_max_length = headed.max_length
    try:
        with quiet():
            headed.model.save_pretrained(folder)
            headed.preprocess.save_pretrained(folder)
    except SafetensorError as error:  # it hides the system's reason in its text
        raise OSError(errno.EIO, f"the checkpoint could not be written: {error}", str(folder)) from error
    settings = {"head": headed.head, "max_length": headed.max_length, "precision": headed.precision}
    (folder / SETTINGS).write_text(json.dumps(settings) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(headed, origin, dataset), encoding="utf-8")


def _card(headed: HeadedModel, origin: str, dataset: str) -> str:
    names = list(headed.model.config.id2label.values())
    snippet = _IMAGE if headed.modality == "image" else _TEXT + (_AVERAGE if headed.head == "mean" else "")
    shown = ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
    return _CARD.format(
        origin=origin,
        dataset=dataset,
        what=f"texts (at most {headed.max_length} tokens are read)" if headed.modality == "text" else "images",
        n_classes=len(names),
        classes=shown,
        remark=", where it is a token classifier" if headed.head == "mean" else "",
        snippet=snippet.format(auto_class=auto_class(headed.head, headed.modality)),
    )


def _settings(folder: Path) -> dict[str, Any]:
    """What `write_classifier` noted; nothing for a checkpoint of another origin."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CheckpointError(f"{folder / SETTINGS} cannot be read: {error}") from error
    return settings if isinstance(settings, dict) else {}
