"""A fine-tuned checkpoint as a folder: a `transformers` checkpoint that says how it is read, and how it is opened.

Knows the saved folder. Does not know how it was trained.
"""

import errno
import json
from pathlib import Path
from typing import Any

from selection.backbones import checkpoint_folder, quiet, read_config
from selection.errors import CheckpointError
from selection.heads import MEAN_HEAD, HeadedModel, auto_class, open_headed
from selection.losses import Loss, NumberLoss

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
logits = (logits * mask).sum(1) / mask.sum(1)  # the logits are the mean of the tokens' logits
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
_CLASSES = "print([model.config.id2label[int(i)] for i in logits.argmax(-1)])\n"
_NUMBERS = "print((logits[:, 0] * {scale!r} + {mean!r}).tolist())  # in the unit of the labels\n"
_CARD = """# {origin}, fine-tuned on {dataset}

{promise}

With this package:

```python
from selection.classifier import {reader}

predictions = {reader}.open(".").predict([...])  # {gives}
```

With `transformers` alone{remark}:

```python
import torch
{snippet}```
"""


def write_checkpoint(headed: HeadedModel, loss: Loss, folder: Path, *, origin: str, dataset: str) -> None:
    """Writes model, preprocessing, settings and a README with lines to copy; of a regression also its unit.

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
    settings: dict[str, Any] = {"head": headed.head, "max_length": headed.max_length, "precision": headed.precision}
    if isinstance(loss, NumberLoss):
        settings |= {"mean": loss.mean, "scale": loss.scale}
    (folder / SETTINGS).write_text(json.dumps(settings) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(headed, loss, origin, dataset), encoding="utf-8")


def open_saved(folder: str | Path, device: str) -> tuple[HeadedModel, NumberLoss | None]:
    """A saved checkpoint, or any with a head of its own; and how its numbers are read, None for classes.

    Raises:
        CheckpointError: no checkpoint there, or one without a trained head.
    """
    path = checkpoint_folder(folder)
    settings = _settings(path)
    config = read_config(path)
    architecture = str((config.get("architectures") or [""])[0])
    if not architecture.endswith((MEAN_HEAD, "Classification")):
        raise CheckpointError(f"{path} is a {architecture or 'model'} without a classification head; fine-tune it")
    headed = open_headed(
        path,
        head=settings.get("head", "mean" if architecture.endswith(MEAN_HEAD) else "native"),
        max_length=settings.get("max_length", DEFAULT_MAX_LENGTH),
        precision=settings.get("precision", "float32"),
        device=device,
    )
    numbers = NumberLoss(settings.get("mean", 0.0), settings.get("scale", 1.0))
    return headed, numbers if config.get("problem_type") == "regression" else None


def _card(headed: HeadedModel, loss: Loss, origin: str, dataset: str) -> str:
    snippet = _IMAGE if headed.modality == "image" else _TEXT + (_AVERAGE if headed.head == "mean" else "")
    what = f"texts (at most {headed.max_length} tokens are read)" if headed.modality == "text" else "images"
    if isinstance(loss, NumberLoss):
        reader, gives, promise = "Regressor", "(N,) numbers", f"Predicts one number for {what}."
        snippet += _NUMBERS.format(scale=loss.scale, mean=loss.mean)
    else:
        names = list(headed.model.config.id2label.values())
        shown = ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
        reader, gives = "Classifier", ".labels, .probabilities"
        promise = f"Classifies {what} into {len(names)} classes: {shown}."
        snippet += _CLASSES
    return _CARD.format(
        origin=origin,
        dataset=dataset,
        promise=promise,
        reader=reader,
        gives=gives,
        remark=", where it is a token classifier" if headed.head == "mean" else "",
        snippet=snippet.replace("{auto_class}", auto_class(headed.head, headed.modality)),
    )


def _settings(folder: Path) -> dict[str, Any]:
    """What `write_checkpoint` noted; nothing for a checkpoint of another origin."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CheckpointError(f"{folder / SETTINGS} cannot be read: {error}") from error
    return settings if isinstance(settings, dict) else {}
