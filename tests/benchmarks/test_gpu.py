"""The scripts for a GPU run: tiny, and on a CPU where there is none."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

GPU = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"
SCRIPTS = [path.stem for path in GPU.glob("*.py")]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts' folder first among modules, and none of them left behind."""
    monkeypatch.syspath_prepend(GPU)
    yield
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("packing", ["packed against one at a time", "packed: throughput"]),
        ("memory", ["auto workers: trials that failed of 1"]),
        ("extraction", ["tiny: features", "tiny: of the matrix rate"]),
    ],
)
def test_each_runs_tiny_and_writes_its_figures(name: str, wanted: list[str], opened: None, tmp_path: Path) -> None:
    script(name).main(["--tiny", "--json", str(tmp_path / "out.json")])
    head, *rows = json.loads((tmp_path / "out.json").read_text())
    assert head.keys() == {"machine", "card", "command", "commit"}
    found = {row["measure"]: row["value"] for row in rows}
    assert all(found[measure] >= 0 for measure in wanted)


def test_operations_are_two_a_weight_and_those_of_attention(opened: None) -> None:
    weights = 12 * (4 * 768**2 + 2 * 768 * 3072)
    assert script("extraction").operations("bert-base", 1) == 2 * weights + 12 * 4 * 768


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("# gpu   smutil", None),
        ("# Idx   GPM:%", None),
        ("    0    83.25 ", 83.25),
        ("GPU 0   0.871", 0.871),
        ("", None),
    ],
)
def test_activity_is_read_from_the_last_column(line: str, wanted: float | None, opened: None) -> None:
    assert script("activity").percent_in(line) == wanted
