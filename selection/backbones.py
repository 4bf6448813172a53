"""A checkpoint opened for reading: rows in, pooled features out, and source-head logits where it has a head.

Knows transformers folders, hub ids and plain Python callables. Does not know datasets, caches or scores.
Weights load from safetensors, or torch files with weights only; code from a checkpoint never runs.
"""

import contextlib
import hashlib
import json
import logging
import math
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from selection import hub
from selection.errors import CheckpointError
from selection.images import open_image
from selection.records import Modality, Precision

FloatArray = npt.NDArray[np.float32]

HEADS = {"text": "ForSequenceClassification", "image": "ForImageClassification"}
# What families call their head where they do not name their encoder.
HEAD_MODULES = frozenset({"classifier", "score", "head", "fc", "classification_head"})
WEIGHT_SUFFIXES = frozenset({".safetensors", ".bin"})
# A configuration is believed up to here: building what it asks for takes time and memory before any weight is read.
MAX_LAYERS = 1000
LAYER_COUNTS = re.compile(r".*(layers?|depths?|blocks)")
FREE_PARAMETERS = 10_000_000


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
        """A quarter of the characters, which is about the tokens (texts), or 1 (images)."""
        return [max(1, len(row) // 4) if isinstance(row, str) else 1 for row in rows]

    def embed(self, rows: Sequence[Any]) -> Embedded:
        """Calls the function and checks what it returns."""
        features = np.asarray(self._embed(list(rows)), dtype=np.float32)
        if features.ndim != 2 or features.shape[0] != len(rows) or not features.shape[1]:
            raise CheckpointError(
                f"{self.name}: the callable returned shape {features.shape}; wanted ({len(rows)}, D) for these rows"
            )
        return Embedded(features)


class TransformersBackbone:
    """A `transformers` checkpoint; features are the mean of the last hidden states over real tokens or places."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        max_length: int = 128,
        device: str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        """Opens the folder; `max_length` is in tokens, matrix products run in `precision`.

        Raises:
            CheckpointError: no checkpoint there, or weights missing or damaged.
        """
        config = read_config(folder)
        self.name = name
        self.modality = modality_of(folder)
        self._device, self._precision = device, precision
        self._preprocess = load_preprocessor(folder, self.modality)
        self._model, self._head = _load_with_source_head(folder, config, self.modality)
        self._model.to(device).eval()
        self._encoder = encoder_of(self._model) if self._head else self._model
        self.max_length = max_length
        if self.modality == "text":
            self.max_length = token_limit(self._model, self._preprocess, max_length)
            self._model.config.pad_token_id = self._preprocess.pad_token_id
        self.n_parameters = sum(p.numel() for p in self._model.parameters())
        self.digest = f"{folder_digest(folder)}-{max_length if self.modality == 'text' else 0}"
        if precision != "float32":
            self.digest += f"-{precision}"

    def lengths(self, rows: Sequence[Any]) -> list[int]:
        """Tokens of each text; 1 for an image."""
        if self.modality == "image":
            return [1] * len(rows)
        with quiet():
            encoded = self._preprocess(list(rows), truncation=True, max_length=self.max_length)
        return [len(ids) for ids in encoded["input_ids"]]

    def embed(self, rows: Sequence[Any]) -> Embedded:
        """Embeds a batch without gradients."""
        import torch

        from selection.hardware import autocast

        seen: list[Any] = []
        hook = self._encoder.register_forward_hook(lambda module, inputs, output: seen.append(output))
        try:
            with quiet(), torch.inference_mode(), autocast(self._device, self._precision):
                batch = encode(self._preprocess, self.modality, rows, self.max_length).to(self._device)
                output = self._model(**batch)
        finally:
            hook.remove()
        logits = output.logits.float().cpu().numpy() if self._head else None
        states = seen[-1].last_hidden_state.float()
        return Embedded(_pool(states, batch.get("attention_mask")).cpu().numpy(), logits)


def open_backbone(
    source: str | Path,
    *,
    name: str | None = None,
    max_length: int = 128,
    device: str = "cpu",
    precision: Precision = "float32",
    max_bytes: int = hub.DEFAULT_MAX_BYTES,
    say: Callable[[str], None] | None = None,
) -> TransformersBackbone:
    """Opens a transformers checkpoint folder or hub id. Features of another `precision` have another digest.

    Raises:
        CheckpointError: it is missing, gated, damaged or no checkpoint.
        BudgetError: the download is larger than `max_bytes`.
    """
    folder = checkpoint_folder(source, max_bytes=max_bytes, say=say)
    return TransformersBackbone(name or str(source), folder, max_length=max_length, device=device, precision=precision)


def checkpoint_folder(
    source: str | Path, *, max_bytes: int = hub.DEFAULT_MAX_BYTES, say: Callable[[str], None] | None = None
) -> Path:
    """The local folder of a checkpoint, downloaded if `source` is a hub id.

    Raises:
        CheckpointError: there is no such folder and no such model.
        BudgetError: the download is larger than `max_bytes`.
    """
    path = Path(source).expanduser()
    if path.is_dir() and str(source):
        read_config(path)
        return path
    if path.exists() or not hub.is_hub_id(str(source)):
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


def count_parameters(folder: Path) -> int | None:
    """Parameters of a folder's safetensors files, a head's too, out of their headers alone; None where there is none.

    Whoever opens the model counts exactly; a file that cannot be read is left for that.
    """
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as weights:
                total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
        except (SafetensorError, OSError):
            return None
    return total or None


def load_preprocessor(folder: Path, modality: Modality) -> Any:
    """The checkpoint's own tokenizer or image processor.

    Raises:
        CheckpointError: it has none, or it does not load.
    """
    import transformers

    loader = transformers.AutoTokenizer if modality == "text" else transformers.AutoImageProcessor
    try:
        with quiet():
            preprocess = loader.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises whatever its loaders raise
        raise CheckpointError(
            f"{folder}: its {loader.__name__[4:].lower()} does not load: {_first_line(error)}"
        ) from error
    if modality == "text":
        if len(preprocess) <= len(preprocess.all_special_tokens):  # transformers makes an empty one of no files
            raise CheckpointError(f"{folder} holds no vocabulary: wanted its tokenizer's files beside the weights")
        _pad_at_the_end(preprocess, folder)
    return preprocess


def _pad_at_the_end(preprocess: Any, folder: Path) -> None:
    """Padding before a text would move its tokens' positions in models that count from the batch's left edge."""
    preprocess.padding_side = "right"
    if preprocess.pad_token is None:
        preprocess.pad_token = preprocess.eos_token or preprocess.unk_token
    if preprocess.pad_token is None:
        raise CheckpointError(f"{folder}: its tokenizer has no token to pad with (padding, end of text or unknown)")


def load_model(folder: Path, auto_class: str, *, fresh_head: bool = True, **options: Any) -> Any:
    """Loads weights in float32 with `transformers.<auto_class>`, quietly; `fresh_head`: a head may be made anew.

    Code that a checkpoint brings along never runs. Only torch's state for random numbers decides a fresh head, and
    it is put back.

    With `ignore_mismatched_sizes` a fresh head may replace one of another shape.

    Raises:
        CheckpointError: weights are damaged or absent, any (but a fresh head's) is missing or of another shape, or
            config.json asks for far more of them than there are.
    """
    import torch
    import transformers

    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise CheckpointError(f"{folder} holds no weights: wanted *.safetensors or pytorch_model.bin")
    may_differ = options.pop("ignore_mismatched_sizes", False)
    try:
        _check_size(folder, auto_class)
        with quiet(), torch.random.fork_rng(devices=[]):
            model, info = getattr(transformers, auto_class).from_pretrained(
                str(folder),
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=True,
                weights_only=True,
                ignore_mismatched_sizes=True,  # told below, by name
                **options,
            )
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{folder} does not load as a checkpoint: its torch file is damaged, or holds pickled objects beside the "
            "weights, and unpickling those could run any code: ask its author for safetensors, or leave it out"
        ) from error
    except Exception as error:  # transformers and safetensors raise whatever their loaders raise
        raise CheckpointError(f"{folder} does not load as a checkpoint: {_first_line(error)}") from error
    differing = [one for one in info["mismatched_keys"] if not may_differ or _is_encoder_weight(model, one[0])]
    if differing:
        key, got, wanted = min(differing)
        raise CheckpointError(
            f"{folder} holds {len(differing)} weights of another shape than config.json says, the first is {key}: got "
            f"{tuple(got)}, wanted {tuple(wanted)}"
        )
    lacking = [key for key in info["missing_keys"] if not fresh_head or _is_encoder_weight(model, key)]
    if lacking:
        part = "its encoder" if fresh_head else auto_class
        raise CheckpointError(f"{folder} lacks {len(lacking)} weights of {part}, the first is {min(lacking)}")
    return model


def _check_size(folder: Path, auto_class: str) -> None:
    """Refuses a configuration that asks for far more than the weights' files can hold, before memory is spent on it.

    A model without storage is built for that; even this takes long with many layers, so those are counted first.

    Raises:
        CheckpointError: more than `MAX_LAYERS` layers, or more than two parameters for each byte.
    """
    import torch
    import transformers

    layers = _most_layers(read_config(folder))
    if layers > MAX_LAYERS:
        raise CheckpointError(f"{folder}/config.json asks for {layers:,} layers; wanted at most {MAX_LAYERS:,}")
    config = open_config(folder)
    with quiet(), torch.random.fork_rng(devices=[]), torch.device("meta"):
        empty = getattr(transformers, auto_class).from_config(config, trust_remote_code=False)
    n_parameters = sum(p.numel() for p in empty.parameters())
    n_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in WEIGHT_SUFFIXES)
    if n_parameters > 2 * n_bytes + FREE_PARAMETERS:
        raise CheckpointError(
            f"{folder}/config.json asks for {n_parameters:,} parameters and its weights are {n_bytes:,} bytes: the "
            "configuration is another model's, or the weights are not whole"
        )


def open_config(folder: Path) -> Any:
    """The checkpoint's configuration as `transformers` understands it; code that it brings along never runs."""
    import transformers

    return transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)


def _most_layers(config: Any) -> int:
    """The largest count of layers that a configuration names, at any depth; a list of counts is summed."""
    most = 0
    for key, value in config.items() if isinstance(config, dict) else ():
        counts = value if isinstance(value, list) else [value]
        if LAYER_COUNTS.fullmatch(key):
            most = max(most, sum(count for count in counts if isinstance(count, int)))
        most = max(most, _most_layers(value))
    return most


def encoder_of(model: Any) -> Any:
    """The encoder inside a model with a head; None where the model itself is the encoder, or names none."""
    return getattr(model, model.base_model_prefix, None) if model.base_model_prefix else None


def token_limit(model: Any, preprocess: Any, max_length: int) -> int:
    """`max_length`, or as many tokens as tokenizer and position table admit where those are fewer."""
    positions = int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 0)
    # Roberta's family counts positions from after its padding index.
    offset = max(
        (
            module.padding_idx + 1
            for name, module in model.named_modules()
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
        ),
        default=0,
    )
    limit = int(min(max_length, preprocess.model_max_length))
    return min(limit, positions - offset) if positions > offset else limit


def encode(preprocess: Any, modality: Modality, rows: Sequence[Any], max_length: int) -> Any:
    """One padded batch of tensors. Shapes: input_ids (B, T), T <= `max_length` tokens; pixel_values (B, 3, H, W)."""
    if modality == "text":
        return preprocess(list(rows), truncation=True, max_length=max_length, padding=True, return_tensors="pt")
    return preprocess([open_image(row) for row in rows], return_tensors="pt")


def folder_digest(folder: Path) -> str:
    """A digest of the configuration, preprocessing and weights files (16 hex digits).

    SHA-256, which processors have instructions for: 1.7 GB/s on a Zen 4 core, BLAKE2b .7.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and (path.suffix in WEIGHT_SUFFIXES or hub.SIDE_FILES.fullmatch(path.name)):
            digest.update(path.name.encode())
            with path.open("rb") as stream:
                while chunk := stream.read(1 << 22):
                    digest.update(chunk)
    return digest.hexdigest()[:16]


def _pool(hidden: Any, mask: Any) -> Any:
    if mask is not None and hidden.ndim == 3:  # (B, T, D): mean over real tokens
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    if hidden.ndim == 4:  # (B, D, H, W): mean over places
        return hidden.mean((2, 3))
    return hidden.mean(1) if hidden.ndim == 3 else hidden


def _load_with_source_head(folder: Path, config: dict[str, Any], modality: Modality) -> tuple[Any, bool]:
    """The model, and whether it has a classification head whose logits can be read beside the encoder's states."""
    architectures = config.get("architectures") or [""]
    if str(architectures[0]).endswith(HEADS[modality]):
        model = load_model(folder, f"AutoModel{HEADS[modality]}")
        if encoder_of(model) is not None:
            return model, True
    model = load_model(folder, "AutoModel")
    return (model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model), False


def _is_encoder_weight(model: Any, key: str) -> bool:
    """Pooler and head may be made afresh, nothing else."""
    if "pooler" in key:
        return False
    if encoder_of(model) is not None:
        return key.startswith(f"{model.base_model_prefix}.")
    return key.split(".")[0] not in HEAD_MODULES


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' reports and bars off the terminal meanwhile, and puts its settings back."""
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
