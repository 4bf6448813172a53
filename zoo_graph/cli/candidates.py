"""Candidates as users write them and as they are piped: ids, folders, hub ids, or picks as JSON lines."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_graph.cli.options import listed
from zoo_graph.errors import InputError

if TYPE_CHECKING:
    from selection.records import Candidate, Failure, Pick
    from zoo_graph.zoo import Zoo

_WANTED = "model ids, folders, or the picks of zoo recommend --jsonl"


def pick_fields(pick: "Pick") -> dict[str, Any]:
    """A pick as JSON fields, which `read_candidates` reads back."""
    return {
        "rank": pick.rank,
        "model": pick.model,
        "source": pick.candidate.source,
        "modality": pick.candidate.modality,
        "n_parameters": pick.candidate.n_parameters,
        "license": pick.candidate.license,
        "family": pick.candidate.family,
        "score": pick.score,
        "low": pick.low,
        "high": pick.high,
        "metric": pick.metric,
        "tie": pick.tie,
        "reasons": pick.reasons,
    }


def read_candidates(zoo: "Zoo", given: str) -> "tuple[list[Candidate], list[Failure]]":
    """Candidates of `--candidates`: picks as JSONL from a file or stdin, or ids, folders and hub ids; and what is none.

    Raises:
        InputError: lines that are no picks, or nothing that can be used.
    """
    path = Path(given)
    if given == "-" or (path.is_file() and path.suffix in {".jsonl", ".json", ".ndjson"}):
        return _picks(_text(path, given)), []
    found, failures = zoo.candidates(listed([given]))
    if failures and not found:
        raise InputError("; ".join(f"{failure.model}: {failure.reason}" for failure in failures))
    if not found:
        raise InputError(f"got no candidates; wanted {_WANTED}")
    return found, failures


def _text(path: Path, given: str) -> str:
    try:
        return sys.stdin.read() if given == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        what = "stdin" if given == "-" else path
        raise InputError(f"candidates: {what} is no UTF-8 text ({error}); wanted {_WANTED}") from error


def _picks(text: str) -> "list[Candidate]":
    # Not splitlines(): JSON may hold the other characters that it takes for an end of line.
    found = [_candidate(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not found:
        raise InputError(f"got no candidates; wanted {_WANTED}")
    return found


def _candidate(line: str, number: int) -> "Candidate":
    from pydantic import TypeAdapter, ValidationError

    from selection.records import Candidate

    try:
        return TypeAdapter(Candidate).validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise InputError(
            f"candidates, line {number}: got {line.strip()[:80]!r}; wanted a pick as JSON ({where}: {first['msg']})"
        ) from error
