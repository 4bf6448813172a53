"""Downloads a checkpoint from the Hugging Face hub: its size is known first, and a byte budget is kept to.

Knows the hub's client. Does not know what a checkpoint is for.
"""

import contextlib
import errno
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from selection.errors import BudgetError, CheckpointError, SelectionError

logger = logging.getLogger(__name__)

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?")
DEFAULT_MAX_BYTES = 2_000_000_000
# Configuration and vocabulary; no code.
SIDE_FILES = re.compile(r".*\.(json|txt|model|codes)|(tokenizer|vocab|merges)[^.]*")
# The names transformers loads, best first: a repository may hold the same weights several times.
WEIGHTS = (
    re.compile(r"model(-\d+-of-\d+)?\.safetensors"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin"),
)


def is_hub_id(source: str) -> bool:
    """Whether `source` has the form of a hub id: `org/name` or `org/name@revision`."""
    return HUB_ID.fullmatch(source) is not None


def cached_folder(source: str) -> Path | None:
    """The folder of the hub's cache that holds all of the checkpoint `org/name[@revision]`, or None; asks nobody."""
    name, _, revision = source.partition("@")
    return _cached(name, revision or None, source)


def download(source: str, *, max_bytes: int = DEFAULT_MAX_BYTES, say: Callable[[str], None] | None = None) -> Path:
    """Downloads the checkpoint `org/name[@revision]` (or finds it in the hub's cache) and returns its folder.

    `say` is told the size before the first byte is fetched; files already in the cache cost nothing. Without the hub
    (offline) what the cache holds is used.

    Raises:
        BudgetError: the files to fetch are larger than `max_bytes`, or their size is not known beforehand.
        CheckpointError: the hub does not hold it, guards it, cannot be reached, or has no weights for it.
        OSError: the disk is full.
    """
    from huggingface_hub import errors

    name, _, revision = source.partition("@")
    try:
        return _download(source, name, revision or None, max_bytes, say or logger.info)
    except SelectionError:
        raise
    except errors.GatedRepoError as error:
        raise CheckpointError(f"{source} is gated: accept its terms on the hub and log in, or leave it out") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(f"the hub holds no model {source!r} (or it is private): check the spelling") from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"the hub's {name} has no revision {revision!r}: check the spelling") from error
    except errors.HFValidationError as error:
        raise CheckpointError(f"{source!r} is no folder here and cannot be a hub id: {error}") from error
    except Exception as error:  # the client passes on whatever its HTTP library raises
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        cached = _cached(name, revision or None, source)
        if cached is not None:
            return cached
        raise CheckpointError(
            f"{source} is no folder here and the hub could not be reached ({type(error).__name__}): give a "
            "transformers checkpoint folder, or try again when online"
        ) from error


def _download(source: str, name: str, revision: str | None, max_bytes: int, say: Callable[[str], None]) -> Path:
    import huggingface_hub

    info = huggingface_hub.model_info(name, revision=revision, files_metadata=True)
    sizes = _needed({s.rfilename: s.size for s in info.siblings or ()}, source)
    new = {
        file: size
        for file, size in sizes.items()
        if not isinstance(huggingface_hub.try_to_load_from_cache(name, file, revision=info.sha), str)
    }
    unknown = [file for file, size in new.items() if size is None]
    if unknown:
        raise BudgetError(f"{source}: the hub does not tell the size of {unknown[0]}; download it yourself")
    n_bytes = sum(size or 0 for size in new.values())
    if n_bytes > max_bytes:
        raise BudgetError(
            f"{source} needs {n_bytes / 1e6:,.0f} MB and the budget is {max_bytes / 1e6:,.0f} MB; raise it with "
            "--max-download or leave this model out"
        )
    if new:
        say(f"{source}: {n_bytes / 1e6:,.0f} MB in {len(new)} files")
    with _without_bars():  # by the revision's own name, so that the cache finds it by that name when offline
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=sorted(sizes)))


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Keeps the client's progress bars off the terminal, and puts its setting back."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _cached(name: str, revision: str | None, source: str) -> Path | None:
    """The cache's folder where it holds all that is needed; None where it does not."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        config = huggingface_hub.try_to_load_from_cache(name, "config.json", revision=revision)
        if not isinstance(config, str):
            return None
        folder = Path(config).parent
        _needed({path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}, source)
    except (errors.HFValidationError, CheckpointError, OSError):
        return None
    return folder


def _needed(sizes: dict[str, int | None], source: str) -> dict[str, int | None]:
    """The files a checkpoint is loaded from, of all the repository's files."""
    top = {name: size for name, size in sizes.items() if "/" not in name}
    weights = next((found for pattern in WEIGHTS if (found := _matching(top, pattern))), {})
    if not weights or "config.json" not in top:
        raise CheckpointError(
            f"{source} holds no config.json with safetensors or torch weights; it has {len(sizes)} files"
        )
    return {**_matching(top, SIDE_FILES), **weights}


def _matching(sizes: dict[str, int | None], pattern: re.Pattern[str]) -> dict[str, int | None]:
    return {name: size for name, size in sizes.items() if pattern.fullmatch(name)}
