"""Where a selection lives: its folder, held by one process at a time, and the folders of its trials."""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selection.errors import InputError
from selection.records import Trial


def check_folder(folder: Path) -> None:
    """Passes a folder that a selection can live in, or that can be made.

    Raises:
        InputError: a file stands in its place or above it, or it cannot be written.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"got the folder {folder}, but {there} is a file; wanted a new folder, or one of a selection")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"got the folder {folder}, but {there} cannot be written; wanted one that you may write to")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder for this process alone; the system lets go of it when the process ends, however it ends.

    Raises:
        InputError: another process holds it.
    """
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise InputError(
                f"got {folder}, in use by process {file.read().strip() or 'unknown'}, wanted a folder that no other "
                "selection is using: wait for that one, or choose another folder"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def drop_drafts(folder: Path) -> None:
    """Removes what a kill left half-written: trials' files on their way to their names (`*.part`), a winner not saved.

    On disk they would count as if someone still wanted them. The caller holds the folder.
    """
    for path in folder.glob("trials/**/*.part"):
        path.unlink(missing_ok=True)
    for path in folder.glob("best.partial*"):
        shutil.rmtree(path, ignore_errors=True)


def trial_folder(folder: Path, trial: Trial) -> Path:
    """Where a trial keeps its files: a readable name, and a digest of its candidate and recipe."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", trial.candidate.model).strip("._")[-60:]
    digest = hashlib.blake2b(repr((trial.candidate, trial.recipe)).encode(), digest_size=4).hexdigest()
    return folder / "trials" / f"{readable}-{digest}"
