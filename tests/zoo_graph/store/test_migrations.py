import dataclasses
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo_graph.errors import StoreError
from zoo_graph.store import Connection, migrations
from zoo_graph.store.migrations import Migration, load, migrate, split

ROOT = Path(__file__).parents[3]
REPEATABLE = re.compile(r"IF (NOT )?EXISTS", re.IGNORECASE)


def migration(number: int, *statements: str) -> Migration:
    return Migration(number, f"step_{number}", f"digest-{number}", statements)


@pytest.fixture
def applied(store: Connection):  # type: ignore[no-untyped-def]
    """The migrations of the checkout, and a promise to take back what a test adds to them."""
    yield load()
    store.write(lambda tx: tx.run("MATCH (m:Migration) WHERE m.id > $last DETACH DELETE m", last=len(load())))


def test_statements_end_with_a_semicolon_at_a_lines_end() -> None:
    text = "// first\nCREATE (:A {x: 'a;b'});\n\n  // second\nMATCH (a)\nSET a.x = 1; \nRETURN 1"
    assert split(text) == ("CREATE (:A {x: 'a;b'})", "MATCH (a)\nSET a.x = 1", "RETURN 1")


def test_the_schemas_files_are_numbered_without_a_gap() -> None:
    assert [migration.id for migration in load()] == list(range(1, len(load()) + 1))


def test_every_change_of_schema_can_be_repeated() -> None:
    for step in load():
        for statement in step.statements:
            assert not migrations.SCHEMA_CHANGE.match(statement) or REPEATABLE.search(statement), statement


def test_the_schema_asks_for_nothing_neo4j_community_lacks() -> None:
    text = " ".join(statement for step in load() for statement in step.statements).upper()
    assert not re.search(r"NODE KEY|NOT NULL|IS TYPED|IS ::|RELATIONSHIP KEY|FULLTEXT|VECTOR", text)


def test_the_readme_names_every_label_constraint_and_index() -> None:
    readme = (ROOT / "schema" / "README.md").read_text(encoding="utf-8")
    for step in load():
        for statement in step.statements:
            label, name = re.findall(r"\(n:(\w+)\).*n\.(\w+)", statement)[0]
            mark = rf"\*\*`{name}`\*\* \(unique\)" if "UNIQUE" in statement else rf"`{name}` \(index\)"
            section = readme.split(f"| `{label}` |")[1].split("\n| `")[0]
            assert re.search(mark, section), statement


def test_the_readme_names_every_relationship_and_property_our_statements_write() -> None:
    readme = (ROOT / "schema" / "README.md").read_text(encoding="utf-8")
    statements = (ROOT / "zoo_graph" / "queries.py").read_text(encoding="utf-8")
    for kind in sorted(set(re.findall(r"\[\w*:([A-Z_]+)[\] {]", statements))):
        assert f"-[:{kind}]->" in readme, kind
    for name in sorted(set(re.findall(r"SET \w+\.(\w+)", statements))):
        assert f"`{name}`" in readme, name


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"numbered \[\]"),
        (["001_a.cypher", "003_b.cypher"], r"numbered \[1, 3\]"),
        (["001_a.cypher", "001_b.cypher"], r"numbered \[1, 1\]"),
        (["1-a.cypher"], r"'1-a.cypher'; wanted NNN_name.cypher"),
    ],
)
def test_badly_numbered_files_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("RETURN 1;")
    with pytest.raises(StoreError, match=message):
        load(tmp_path)


def test_a_comment_or_a_blank_line_changes_no_digest(tmp_path: Path) -> None:
    for folder, text in (("a", "RETURN 1;"), ("b", "// why\n\nRETURN 1;\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "001_x.cypher").write_text(text)
    assert load(tmp_path / "a") == load(tmp_path / "b")


def test_a_fresh_store_records_what_was_applied(store: Connection) -> None:
    rows = store.read("MATCH (m:Migration) RETURN m.id AS id, m.name AS name, m.digest AS digest ORDER BY id")
    assert rows == [{"id": step.id, "name": step.name, "digest": step.digest} for step in load()]


def test_a_migration_is_applied_once(store: Connection, applied: list[Migration]) -> None:
    step = migration(len(applied) + 1, "CREATE (:Model {id: 'made by a migration'})")
    assert migrate(store, [*applied, step]) == [step]
    assert migrate(store, [*applied, step]) == []
    assert store.read("MATCH (m:Model) RETURN count(m) AS n") == [{"n": 1}]


def test_one_that_fails_leaves_no_data_and_no_record(store: Connection, applied: list[Migration]) -> None:
    step = migration(len(applied) + 1, "CREATE (:Model {id: 'half'})", "RETURN 1 / 0 AS x")
    with pytest.raises(StoreError):
        migrate(store, [*applied, step])
    assert store.read("MATCH (m:Model) RETURN count(m) AS n") == [{"n": 0}]
    mended = dataclasses.replace(step, statements=step.statements[:1])
    assert migrate(store, [*applied, mended]) == [mended]


def test_a_changed_migration_is_an_error(store: Connection, applied: list[Migration]) -> None:
    changed = [dataclasses.replace(applied[0], digest="another"), *applied[1:]]
    with pytest.raises(StoreError, match="must not change once applied"):
        migrate(store, changed)


def test_a_newer_store_asks_for_an_upgrade(store: Connection, applied: list[Migration]) -> None:
    step = migration(len(applied) + 1)
    migrate(store, [*applied, step])
    with pytest.raises(StoreError, match=f"has schema {step.id}.*upgrade zoo-graph"):
        migrate(store, applied)


def test_a_source_checkout_reads_its_own_schema_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Path:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("zoo_graph.store.migrations.resources.files", absent)
    assert migrations.schema_folder() == ROOT / "schema"
    assert load()[0].id == 1


def test_the_package_carries_the_schema() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["package-dir"]["zoo_graph.schema"] == "schema"
    assert "*.cypher" in settings["package-data"]["zoo_graph.schema"]


def test_an_installed_package_reads_the_schema_from_itself(tmp_path: Path) -> None:
    """A copy laid out as a wheel lays it out, without the checkout in reach."""
    copy = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], ignore=shutil.ignore_patterns('__pycache__'))"
    for source, target in (("zoo_graph", "zoo_graph"), ("schema", "zoo_graph/schema")):
        subprocess.run([sys.executable, "-c", copy, ROOT / source, tmp_path / target], check=True)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from zoo_graph.store import migrations\n"
        "print(migrations.schema_folder(), len(migrations.load()))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert str(tmp_path / "zoo_graph" / "schema") in done.stdout
    assert done.stdout.split()[-1] == str(len(load()))


def test_two_programs_that_migrate_at_once_leave_one_record(fresh_zoo: Callable[..., Connection]) -> None:
    import threading

    step = migration(len(load()) + 1, "CREATE (:Model {id: 'once'})")
    zoos = [fresh_zoo(), fresh_zoo()]
    threads = [threading.Thread(target=migrate, args=(zoo, [*load(), step])) for zoo in zoos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert zoos[0].read("MATCH (m:Migration {id: $id}) RETURN count(m) AS n", id=step.id) == [{"n": 1}]
    assert zoos[0].read("MATCH (m:Model) RETURN count(m) AS n") == [{"n": 1}]
