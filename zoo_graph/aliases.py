"""One model or dataset under several names: ids are compared by a key that ignores case and outer spaces.

Knows no database: `ingest` keeps the keys and the explicit aliases in the graph and asks here what equals what.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from zoo_graph.errors import InputError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LONGEST_ID = 512

Named = TypeVar("Named", str, str | Path)


def clean_id(name: str, *, slash: str | None = None) -> str:
    """Returns a name as an id: no outer spaces, the first `slash` (such as `--`) read as `/`.

    >>> clean_id(" google--vit-base ", slash="--")
    'google/vit-base'

    Raises:
        InputError: the name is empty, longer than 512 characters, or holds control characters.
    """
    text = name.strip()
    if slash:
        text = text.replace(slash, "/", 1)
    if not text or len(text) > LONGEST_ID or _CONTROL.search(text):
        raise InputError(f"{name[:60]!r} is no id: wanted 1 to {LONGEST_ID} characters on one line")
    return text


def key_of(name: str) -> str:
    """Returns the key under which names are equal: hub ids differ in more than their case.

    >>> key_of("FacebookAI/RoBERTa-base") == key_of("facebookai/roberta-base ")
    True
    """
    return name.strip().casefold()


def versioned(name: str, *, config: str | None = None, revision: str | None = None) -> str:
    """Returns `name[:config][@revision]`, the full id of one version.

    >>> versioned("glue", config="sst2", revision="1.0")
    'glue:sst2@1.0'
    """
    return name + (f":{config}" if config else "") + (f"@{revision}" if revision else "")


def plain_name(identifier: str) -> str:
    """Returns an id without its revision: the name a person would use.

    >>> plain_name("BAAI/bge-m3@5617a9f")
    'BAAI/bge-m3'
    """
    return identifier.split("@", 1)[0] or identifier


def each_of(names: Named | Iterable[Named]) -> list[Named]:
    """Returns the names given: one by itself is one name, not its letters.

    >>> each_of("imdb"), each_of(["imdb", "sst2"])
    (['imdb'], ['imdb', 'sst2'])
    """
    return [names] if isinstance(names, str | Path) else list(names)
