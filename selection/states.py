"""Tensors in a file, whole or not at all: states of trials and what they share. Knows files and torch's format."""

import errno
import logging
import os
from pathlib import Path
from typing import Any

import torch

from selection.errors import TrialError

logger = logging.getLogger(__name__)


def has_state(path: Path) -> bool:
    """Whether what `write_state` wrote lies at `path`; where that is damaged it is removed, and the log says so.

    Looks at the file's table of contents and structure only, not at its tensors.

    Raises:
        PermissionError: the file may not be read.
    """
    if not path.exists():
        return False
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except PermissionError:
        raise
    except Exception as error:  # as `read_state`; of a torn file also an OSError
        logger.warning("%s does not load and is removed; what it held is made anew: %s", path, error)
        path.unlink(missing_ok=True)
        return False
    return True


def read_state(path: Path, device: str) -> Any:
    """What `write_state` wrote, on a device.

    Raises:
        TrialError: the file is damaged.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch's reader raises what its unpickler, its archive or the system raises
        raise TrialError(f"its saved state {path.name} does not load: {error}") from error


def write_state(path: Path, state: Any) -> None:
    """Writes to `path`, on disk before it returns.

    Raises:
        OSError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name("state.part")
    with draft.open("wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:  # torch's writer says no more than that a write failed
            raise OSError(errno.EIO, f"the state could not be written: {error}", str(draft)) from error
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
