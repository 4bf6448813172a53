"""Keeps what trials have on disk within a byte budget: states of paused trials give way, the worst ranked first.

Knows folders, bytes and how large a trial's state may be. Does not know who ranks where.
"""

import errno
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from selection.errors import BudgetError
from selection.records import Trial

_log = logging.getLogger(__name__)

# Of what is free on the disk and what the race holds there.
DEFAULT_SHARE = 0.5
# Weights and AdamW's two moments in float32.
STATE_BYTES_PER_PARAMETER = 12
# Heads, and adapters of a low rank, are small beside the encoder.
SMALL_STATE_SHARE = 0.1
# Adapters' parameters by rank and the root of the encoder's: in L layers of 12 w^2 weights each they are 18 w for each
# rank, so 5.2 sqrt(L) in all; this is for more than 30 layers.
ADAPTER_SHARE = 30.0
SLACK_BYTES = 1 << 20
SAVED_BYTES_PER_PARAMETER = 4
# Vocabularies of hundreds of thousands of words.
SAVED_SLACK_BYTES = 20 << 20
# Full, over a quota, mounted read-only, or failing. Whoever opens a checkpoint translates what it cannot read there.
_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


@dataclass(slots=True)
class DiskBudget:
    """The bytes that `folder` may hold; `discard` frees a trial's folder. Room is set aside for trials that run."""

    n_bytes: int
    folder: Path
    discard: Callable[[Path], None]
    _taken: dict[Path, int] = field(default_factory=dict)

    def admit(self, own: Path, growth_bytes: int, worst_first: Iterable[Path]) -> bool:
        """Sets room aside for a trial that grows by so much; others give way in this order, but for those that run.

        False where that does not suffice. Room is then set aside all the same where no other runs, for it runs anyway.
        """
        self._taken.pop(own, None)
        needed = folder_bytes(own) + growth_bytes
        others = sum(max(taken, folder_bytes(path)) - folder_bytes(path) for path, taken in self._taken.items())
        room = self.n_bytes - others - folder_bytes(self.folder) + folder_bytes(own)
        for path in worst_first:
            if needed <= room:
                break
            if path != own and path not in self._taken:
                room += self._freed(path)
        fits = needed <= room
        if fits or not self._taken:
            self._taken[own] = needed
        return fits

    def is_shared(self, own: Path) -> bool:
        """Whether room is set aside for others."""
        return bool(self._taken.keys() - {own})

    def release(self, own: Path) -> None:
        """The trial has ended or paused: what it holds now is all it takes."""
        self._taken.pop(own, None)

    def _freed(self, path: Path) -> int:
        before = folder_bytes(path)
        if before:
            self.discard(path)
        freed = before - folder_bytes(path)
        if freed > 0:
            _log.info("%s gave way on disk: %d bytes; it starts anew if it is wanted again", path.name, freed)
        return freed


def check_budget(n_bytes: int, trials: Iterable[Trial], features_bytes: int = 0) -> None:
    """Passes a budget in which each of these trials fits alone, with so many bytes of features.

    Raises:
        BudgetError: it is too small for one.
    """
    for trial in trials:
        state = state_bytes(trial)
        needed = state + max(growth_bytes(trial, state), saved_bytes(trial)) + features_bytes
        if needed > n_bytes:
            raise BudgetError(
                f"got a disk budget of {n_bytes / 1e6:.0f} MB; wanted at least {needed / 1e6:.0f} MB, what "
                f"{trial.candidate.model} takes alone while its state is replaced or saved: give more, or leave it out"
            )


def state_bytes(trial: Trial) -> int:
    """At most how large a trial's state is expected to be; 0 where its parameters are not known."""
    n_parameters, recipe = trial.candidate.n_parameters, trial.recipe
    if not n_parameters:
        return 0
    trained = n_parameters if recipe.method == "full" else SMALL_STATE_SHARE * n_parameters
    if recipe.method == "lora":
        trained = max(trained, ADAPTER_SHARE * recipe.lora_rank * math.sqrt(n_parameters))
    return round(STATE_BYTES_PER_PARAMETER * trained) + SLACK_BYTES


def growth_bytes(trial: Trial, state: int) -> int:
    """How much a trial's folder may grow while it trains: a state is whole before it replaces the one before.

    In a search among rates the best so far stays beside the one tried.
    """
    return 2 * state if trial.recipe.rate_factors else state


def saved_bytes(trial: Trial) -> int:
    """At most how large the trial's saved checkpoint is expected to be; 0 where its parameters are not known."""
    n_parameters = trial.candidate.n_parameters
    return SAVED_BYTES_PER_PARAMETER * n_parameters + SAVED_SLACK_BYTES if n_parameters else 0


def is_disk_error(error: object) -> TypeGuard[OSError]:
    """Whether it says that the disk takes no more: no trial's fault, and mended before going on."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRNOS


def default_budget(folder: Path) -> int:
    """Half of what is free where the folder is, and of what it holds."""
    return round(DEFAULT_SHARE * (shutil.disk_usage(folder).free + folder_bytes(folder)))


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder, at any depth; 0 where there is none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # others write there
                total += os.lstat(os.path.join(place, name)).st_size
    return total
