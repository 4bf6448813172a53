"""What the command line shows: tables, progress and errors. Results go to stdout, everything else to stderr."""

import contextlib
import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from selection.records import Candidate

T = TypeVar("T")

FAILED, UNUSABLE, STOPPED = 1, 2, 130


def say(text: str) -> None:
    """Tells the user something beside the result."""
    print(text, file=sys.stderr, flush=True)


def show(lines: Iterable[str]) -> None:
    """Prints lines of the result."""
    for line in lines:
        print(line)
    sys.stdout.flush()


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Ends the process with a sentence and its exit code when an expected error comes through."""
    try:
        yield
    except KeyboardInterrupt:
        say("zoo: stopped; the same command goes on from here")
        sys.exit(STOPPED)
    except BrokenPipeError:
        # The reader of our output has gone (`zoo query ... | head`): nothing left to say, nor to flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        say(f"zoo: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(FAILED)
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        say(f"zoo: {error}")
        sys.exit(code)


def _exit_code(error: Exception) -> int | None:
    """How to end after an error raised on purpose: by whether the work failed or the input is at fault; else None."""
    from selection.errors import SelectionError, TrialError
    from zoo_graph.errors import PackageError, QueryLimitError, RefreshBusyError, StoreFailedError, ZooError

    if isinstance(error, TrialError | PackageError | QueryLimitError | RefreshBusyError | StoreFailedError):
        return FAILED
    return UNUSABLE if isinstance(error, SelectionError | ZooError) else None


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Aligned columns; numbers to the right, those of a column with as many decimals each."""
    by_column = [_column(values) for values in zip(*rows, strict=True)]
    cells = list(zip(*by_column, strict=True))
    widths = [max(len(name), *(len(row[i]) for row in cells)) if cells else len(name) for i, name in enumerate(columns)]
    numeric = [bool(cells) and all(_is_number(row[i]) for row in cells) for i in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        parts = [
            value.rjust(w) if right else value.ljust(w) for value, w, right in zip(row, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return [line(columns), line(["-" * width for width in widths]), *map(line, cells)]


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue().rstrip("\n")


def as_jsonl(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One JSON object a line."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False, default=str)


def track(what: str, total: int | None = None) -> Any:
    """A progress bar on stderr where that is a terminal, else silence: `with track(..) as advance: advance(n_done)`."""
    return _bar(what, total) if sys.stderr.isatty() else contextlib.nullcontext(lambda done, of=None: None)


@contextlib.contextmanager
def _bar(what: str, total: int | None) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, of=None: progress.update(task, completed=done, **({"total": of} if of else {}))


def each(items: Sequence[T], what: str, name: Any = str) -> Iterator[T]:
    """The items with a bar on a terminal, or a line for each where it is none."""
    with track(what, len(items)) as advance:
        for number, item in enumerate(items):
            if not sys.stderr.isatty():
                say(f"{what} {number + 1}/{len(items)}: {name(item)}")
            yield item
            advance(number + 1)


def probing(candidates: "list[Candidate]") -> "Iterable[Candidate]":
    """The candidates, with a progress bar."""
    return each(candidates, "probing", lambda candidate: candidate.model)


def _column(values: Sequence[Any]) -> list[str]:
    style = _number_format([value for value in values if isinstance(value, float) and math.isfinite(value)])
    return [format(value, style) if isinstance(value, float) else _cell(value) for value in values]


def _number_format(values: Sequence[float]) -> str:
    """As many decimals for all as give the largest four significant digits; each its own where that hides the least."""
    sizes = [abs(value) for value in values if value]
    broken = [size for size in sizes if not size.is_integer()]
    if not broken or max(sizes) >= 1e15:
        return ".4g"
    decimals = max(0, 3 - math.floor(math.log10(max(broken))))
    return f".{decimals}f" if decimals <= 8 and min(sizes) >= 10.0**-decimals else ".4g"


def _cell(value: Any) -> str:
    return "" if value is None else str(_plain(value))


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else value


def _is_number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True
