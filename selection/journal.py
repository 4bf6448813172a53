"""The append-only log of a race: one JSON object a line, on disk before the next thing happens.

The first line holds the plan and a digest of what the decisions depend on (dataset and plan, not the estimated
seconds); the others are `race.Event`s in the order they happened. A last line torn by a crash is dropped. The writer
must hold the folder's lock (`runner`); readers need none.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from selection.errors import InputError
from selection.race import CutOff, Decided, Event, Failed, Finished, Probed, Revived, Tested, Trained
from selection.records import Candidate, Failure, Plan, Progress, Recipe, Rung, Trend, Trial

FORMAT = 3
NAME = "journal.jsonl"
EVENTS: dict[str, Callable[..., Event]] = {
    "probed": Probed,
    "trained": Trained,
    "failed": Failed,
    "decided": Decided,
    "revived": Revived,
    "cut off": CutOff,
    "tested": Tested,
    "finished": Finished,
}
_KINDS = {kind: name for name, kind in EVENTS.items()}


@dataclass(frozen=True, slots=True)
class Header:
    """What a race is about. `dataset_digest` stands for the rows and splits it trains and scores on."""

    dataset: str
    dataset_digest: str
    plan: Plan
    n_validation: int | None = None
    n_test: int | None = None

    @property
    def digest(self) -> str:
        """24 hex digits of dataset, candidates, recipes, policy and rungs. Estimated seconds do not count, nor do
        probes, recall and trend: those of the first call are in the journal."""
        trials = [
            {**asdict(replace(trial, probe=None, recalled=None)), "recipe": trial.recipe.identity()}
            for trial in self.plan.trials
        ]
        rungs = [(rung.n_candidates, rung.n_survivors, rung.until_step) for rung in self.plan.rungs]
        inputs = [FORMAT, self.dataset, self.dataset_digest, trials, rungs, self.plan.policy, self.plan.price]
        return hashlib.blake2b(json.dumps(inputs, sort_keys=True).encode(), digest_size=12).hexdigest()


class Journal:
    """An open journal. `events` is what it holds; `append` returns once the event is on disk."""

    def __init__(self, path: Path, header: Header, events: list[Event]) -> None:
        self.path = path
        self.header = header
        self._events = events

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything that happened, in order."""
        return tuple(self._events)

    def append(self, event: Event) -> None:
        """Adds the event, durably."""
        _write(self.path, {"event": _KINDS[type(event)], **asdict(event)}, "a")
        self._events.append(event)


def open_journal(folder: Path, header: Header) -> Journal:
    """The journal in `folder`, begun with this header where there is none.

    Raises:
        InputError: the journal there is of another dataset or plan, of another format, or damaged before its end.
    """
    path = folder / NAME
    recorded, events = _read(path, repair=True)
    if recorded is None:
        _write(path, {"format": FORMAT, "digest": header.digest, **asdict(header)}, "w")
        sync_folder(folder)
        return Journal(path, header, [])
    if recorded.digest != header.digest:
        raise InputError(
            f"got a selection on {header.dataset} (digest {header.digest}), but {path} records one on "
            f"{recorded.dataset} (digest {recorded.digest}): to start over choose another folder, to go on with the "
            "recorded one use its own dataset, candidates and plan"
        )
    return Journal(path, recorded, events)


def recorded_plan(folder: Path) -> Plan | None:
    """The plan of the selection begun in `folder`, to go on with it; None where none was begun.

    Raises:
        InputError: the journal is of another format, or damaged before its end.
    """
    header, _ = _read(folder / NAME, repair=False)
    return header.plan if header else None


def is_finished(folder: Path) -> bool:
    """Whether the selection in `folder` has come to its end.

    Raises:
        InputError: as `recorded_plan`.
    """
    return any(isinstance(event, Finished) for event in _read(folder / NAME, repair=False)[1])


def _write(path: Path, line: dict[str, Any], mode: str) -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.write(json.dumps(_without_nan(line), ensure_ascii=False, default=float) + "\n")
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the folder's own entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, *, repair: bool) -> tuple[Header | None, list[Event]]:
    """What the journal holds; `repair` cuts a torn last line off the file, so that the next one starts clean."""
    content = path.read_bytes() if path.exists() else b""
    whole, newline, torn = content.rpartition(b"\n")
    if torn and repair:
        os.truncate(path, len(whole) + len(newline))
    lines = whole.split(b"\n") if newline else []
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1)]
    if not rows:
        return None, []
    return _header(path, rows[0]), [_event(path, number, row) for number, row in enumerate(rows[1:], 2)]


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise _damaged(path, number, line)
    return row


def _header(path: Path, row: dict[str, Any]) -> Header:
    if row.get("format") != FORMAT:
        raise InputError(
            f"got a journal of format {row.get('format')} in {path}, wanted {FORMAT}: "
            "go on with the version that began it, or choose another folder"
        )
    try:
        return Header(row["dataset"], row["dataset_digest"], _plan(row["plan"]), row["n_validation"], row["n_test"])
    except (KeyError, TypeError) as error:
        raise _damaged(path, 1, repr(row).encode()) from error


def _event(path: Path, number: int, row: dict[str, Any]) -> Event:
    try:
        kind = EVENTS[row.pop("event")]
        if row.get("progress") is not None:
            row["progress"] = _progress(row["progress"])
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})
    except (KeyError, TypeError) as error:
        raise _damaged(path, number, repr(row).encode()) from error


def _damaged(path: Path, number: int, line: bytes) -> InputError:
    return InputError(
        f"got {line[:60]!r} in line {number} of {path}, wanted an event of a selection: the file was changed or "
        "damaged; choose another folder to start over"
    )


def _progress(row: dict[str, Any]) -> Progress:
    curve = tuple(math.nan if score is None else score for score in row["curve"])
    return Progress(**{**row, "curve_steps": tuple(row["curve_steps"]), "curve": curve})


def _plan(row: dict[str, Any]) -> Plan:
    trend, clusters = row["trend"], row["clusters"]
    parts = {
        "trials": tuple(_trial(trial) for trial in row["trials"]),
        "rungs": tuple(Rung(**rung) for rung in row["rungs"]),
        "failures": tuple(Failure(**one) for one in row["failures"]),
        "trend": None if trend is None else Trend(**{name: _frozen(value) for name, value in trend.items()}),
        "clusters": _frozen(clusters),
    }
    return Plan(**{**{name: _frozen(value) for name, value in row.items()}, **parts})


def _trial(row: dict[str, Any]) -> Trial:
    return Trial(
        **{**row, "candidate": Candidate(**row["candidate"]), "recipe": Recipe(**row["recipe"]),
           "eval_steps": tuple(row["eval_steps"])}
    )  # fmt: skip


def _frozen(value: Any) -> Any:
    """JSON's lists as the tuples they were, all the way down."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _without_nan(value: Any) -> Any:
    """JSON has no nan; null stands for it."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
