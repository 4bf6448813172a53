"""A checkpoint opened for reading: rows in, pooled features out, and source-head logits where it has a head.

Knows transformers folders, hub ids and plain Python callables. Does not know datasets, caches or scores.
Weights load from safetensors, or torch files with weights only; code from a checkpoint never runs.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from selection import hub
from selection.errors import CheckpointError
from selection.records import Modality

FloatArray = npt.NDArray[np.float32]

HEADS = {"text": "ForSequenceClassification", "image": "ForImageClassification"}


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Shapes: `features` (B, D) float32; `logits` (B, source classes) float32, or None without a source head."""

    features: FloatArray
    logits: FloatArray | None = None


class Backbone(Protocol):
    """Anything that embeds rows. `digest` names weights and preprocessing, so equal digests give equal features."""

    name: str
    modality: Modality
    digest: str
    n_parameters: int | None

    def lengths(self, rows: Sequence[Any]) -> list[int]:
        """The cost of each row in its own unit (tokens; 1 for an image), to batch like with like."""
        ...

    def embed(self, rows: Sequence[Any]) -> Embedded:
        """Embeds one batch.

        Raises:
            CheckpointError: the checkpoint fails on these rows.
        """
        ...


class CallableBackbone:
    """A Python function `rows -> (B, D)` as a backbone; `digest` must change when the function's answers do."""

    def __init__(
        self,
        name: str,
        embed: Callable[[list[Any]], npt.ArrayLike],
        *,
        modality: Modality = "text",
        digest: str,
        n_parameters: int | None = None,
    ) -> None:
        self.name = name
        self.modality = modality
        self.digest = digest
        self.n_parameters = n_parameters
        self._embed = embed

    def lengths(self, rows: Sequence[Any]) -> list[int]:
        """The number of characters (texts) or 1 (images)."""
        return [len(row) if isinstance(row, str) else 1 for row in rows]

    def embed(self, rows: Sequence[Any]) -> Embedded:
        """Calls the function and checks what it returns."""
        features = np.asarray(self._embed(list(rows)), dtype=np.float32)
        if features.ndim != 2 or features.shape[0] != len(rows):
            raise CheckpointError(
                f"{self.name}: the callable returned shape {features.shape}; wanted ({len(rows)}, D) for these rows"
            )
        return Embedded(features)


class TransformersBackbone:
    """A `transformers` checkpoint; features are the mean of the last hidden states over real tokens or places."""

    def __init__(self, name: str, folder: Path, *, max_length: int = 128, device: str = "cpu") -> None:
        """Opens the folder; `max_length` is in tokens.

        Raises:
            CheckpointError: no checkpoint there, or weights missing or damaged.
        """
        config = read_config(folder)
        self.name = name
        self.modality = modality_of(folder)
        self.max_length = max_length
        self._device = device
        self._preprocess = load_preprocessor(folder, self.modality)
        self._head = _source_head(config, self.modality)
        self._model = load_model(folder, self._head or "AutoModel").to(device).eval()
        self.n_parameters = sum(p.numel() for p in self._model.parameters())
        self.digest = f"{folder_digest(folder)}-{max_length if self.modality == 'text' else 0}"

    def lengths(self, rows: Sequence[Any]) -> list[int]:
        """Tokens of each text; 1 for an image."""
        if self.modality == "image":
            return [1] * len(rows)
        encoded = self._preprocess(list(rows), truncation=True, max_length=self.max_length)
        return [len(ids) for ids in encoded["input_ids"]]

    def embed(self, rows: Sequence[Any]) -> Embedded:
        """Embeds a batch without gradients."""
        import torch

        batch = encode(self._preprocess, self.modality, rows, self.max_length).to(self._device)
        with torch.inference_mode():
            output = self._model(**batch, output_hidden_states=self._head is not None)
        logits = output.logits.float().cpu().numpy() if self._head else None
        return Embedded(_pool(output, batch.get("attention_mask")).float().cpu().numpy(), logits)


def open_backbone(
    source: str | Path,
    *,
    name: str | None = None,
    max_length: int = 128,
    device: str = "cpu",
    max_bytes: int = hub.DEFAULT_MAX_BYTES,
    say: Callable[[str], None] | None = None,
) -> TransformersBackbone:
    """Opens a transformers checkpoint folder or hub id.

    Raises:
        CheckpointError: it is missing, gated, damaged or no checkpoint.
        BudgetError: the download is larger than `max_bytes`.
    """
    folder = checkpoint_folder(source, max_bytes=max_bytes, say=say)
    return TransformersBackbone(name or str(source), folder, max_length=max_length, device=device)


def checkpoint_folder(
    source: str | Path, *, max_bytes: int = hub.DEFAULT_MAX_BYTES, say: Callable[[str], None] | None = None
) -> Path:
    """The local folder of a checkpoint, downloaded if `source` is a hub id.

    Raises:
        CheckpointError: there is no such folder and no such model.
        BudgetError: the download is larger than `max_bytes`.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        read_config(path)
        return path
    if path.is_file() or not hub.is_hub_id(str(source)):
        raise CheckpointError(
            f"no checkpoint at {str(source)!r}: wanted a folder with config.json and weights, or a hub id org/name"
        )
    return hub.download(str(source), max_bytes=max_bytes, say=say)


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json.

    Raises:
        CheckpointError: it is missing, or is no transformers configuration.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing"
        raise CheckpointError(f"{folder} is no checkpoint: wanted config.json, found {found}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}/config.json cannot be read: {error}") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise CheckpointError(f"{folder}/config.json names no model_type: wanted a transformers configuration")
    return config


def modality_of(folder: Path) -> Modality:
    """Text or image, by the preprocessing files beside the weights."""
    if (folder / "preprocessor_config.json").exists() and not any(folder.glob("tokenizer*")):
        return "image"
    return "text"


def load_preprocessor(folder: Path, modality: Modality) -> Any:
    """The checkpoint's own tokenizer or image processor.

    Raises:
        CheckpointError: it has none, or it does not load.
    """
    import transformers

    loader = transformers.AutoTokenizer if modality == "text" else transformers.AutoImageProcessor
    try:
        preprocess = loader.from_pretrained(str(folder))
    except Exception as error:  # transformers raises whatever its loaders raise
        raise CheckpointError(
            f"{folder}: its {loader.__name__[4:].lower()} does not load: {_first_line(error)}"
        ) from error
    if modality == "text" and preprocess.pad_token is None:
        preprocess.pad_token = preprocess.eos_token or preprocess.unk_token
    return preprocess


def load_model(folder: Path, auto_class: str, **options: Any) -> Any:
    """Loads weights in float32 with `transformers.<auto_class>`, quietly; a freshly made head is allowed.

    Raises:
        CheckpointError: weights are damaged, absent, or most of the encoder's are missing.
    """
    import torch
    import transformers

    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise CheckpointError(f"{folder} holds no weights: wanted *.safetensors or pytorch_model.bin")
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            model, info = getattr(transformers, auto_class).from_pretrained(
                str(folder), dtype=torch.float32, output_loading_info=True, **options
            )
    except Exception as error:  # transformers and safetensors raise whatever their loaders raise
        raise CheckpointError(f"{folder} does not load as a checkpoint: {_first_line(error)}") from error
    missing = [key for key in info["missing_keys"] if not _is_head_weight(key)]
    if missing:
        raise CheckpointError(f"{folder} lacks {len(missing)} weights of its encoder, the first is {missing[0]}")
    return model


def encode(preprocess: Any, modality: Modality, rows: Sequence[Any], max_length: int) -> Any:
    """One padded batch of tensors. Shapes: input_ids (B, T), T <= `max_length` tokens; pixel_values (B, 3, H, W)."""
    if modality == "text":
        return preprocess(list(rows), truncation=True, max_length=max_length, padding=True, return_tensors="pt")
    return preprocess([open_image(row) for row in rows], return_tensors="pt")


def open_image(row: Any) -> Any:
    """An RGB image of a path, an array or an image.

    Raises:
        CheckpointError: the file is no image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(row) if isinstance(row, (str, Path)) else row
        image = image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))
        return image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise CheckpointError(f"{row} is no image that can be read: {error}") from error


def folder_digest(folder: Path) -> str:
    """A digest of the configuration, preprocessing and weights files (16 hex digits)."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in {".json", ".txt", ".safetensors", ".bin", ".model"}:
            digest.update(path.name.encode())
            with path.open("rb") as stream:
                while chunk := stream.read(1 << 22):
                    digest.update(chunk)
    return digest.hexdigest()


def _pool(output: Any, mask: Any) -> Any:
    hidden = output.hidden_states[-1] if getattr(output, "hidden_states", None) else output.last_hidden_state
    if mask is not None and hidden.ndim == 3:  # (B, T, D): mean over real tokens
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    if hidden.ndim == 4:  # (B, D, H, W): mean over places
        return hidden.mean((2, 3))
    return hidden.mean(1)


def _source_head(config: dict[str, Any], modality: Modality) -> str | None:
    architectures = config.get("architectures") or [""]
    return f"AutoModel{HEADS[modality]}" if str(architectures[0]).endswith(HEADS[modality]) else None


def _is_head_weight(key: str) -> bool:
    return any(part in key for part in ("pooler", "classifier", "score.", "head"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers' loading reports and bars off the terminal, and puts its settings back."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
