"""Tensors in a file, whole or not at all: states of trials and what they share. Knows files and torch's format."""

import errno
import os
from pathlib import Path
from typing import Any

import torch

from selection.errors import TrialError


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
