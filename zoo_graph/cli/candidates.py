"""Candidates as users write them and as they are piped: ids, folders, hub ids, or picks as JSON lines."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_graph.cli.options import listed
from zoo_graph.errors import InputError

if TYPE_CHECKING:
    from selection.records import Candidate, Pick
    from zoo_graph.zoo import Zoo


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


def read_candidates(zoo: "Zoo", given: str) -> "list[Candidate]":
    """Candidates of `--candidates`: picks as JSONL from a file or stdin, or ids, folders and hub ids.

    Raises:
        InputError: lines that are no picks, or nothing at all.
        UnknownNameError: an id that is neither in the zoo nor a folder nor a hub id.
    """
    path = Path(given)
    if given == "-" or (path.is_file() and path.suffix in {".jsonl", ".json", ".ndjson"}):
        lines = sys.stdin if given == "-" else path.read_text().splitlines()
        found = [_candidate(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    else:
        found = zoo.candidates(listed([given]))
    if not found:
        raise InputError("got no candidates; wanted model ids, folders, or the picks of zoo recommend --jsonl")
    return found


def _candidate(line: str, number: int) -> "Candidate":
    from selection.records import Candidate

    try:
        fields = json.loads(line)
        known = ("model", "source", "modality", "n_parameters", "license", "family")
        return Candidate(**{name: fields[name] for name in known if name in fields})
    except (ValueError, TypeError) as error:
        raise InputError(
            f"candidates, line {number}: got {line.strip()[:80]!r}; wanted a pick as JSON ({error})"
        ) from error
