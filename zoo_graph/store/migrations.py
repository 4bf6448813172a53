"""The schema's numbered files, applied in order and recorded in the graph as `(:Migration)` nodes.

A file `schema/NNN_name.cypher` holds statements that end with `;` at a line's end; a line that starts with `//` is a
comment. Changes of schema (CREATE or DROP of a constraint or an index) run first, each in a transaction of its own, and
do nothing when repeated (IF NOT EXISTS, IF EXISTS); what changes data follows in one transaction together with the
file's record. So two programs that open a store at once, or one killed half-way, leave it as one would have.
"""

import datetime
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from zoo_graph.errors import StoreError
from zoo_graph.store.connection import Connection, Transaction

FILE_NAME = re.compile(r"^(\d{3})_([a-z0-9_]+)\.cypher$")
SCHEMA_CHANGE = re.compile(r"(CREATE|DROP)\s+(CONSTRAINT|INDEX|RANGE\s+INDEX|POINT\s+INDEX)\b", re.IGNORECASE)
READ_APPLIED = "MATCH (m:Migration) RETURN m.id AS id, m.name AS name, m.digest AS digest ORDER BY id"
IS_APPLIED = "MATCH (m:Migration {id: $id}) RETURN m.id AS id"
MAKE_GRAPH = "MERGE (g:Graph {id: 'zoo'}) ON CREATE SET g.version = 0"  # what every write raises, this one's too
RECORD = "CREATE (:Migration {id: $id, name: $name, digest: $digest, applied: $applied})"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the schema: its number, its name, a digest of its text, and its statements."""

    id: int
    name: str
    digest: str
    statements: tuple[str, ...]


def migrate(connection: Connection, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Bring the store's schema up to date; return what was applied now.

    Raises:
        StoreError: the store holds a migration this program does not know, or one whose file has changed since.
    """
    wanted = load() if migrations is None else migrations
    applied = {int(row["id"]): str(row["digest"]) for row in connection.read(READ_APPLIED)}
    _check_known(connection.uri, applied, wanted)
    missing = [migration for migration in wanted if migration.id not in applied]
    for migration in missing:
        _apply(connection, migration)
    return missing


def load(folder: Traversable | None = None) -> list[Migration]:
    """Return the migrations in order: those of the package `zoo_graph.schema`, or of a source checkout's `schema/`.

    Raises:
        StoreError: there is no file, a name is not like NNN_name.cypher, or the numbers are not 1, 2, 3 ...
    """
    files = sorted((folder or schema_folder()).iterdir(), key=lambda file: file.name)
    found = [_parse(file.name, file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".cypher")]
    numbers = [migration.id for migration in found]
    if not found or numbers != list(range(1, len(found) + 1)):
        raise StoreError(f"got schema files numbered {numbers}; wanted 1, 2, 3 ...: install the package again")
    return found


def schema_folder() -> Traversable:
    """Return where the schema's files are: in the installed package, else beside the checkout's package."""
    try:
        return resources.files("zoo_graph.schema")
    except ModuleNotFoundError:
        return Path(__file__).resolve().parents[2] / "schema"


def split(text: str) -> tuple[str, ...]:
    """Return the statements of a file: each ends with `;` at a line's end; comment lines are left out."""
    lines = [line.rstrip() for line in text.splitlines() if not line.lstrip().startswith("//")]
    pieces = re.split(r";$", "\n".join(lines), flags=re.MULTILINE)
    return tuple(piece.strip() for piece in pieces if piece.strip())


def _parse(file_name: str, text: str) -> Migration:
    match = FILE_NAME.match(file_name)
    if match is None:
        raise StoreError(f"got a schema file named {file_name!r}; wanted NNN_name.cypher: rename it")
    digest = hashlib.blake2b("\n".join(split(text)).encode(), digest_size=12).hexdigest()
    return Migration(int(match[1]), match[2], digest, split(text))


def _check_known(uri: str, applied: dict[int, str], wanted: Iterable[Migration]) -> None:
    digests = {migration.id: migration for migration in wanted}
    for number, digest in applied.items():
        if number not in digests:
            raise StoreError(
                f"{uri} has schema {number}, this program knows schemas up to {max(digests, default=0)}: "
                "a newer version wrote it, so upgrade zoo-graph and open it again"
            )
        if digest != digests[number].digest:
            raise StoreError(
                f"{uri} was made with another text of schema {number} ({digests[number].name}) than this program has: "
                "a migration must not change once applied; put the old text back, and the change into a new file"
            )


def _apply(connection: Connection, migration: Migration) -> None:
    """Apply one file; where two programs do so at once, the second finds the record and does nothing."""
    for statement in migration.statements:
        if SCHEMA_CHANGE.match(statement):
            connection.run_alone(statement)
    connection.run_alone(MAKE_GRAPH)

    def change(transaction: Transaction) -> None:
        if transaction.run(IS_APPLIED, id=migration.id):
            return
        for statement in migration.statements:
            if not SCHEMA_CHANGE.match(statement):
                transaction.run(statement)
        applied = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        transaction.run(RECORD, id=migration.id, name=migration.name, digest=migration.digest, applied=applied)

    connection.write(change)
