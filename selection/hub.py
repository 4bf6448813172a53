"""Downloads a checkpoint from the Hugging Face hub: its size is known first, and a byte budget is kept to.

Knows the hub's client. Does not know what a checkpoint is for.
"""

import logging
import re
from collections.abc import Callable
from pathlib import Path

from selection.errors import BudgetError, CheckpointError

logger = logging.getLogger(__name__)

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?")
DEFAULT_MAX_BYTES = 2_000_000_000
# Configuration, vocabulary and safetensors weights; torch files only where there are no safetensors.
SIDE_FILES = ("*.json", "*.txt", "*.model", "tokenizer*", "vocab*", "merges*")


def is_hub_id(source: str) -> bool:
    """Whether `source` has the form of a hub id: `org/name` or `org/name@revision`."""
    return HUB_ID.fullmatch(source) is not None


def download(source: str, *, max_bytes: int = DEFAULT_MAX_BYTES, say: Callable[[str], None] | None = None) -> Path:
    """Downloads the checkpoint `org/name[@revision]` (or finds it in the hub's cache) and returns its folder.

    `say` is told the size before the first byte of weights is fetched.

    Raises:
        BudgetError: the files needed are larger than `max_bytes`.
        CheckpointError: the hub does not hold it, guards it, cannot be reached, or has no weights for it.
    """
    import huggingface_hub
    from huggingface_hub import errors

    name, _, revision = source.partition("@")
    try:
        info = huggingface_hub.model_info(name, revision=revision or None, files_metadata=True)
        sizes = _needed({s.rfilename: s.size or 0 for s in info.siblings or ()}, source)
        n_bytes = sum(sizes.values())
        if n_bytes > max_bytes:
            raise BudgetError(
                f"{source} needs {n_bytes / 1e6:,.0f} MB and the budget is {max_bytes / 1e6:,.0f} MB; raise it with "
                "--max-download or leave this model out"
            )
        (say or logger.info)(f"{source}: {n_bytes / 1e6:,.0f} MB in {len(sizes)} files")
        return Path(huggingface_hub.snapshot_download(name, revision=info.sha, allow_patterns=sorted(sizes)))
    except errors.GatedRepoError as error:
        raise CheckpointError(f"{source} is gated: accept its terms on the hub and log in, or leave it out") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(f"the hub holds no model {source!r} (or it is private): check the spelling") from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        cached = _cached(name, revision)
        if cached is not None:
            return cached
        raise CheckpointError(
            f"{source} is no folder here and the hub could not be reached ({type(error).__name__}): give a "
            "transformers checkpoint folder, or try again when online"
        ) from error


def _cached(name: str, revision: str) -> Path | None:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision or None, local_files_only=True))
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, OSError):
        return None


def _needed(sizes: dict[str, int], source: str) -> dict[str, int]:
    top = {name: size for name, size in sizes.items() if "/" not in name}
    weights = {n: s for n, s in top.items() if n.endswith(".safetensors")}
    weights = weights or {n: s for n, s in top.items() if re.fullmatch(r"pytorch_model.*\.bin", n)}
    if not weights or "config.json" not in top:
        raise CheckpointError(
            f"{source} holds no config.json with safetensors or torch weights; it has {len(sizes)} files"
        )
    side = {n: s for n, s in top.items() if any(Path(n).match(pattern) for pattern in SIDE_FILES)}
    return {**side, **weights}
