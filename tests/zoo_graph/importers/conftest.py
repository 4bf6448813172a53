"""Tables written for a test and read back as records."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zoo_graph.importers import column_map, open_file
from zoo_graph.records import Dataset, Distance, Model, Proxy, Rejected, Result


@dataclass(frozen=True)
class Found:
    """What a file held, by kind."""

    format: str
    notes: tuple[str, ...]
    results: list[Result]
    models: list[Model]
    datasets: list[Dataset]
    proxies: list[Proxy]
    distances: list[Distance]
    rejected: list[Rejected]


@pytest.fixture
def read_csv(tmp_path: Path) -> Callable[..., Found]:
    """Read a CSV given as text, with the keywords of `column_map`."""

    def read(text: str, **said: Any) -> Found:
        path = tmp_path / "table.csv"
        path.write_text(text, encoding="utf-8")
        file = open_file(path, column_map(**said))
        records = list(file.records())
        kinds: list[Any] = [Result, Model, Dataset, Proxy, Distance, Rejected]
        return Found(file.layout.format, file.notes, *([r for r in records if type(r) is kind] for kind in kinds))

    return read
