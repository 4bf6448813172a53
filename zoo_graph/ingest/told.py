"""What each run told of a model or dataset. No database.

A node keeps it beside its properties, in `told`: a JSON list of [run, properties], who told first standing first. The
last run that told a property wins; forgetting a run gives the others' word back.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from zoo_graph.aliases import plain_name

_SHOWN_CHARACTERS = 80
Told = list[tuple[str, dict[str, Any]]]


def tell(node: Mapping[str, Any], run: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the properties of a node that change when a run tells these values; none where it told them before.

    A run's first word stands: told again, also with another value, a property stays.
    """
    told = _told(node)
    mine = next((properties for teller, properties in told if teller == run), None)
    if mine is None:
        mine = {}
        told.append((run, mine))
    fresh = [name for name in values if name not in mine]
    if not fresh:
        return {}
    mine.update((name, values[name]) for name in fresh)
    return {"told": _written(told)} | _changed(node, told, fresh)


def untell(node: Mapping[str, Any], run: str) -> dict[str, Any]:
    """Returns the properties of a node that change when a run's word is taken back; None: nobody else told it."""
    told = _told(node)
    mine = next((properties for teller, properties in told if teller == run), None)
    if mine is None:
        return {}
    rest = [item for item in told if item[0] != run]
    return {"told": _written(rest) if rest else None} | _changed(node, rest, list(mine))


def contradictions(node: Mapping[str, Any], run: str, values: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each of these values that another run tells otherwise."""
    told = _told(node)
    tellers = [teller for teller, _ in told]
    found = []
    for name, value in values.items():
        other, theirs = next(((r, p[name]) for r, p in reversed(told) if r != run and name in p), (None, value))
        if theirs != value:
            later = run not in tellers or tellers.index(run) > tellers.index(str(other))
            kept = value if later else theirs
            told_here, told_there, stays = map(_shown, (value, theirs, kept))
            found.append(f"{name} is {told_here} here and {told_there} in {other}: kept {stays}, which came later")
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _changed(node: Mapping[str, Any], told: Told, names: Sequence[str]) -> dict[str, Any]:
    standing = {name: value for _, properties in told for name, value in properties.items()}
    silent = {"name": plain_name(str(node["id"]))}
    wanted = {name: standing.get(name, silent.get(name)) for name in names}
    return {name: value for name, value in wanted.items() if node.get(name) != value}


def _told(node: Mapping[str, Any]) -> Told:
    return [(run, properties) for run, properties in json.loads(node.get("told") or "[]")]


def _written(told: Told) -> str:
    return json.dumps(told, ensure_ascii=False)
