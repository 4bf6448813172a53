"""A checkpoint with a head: rows in, class logits or one number out; for training, testing and use alike.

Knows how a head is put on a checkpoint and how its logits are read. Does not know optimizers, steps or datasets' parts.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from selection.backbones import (
    HEAD_MODULES,
    HEADS,
    encode,
    encoder_of,
    load_model,
    load_preprocessor,
    modality_of,
    read_config,
    token_limit,
)
from selection.encoded import Encoded, EncodedImages, EncodedTexts, Inputs, IntArray
from selection.errors import CheckpointError, TrialError
from selection.hardware import autocast
from selection.records import Head, Modality, Precision

FloatArray = npt.NDArray[np.float32]

EVALUATION_BATCH = 64
MEAN_HEAD = "ForTokenClassification"


@dataclass(frozen=True, slots=True, eq=False)
class HeadedModel:
    """A model with its preprocessing. `max_length` is in tokens; `head` tells how class logits are read."""

    model: Any
    preprocess: Any
    modality: Modality
    head: Head
    max_length: int
    precision: Precision
    device: str

    def encoded(self, rows: Sequence[Any]) -> Encoded:
        """Texts as token ids (never none), images as pixels."""
        if self.modality == "image":
            return EncodedImages(rows, self._pixels, self.device)
        ids = self.preprocess(list(rows), truncation=True, max_length=self.max_length)["input_ids"]
        pad = self.preprocess.pad_token_id
        return EncodedTexts([one or [pad] for one in ids], pad, self.device)

    def logits(self, inputs: Inputs) -> torch.Tensor:
        """Logits (B, C) in float32 of one batch; of the mean head the mean over real tokens."""
        with autocast(self.device, self.precision):
            logits = self.model(**inputs).logits.float()
        return token_mean(logits, inputs) if self.head == "mean" else logits

    def score(self, encoded: Encoded) -> FloatArray:
        """Logits (N, C) of all rows without gradients, in batches of like length.

        Raises:
            TrialError: logits are not finite.
        """
        scores = np.empty((encoded.lengths.size, self.model.config.num_labels), dtype=np.float32)
        self.model.eval()
        for batch in evaluation_batches(encoded):
            with torch.inference_mode():
                scores[batch] = self.logits(encoded.inputs(batch)).cpu().numpy()
        return finite(scores)

    def _pixels(self, rows: Sequence[Any]) -> Any:
        return encode(self.preprocess, "image", rows, self.max_length)


def token_mean(values: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Means (B, C) over the real tokens of values (B, T, C)."""
    mask = inputs["attention_mask"].unsqueeze(-1)  # (B, T, 1)
    return (values * mask).sum(1) / mask.sum(1)


def evaluation_batches(encoded: Encoded) -> Iterator[IntArray]:
    """All rows in batches of like length, the longest first."""
    order = np.argsort(-encoded.lengths, kind="stable")
    for start in range(0, order.size, EVALUATION_BATCH):
        yield order[start : start + EVALUATION_BATCH]


def finite(scores: FloatArray) -> FloatArray:
    """The logits.

    Raises:
        TrialError: they are not finite.
    """
    if not np.isfinite(scores).all():
        raise TrialError("its logits are not finite; a smaller learning rate may help")
    return scores


def head_of(folder: Path, wanted: Head) -> Head:
    """The head that a checkpoint gets: "mean" only for texts, and where its family classifies tokens at all."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES as FAMILIES

    has_it = modality_of(folder) == "text" and read_config(folder)["model_type"] in FAMILIES
    return "mean" if wanted == "mean" and has_it else "native"


def auto_class(head: Head, modality: Modality) -> str:
    """The name of the `transformers` class that loads a checkpoint with this head."""
    return f"AutoModel{MEAN_HEAD if head == 'mean' else HEADS[modality]}"


def open_headed(
    folder: Path,
    *,
    head: Head,
    max_length: int,
    precision: Precision = "float32",
    device: str = "cpu",
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> HeadedModel:
    """Opens a checkpoint with its own head, or with a fresh one for `classes` (none: for one number) by `seed`.

    Raises:
        CheckpointError: it does not load, or its family has no such head.
    """
    modality = modality_of(folder)
    preprocess = load_preprocessor(folder, modality)
    options = {} if classes is None else _fresh_head(classes)
    with seeded(seed, device):
        model = load_model(folder, auto_class(head, modality), fresh_head=classes is not None, **options).to(device)
    if modality == "text":
        # Heads that read the last token look for the padding by this id.
        model.config.get_text_config().pad_token_id = preprocess.pad_token_id
        max_length = token_limit(model, preprocess, max_length)
    return HeadedModel(model, preprocess, modality, head, max_length, precision, device)


def _fresh_head(classes: Sequence[str]) -> dict[str, Any]:
    """What a configuration says of a head for these classes, or for one number where there are none."""
    if not classes:
        return {"num_labels": 1, "problem_type": "regression", "ignore_mismatched_sizes": True}
    labels = dict(enumerate(classes))
    names = {name: i for i, name in labels.items()}
    return {"num_labels": len(labels), "id2label": labels, "label2id": names, "ignore_mismatched_sizes": True}


def encoder_and_head(model: Any) -> tuple[list[Any], list[Any]]:
    """The parameters of the encoder without its pooler, and all others, each in the model's order.

    Raises:
        CheckpointError: no head is found.
    """
    base = encoder_of(model)
    if base is not None:
        in_encoder = {id(p) for name, p in base.named_parameters() if "pooler" not in name}
    else:
        in_encoder = {id(p) for name, p in model.named_parameters() if name.split(".")[0] not in HEAD_MODULES}
    encoder = [p for p in model.parameters() if id(p) in in_encoder]
    head = [p for p in model.parameters() if id(p) not in in_encoder]
    if not head:
        raise CheckpointError(f"{type(model).__name__} shows no head that could be trained")
    return encoder, head


@contextlib.contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seeds torch's generators on the CPU and `device` for the block, and puts their states back."""
    with torch.random.fork_rng(devices=[device] if device != "cpu" else []):
        torch.default_generator.manual_seed(seed)
        if device != "cpu":
            torch.cuda.manual_seed(seed)
        yield
