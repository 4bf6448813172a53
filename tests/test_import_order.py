"""The rooms of both packages import only from rooms above them (design: rooms, and who may import whom)."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Top to bottom; rooms of one line know each other only through lines above.
ROOMS = {
    "selection": [
        "errors", "records", "hardware", "metrics", "proxies", "images", "tables", "datasets", "hub", "backbones",
        "features", "embedding", "encoded", "heads", "losses", "saved", "classifier", "trends", "other_trends",
        "halving", "rates", "policies", "schedule", "recipes", "recall", "pace", "planning", "probing", "trainer",
        "wording", "uncertainty", "race", "journal", "simulated", "disk", "folders", "states", "lora", "head_features",
        "parts", "training", "finetune", "executors", "extraction", "runner", "measure", "outlook", "chart", "markup",
        "page", "report",
    ],
    "zoo_graph": [
        "errors", "records", "descriptions", "metrics", "aliases", "importers", "store", "queries", "ingest", "export",
        "snapshot", "scores", "leakage", "similarity", "communities", "link_prediction", "lease", "derived", "evidence",
        "link_evidence", "job_inputs", "refresh", "backtest", "identity", "prospects", "recommendation", "curves",
        "choice", "measurements", "zoo", "demo", "service", "settings", "client", "cli",
    ],
}  # fmt: skip


def room_of(path: Path, package: str) -> str | None:
    """The room a file belongs to; None for the package's own __init__."""
    parts = path.relative_to(ROOT / package).with_suffix("").parts
    return None if parts == ("__init__",) else parts[0]


def imported(path: Path) -> set[str]:
    """Dotted names a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            names.add("relative import")
    return names


def offences(package: str) -> list[str]:
    found = []
    rooms = ROOMS[package]
    for path in sorted((ROOT / package).rglob("*.py")):
        room = room_of(path, package)
        if room is None:
            continue
        if room not in rooms:
            found.append(f"{path.relative_to(ROOT)}: room {room!r} is not in the order")
            continue
        for name in imported(path):
            parts = name.split(".")
            if name == "relative import":
                found.append(f"{path.relative_to(ROOT)}: relative import")
            elif parts[0] == package and len(parts) > 1 and parts[1] in rooms:
                if rooms.index(parts[1]) > rooms.index(room):
                    found.append(f"{path.relative_to(ROOT)} imports {name} from further down")
            elif package == "selection" and parts[0] == "zoo_graph":
                found.append(f"{path.relative_to(ROOT)} imports {name}: selection knows no graph")
    return found


@pytest.mark.parametrize("package", list(ROOMS))
def test_rooms_import_only_from_rooms_above(package: str) -> None:
    assert offences(package) == []


def test_an_import_from_further_down_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from selection.report import write\n")
    assert "selection.report" in imported(file)


def test_every_package_is_installed() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ROOMS
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert found == set(told) - {"zoo_graph.schema"}  # which is the folder schema/


def test_importing_zoo_graph_loads_no_heavy_library() -> None:
    import subprocess
    import sys

    heavy = "torch", "transformers", "sklearn", "scipy", "pyarrow", "networkx"
    code = f"import zoo_graph.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
