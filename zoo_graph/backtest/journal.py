"""The append-only file of a backtest: one judged ranking a line, on disk before it is told.

A last line torn by a crash is dropped; of several lines with one key the last counts. One writer at a time.
"""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from zoo_graph.backtest.records import Record
from zoo_graph.errors import InputError

NAME = "backtest.jsonl"


class Journal:
    """`backtest.jsonl` in a folder, held open and locked. A context manager.

    Raises:
        InputError: the folder belongs to a backtest now going on, or the file is damaged before its end.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def __enter__(self) -> "Journal":
        import fcntl

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._path.open("a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._stream.close()
            raise InputError(
                f"{self._path.parent} is in use by another backtest: wait for it or give another folder"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def read(self) -> dict[str, Record]:
        """Every record by its key."""
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._stream.truncate(whole)
        return dict(self._line(number, line) for number, line in enumerate(content[:whole].splitlines(), 1))

    def _line(self, number: int, line: bytes) -> tuple[str, Record]:
        try:
            fields = json.loads(line)
            row = fields["record"]
            metrics = {name: math.nan if value is None else float(value) for name, value in row.pop("metrics").items()}
            return fields["key"], Record(metrics=metrics, **row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"got {line[:60]!r} in line {number} of {self._path}, wanted a record of a backtest: the file was "
                "changed or damaged; remove that line, or give another folder"
            ) from error

    def append(self, key: str, record: Record) -> None:
        """Adds the record, durably."""
        row = asdict(record)
        row["metrics"] = {name: value if math.isfinite(value) else None for name, value in record.metrics.items()}
        self._stream.write(json.dumps({"key": key, "record": row}).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())
