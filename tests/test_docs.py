"""The documentation is true: commands exist, Python runs, Cypher answers on both stores."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo_graph.ingest import import_file
from zoo_graph.refresh import refresh
from zoo_graph.store import Connection

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def zoo_commands() -> list[list[str]]:
    """Every `zoo COMMAND --options` in the shell blocks, pipes and semicolons taken apart."""
    lines = [line.split("  #")[0] for block in blocks("sh") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in re.split(r"[;|]", line)]
    return [part.split() for part in parts if part.startswith("zoo ")]


@pytest.mark.parametrize("words", zoo_commands(), ids=" ".join)
def test_every_command_and_option_of_the_readme_exists(words: list[str]) -> None:
    code = f"import sys; sys.argv = ['zoo', {words[1]!r}, '--help']; from zoo_graph.cli import main; main()"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    for option in (word.split("=")[0] for word in words if word.startswith("--")):
        assert f"{option} " in told.stdout.replace(",", " ")


def test_every_command_is_in_the_readme() -> None:
    from zoo_graph.cli.commands import app

    missing = [command.name for command in app.registered_commands if f"zoo {command.name}" not in README]
    assert not missing


@pytest.mark.parametrize("block", blocks("python"))
def test_python_of_the_readme_is_valid_and_its_example_short(block: str) -> None:
    ast.parse(block)
    assert len(block.splitlines()) <= 20


@pytest.mark.parametrize("statement", blocks("cypher"))
def test_cypher_of_the_readme_answers_on_both_stores(store: Connection, tmp_path: Path, statement: str) -> None:
    scores = {"a": (70, 60, 80, 75), "b": (71, 61, 79, 74), "c": (50, 65, 55, 61), "d": (51, 66, 54, 60)}
    lines = [f"acme/{name},{','.join(map(str, row))}" for name, row in scores.items()]
    (tmp_path / "matrix.csv").write_text("\n".join(["model,w,x,y,z", *lines]))
    import_file(store, tmp_path / "matrix.csv", metric="accuracy")
    refresh(store, tmp_path)
    rows = store.query(statement, {"d": "w", "m": "acme/a"})
    assert len(rows)
    assert None not in rows[0].values()


def test_scripts_and_files_that_the_readme_names_are_there() -> None:
    for name in [*re.findall(r"\]\(([\w/.]+)\)", README), "scripts/demo", "scripts/test", "docker-compose.yml"]:
        assert (ROOT / name).exists(), name
