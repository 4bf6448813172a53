"""The embedded store's child process: shared, taken over after a crash, gone when unused."""

import contextlib
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zoo_graph.errors import (
    InputError,
    QueryLimitError,
    StoreError,
    StoreFailedError,
    StoreLockedError,
    StoreUnavailableError,
)
from zoo_graph.store import Connection, Engine, locks, open_store
from zoo_graph.store.embedded import EmbeddedStore, prepare

OpenZoo = Callable[..., Connection]
GRACE = 1.0
ENDLESS = "UNWIND range(1, 30000) AS a UNWIND range(1, 30000) AS b WITH a * b AS c WHERE c % 7 = 3 RETURN count(c) AS n"
PATIENCE = 20.0

# A user in a process of its own: opens the zoo, says who serves it, and stays until its standard input ends.
USER = """
import json, sys
from pathlib import Path
from zoo_graph.store import Engine, open_store
with open_store(sys.argv[1], create=True, engine=Engine(grace_seconds=1.0)) as connection:
    print(json.loads((Path(sys.argv[1]) / "store" / "server.json").read_text())["pid"], flush=True)
    sys.stdin.read()
"""
# Another program on the same files, which is none of ours.
STRANGER = """
import os, sys
os.environ["ARCADEDB_LOG_CONSOLE"] = "0"
os.environ["ARCADEDB_LOG_DIR"] = sys.argv[2]
import arcadedb
database = arcadedb.open_database(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def start_python(program: str, *arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])


def first_line(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def end(*processes: "subprocess.Popen[bytes]") -> None:
    for process in processes:
        process.communicate(timeout=60)


def engine_pid(connection: Connection) -> int:
    assert connection.folder is not None
    return int(json.loads((connection.folder / "store" / "server.json").read_text())["pid"])


def wait_until(true: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return true()


def is_served(folder: Path) -> bool:
    return locks.is_held(folder / "store" / "server.lock")


def write_model(connection: Connection, name: str) -> None:
    connection.write(lambda tx: tx.run("CREATE (:Model {id: $id})", id=name))


def model_ids(connection: Connection) -> list[str]:
    return sorted(row["id"] for row in connection.read("MATCH (m:Model) RETURN m.id AS id"))


class TestCrashes:
    def test_after_kill_9_of_the_engine_the_next_call_finds_everything(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo()
        write_model(zoo, "before")
        os.kill(engine_pid(zoo), signal.SIGKILL)
        assert model_ids(zoo) == ["before"]
        write_model(zoo, "after")
        assert list(zoo.query("MATCH (m:Model) RETURN count(m) AS n", {})) == [{"n": 2}]

    def test_kill_9_within_a_write_leaves_all_of_it_or_nothing(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo()
        attempts: list[int] = []

        def work(tx) -> None:  # type: ignore[no-untyped-def]
            tx.run("CREATE (:Model {id: 'a'})")
            if not attempts:
                os.kill(engine_pid(zoo), signal.SIGKILL)
            attempts.append(1)
            tx.run("CREATE (:Model {id: 'b'})")

        before = zoo.version()
        zoo.write(work)
        assert model_ids(zoo) == ["a", "b"]
        assert zoo.version() == before + 1

    def test_kill_9_again_and_again_loses_no_acknowledged_write(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo()
        acknowledged = []
        for round_ in range(4):
            for i in range(20):
                write_model(zoo, f"{round_}-{i}")
                acknowledged.append(f"{round_}-{i}")
            os.kill(engine_pid(zoo), signal.SIGKILL)
        assert model_ids(zoo) == sorted(acknowledged)

    def test_after_kill_9_of_its_only_user_the_engine_ends(self, tmp_path: Path) -> None:
        user = start_python(USER, tmp_path / "zoo.db")
        assert first_line(user)
        assert is_served(tmp_path / "zoo.db")
        user.kill()
        end(user)
        assert wait_until(lambda: not is_served(tmp_path / "zoo.db"))

    def test_an_ended_user_takes_the_engine_from_nobody(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        user = start_python(USER, tmp_path / "zoo.db")
        first_line(user)
        zoo = fresh_zoo()
        user.kill()
        end(user)
        time.sleep(2 * GRACE)
        assert is_served(tmp_path / "zoo.db")
        write_model(zoo, "still here")

    def test_what_a_crashed_machine_left_behind_is_taken_over(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        write_model(fresh_zoo(), "kept")
        os.kill(engine_pid(fresh_zoo()), signal.SIGKILL)
        assert wait_until(lambda: not is_served(tmp_path / "zoo.db"))
        stale = {"pid": os.getpid(), "bolt_port": 1, "http_port": 2}
        (tmp_path / "zoo.db" / "store" / "server.json").write_text(json.dumps(stale))
        assert model_ids(fresh_zoo()) == ["kept"]

    def test_a_half_written_server_file_is_no_obstacle(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        write_model(fresh_zoo(), "kept")
        os.kill(engine_pid(fresh_zoo()), signal.SIGKILL)
        assert wait_until(lambda: not is_served(tmp_path / "zoo.db"))
        (tmp_path / "zoo.db" / "store" / "server.json").write_text('{"pid": 1')
        assert model_ids(fresh_zoo()) == ["kept"]

    def test_a_starter_killed_half_way_leaves_an_engine_that_others_use(
        self, fresh_zoo: OpenZoo, tmp_path: Path
    ) -> None:
        user = start_python(USER, tmp_path / "zoo.db")
        assert wait_until(lambda: is_served(tmp_path / "zoo.db"))
        user.kill()
        end(user)
        write_model(fresh_zoo(), "a")

    def test_a_store_whose_making_was_killed_is_made_by_the_next(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        (tmp_path / "zoo.db" / "store").mkdir(parents=True)
        (tmp_path / "zoo.db" / "store" / "password.draft").write_text("half")
        write_model(fresh_zoo(), "a")


def write_or_find(zoo: Connection, name: str) -> None:
    """Write as a caller has to who is told that a commit broke off: look whether it is in, else write again."""
    try:
        write_model(zoo, name)
    except StoreUnavailableError as error:
        if "may be in or not" not in str(error):
            raise
        if name not in model_ids(zoo):
            write_model(zoo, name)


class TestSharing:
    def test_two_processes_share_one_engine(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        zoo = fresh_zoo()
        user = start_python(USER, tmp_path / "zoo.db")
        assert int(first_line(user)) == engine_pid(zoo)
        end(user)

    def test_four_processes_that_open_at_once_start_one_engine(self, tmp_path: Path) -> None:
        users = [start_python(USER, tmp_path / "zoo.db") for _ in range(4)]
        assert len({int(first_line(user)) for user in users}) == 1
        end(*users)

    def test_the_engine_ends_after_its_last_user_and_starts_again(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        zoo = fresh_zoo()
        write_model(zoo, "kept")
        first = engine_pid(zoo)
        zoo.close()
        assert wait_until(lambda: not is_served(tmp_path / "zoo.db"))
        again = fresh_zoo()
        assert engine_pid(again) != first
        assert model_ids(again) == ["kept"]

    def test_opening_within_the_grace_finds_the_same_engine(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo(engine=Engine(grace_seconds=5))
        first = engine_pid(zoo)
        zoo.close()
        assert engine_pid(fresh_zoo()) == first

    def test_users_who_come_and_go_as_the_engine_ends_are_all_served(self, fresh_zoo: OpenZoo) -> None:
        for _ in range(6):
            with fresh_zoo(engine=Engine(grace_seconds=0.05)) as zoo:
                assert zoo.read("RETURN 1 AS x") == [{"x": 1}]
            time.sleep(0.08)

    def test_an_engine_told_to_end_is_replaced_at_the_next_call(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo()
        first = engine_pid(zoo)
        for i in range(40):
            write_or_find(zoo, f"{i:02}")
            if i == 5:
                os.kill(first, signal.SIGTERM)
            time.sleep(0.01)
        assert engine_pid(zoo) != first
        assert model_ids(zoo) == [f"{i:02}" for i in range(40)]

    def test_joining_a_running_engine_takes_no_time(self, fresh_zoo: OpenZoo) -> None:
        fresh_zoo()
        start = time.monotonic()
        fresh_zoo()
        assert time.monotonic() - start < 0.5

    def test_a_writer_who_waits_too_long_for_its_turn_is_told(
        self, fresh_zoo: OpenZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zoo = fresh_zoo()
        monkeypatch.setattr("zoo_graph.store.embedded.WRITER_SECONDS", 0.1)
        with (
            locks.held(tmp_path / "zoo.db" / "store" / "writer.lock", seconds=1),
            pytest.raises(StoreUnavailableError, match="no turn to write"),
        ):
            write_model(zoo, "a")

    def test_a_zoo_deleted_and_made_anew_is_served_by_an_engine_of_its_own(
        self, fresh_zoo: OpenZoo, tmp_path: Path
    ) -> None:
        zoo = fresh_zoo(engine=Engine(grace_seconds=2))
        write_model(zoo, "old")
        old = engine_pid(zoo)
        zoo.close()
        shutil.rmtree(tmp_path / "zoo.db", ignore_errors=True)
        anew = fresh_zoo()
        assert engine_pid(anew) != old
        time.sleep(2.5)  # past the old engine's grace: what it leaves behind must not be the new one's
        write_model(anew, "new")
        assert model_ids(anew) == ["new"]


class TestSafety:
    def test_files_of_another_program_are_left_alone_and_it_says_so(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        fresh_zoo().close()
        assert wait_until(lambda: not is_served(tmp_path / "zoo.db"))
        database = tmp_path / "zoo.db" / "store" / "databases" / "zoo"
        stranger = start_python(STRANGER, database, tmp_path / "log")
        assert first_line(stranger).endswith("open")
        with pytest.raises(StoreLockedError, match="another program holds the files"):
            fresh_zoo()
        stranger.kill()
        end(stranger)
        assert model_ids(fresh_zoo()) == []

    def test_password_and_server_file_are_for_the_owner_only(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        fresh_zoo()
        root = tmp_path / "zoo.db" / "store"
        modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in ("password", "server.json", ".")}
        assert modes == {"password": 0o600, "server.json": 0o600, ".": 0o700}

    @pytest.mark.skipif(not Path("/proc").is_dir(), reason="command lines are read from /proc")
    def test_the_password_is_on_no_command_line(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        zoo = fresh_zoo()
        password = (tmp_path / "zoo.db" / "store" / "password").read_bytes()
        process = Path("/proc") / str(engine_pid(zoo))
        assert password not in (process / "cmdline").read_bytes()
        assert password not in (process / "environ").read_bytes()

    def test_two_zoos_have_two_passwords(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            prepare(tmp_path / name, create=True)
        passwords = {(tmp_path / name / "store" / "password").read_text() for name in ("a", "b")}
        assert len(passwords) == 2
        assert all(len(password) >= 32 for password in passwords)

    def test_a_statement_that_outlasts_its_limit_is_left_behind(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo(engine=Engine(grace_seconds=GRACE, command_seconds=4))
        start = time.monotonic()
        with pytest.raises(QueryLimitError, match="longer than its 1 s"):
            zoo.query(ENDLESS, {}, seconds=1)
        assert time.monotonic() - start < 3
        assert zoo.query("RETURN 1 AS x", {})[0] == {"x": 1}

    def test_no_more_than_four_statements_are_left_behind(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo(engine=Engine(grace_seconds=GRACE, command_seconds=8))
        for _ in range(4):
            with pytest.raises(QueryLimitError, match="longer than"):
                zoo.query(ENDLESS, {}, seconds=0.01)
        with pytest.raises(QueryLimitError, match="still running out"):
            zoo.query("RETURN 1 AS x", {})


@contextlib.contextmanager
def no_room(n_bytes: int = 100_000) -> Iterator[None]:
    """Whatever this process writes for the block fails beyond so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestFullDisk:
    def test_a_statement_that_fails_on_a_full_disk_says_so(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo()
        with pytest.raises(StoreFailedError, match="a statement failed"):
            zoo.read("THIS IS NO CYPHER")
        with no_room(), pytest.raises(StoreFailedError, match=r"is full or cannot be written \(File too large\).*same"):
            zoo.read("THIS IS NO CYPHER")
        assert model_ids(zoo) == []

    def test_an_engine_that_cannot_start_on_a_full_disk_says_so(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        prepare(tmp_path / "zoo.db", create=True)
        with no_room(n_bytes=10), pytest.raises(StoreFailedError, match="is full or cannot be written"):
            fresh_zoo()


class TestFolders:
    def test_a_folder_that_is_not_there_is_named_with_the_command_that_makes_it(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"zoo init .*/absent"):
            open_store(tmp_path / "absent")
        assert not (tmp_path / "absent").exists()

    def test_a_file_is_no_zoo(self, tmp_path: Path) -> None:
        (tmp_path / "file.db").write_text("x")
        with pytest.raises(InputError, match="is a file"):
            open_store(tmp_path / "file.db", create=True)

    def test_a_folder_of_other_things_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(InputError, match="holds other files"):
            open_store(tmp_path, create=True)
        assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]

    def test_a_place_where_nothing_can_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(StoreError, match="cannot make a zoo at"):
            open_store(tmp_path / "file" / "zoo.db", create=True)

    def test_odd_characters_in_a_path_do_no_harm(self, fresh_zoo: OpenZoo) -> None:
        zoo = fresh_zoo("zoo mit Ümlaut & 'quotes' 模型.db")
        write_model(zoo, "a")
        assert model_ids(zoo) == ["a"]

    def test_an_engine_that_cannot_start_says_why(self, fresh_zoo: OpenZoo) -> None:
        with pytest.raises(StoreUnavailableError, match="did not start"):
            fresh_zoo(engine=Engine(heap="lots"))

    def test_windows_is_told_what_to_do(self) -> None:
        with pytest.raises(StoreError, match="WSL"):
            locks.check_platform("win32")

    def test_a_read_only_login_has_the_next_larger_limit(self, fresh_zoo: OpenZoo, tmp_path: Path) -> None:
        fresh_zoo()
        store = EmbeddedStore(tmp_path / "zoo.db", Engine())
        assert [store.reader(seconds).user for seconds in (0.5, 2, 3, 600)] == [
            "reader1",
            "reader3",
            "reader3",
            "reader60",
        ]
        store.close()
