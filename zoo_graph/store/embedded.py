"""An embedded store: a folder, and the one child process that serves it to every program on this machine.

The zoo's folder holds `store/`, the engine's root, with four lock files besides the engine's own files:

- `server.lock`: held by the child for its whole life, so whether it lives is asked of the kernel, not of a pid;
- `users.lock`: held (shared) by every open connection; the child ends some seconds after the last one has let go;
- `start.lock`: held by whoever starts the child, so that two who open at once start one;
- `writer.lock`: held for the length of one write transaction.

`server.json` (0600) says where the child answers, `password` (0600) is the engine's, drawn once when the store is made.
"""

import contextlib
import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_graph.errors import InputError, StoreError, StoreFailedError, StoreLockedError, StoreUnavailableError
from zoo_graph.store import locks
from zoo_graph.store.endpoints import READER_SECONDS, Endpoint

START_SECONDS = 60.0
WRITER_SECONDS = 300.0
ATTEMPTS = 3
SPARE_BYTES = 4 << 20  # what a batch of a write may take; a disk with less is full


@dataclass(frozen=True, slots=True)
class Engine:
    """Settings of the child process; they hold from its start, so for everyone who joins it later too."""

    heap: str = "1g"
    grace_seconds: float = 5.0
    command_seconds: float = 60.0


class EmbeddedStore:
    """Uses the engine of one folder, and starts it where it does not run."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.uri = str(folder)
        self._root = folder / "store"
        self._engine = engine
        self._password = (self._root / "password").read_text(encoding="utf-8").strip()
        self._writing = threading.Lock()
        self._users: int | None = self._join()

    def endpoint(self) -> Endpoint:
        """Return the engine's address and its writing user; starts the engine where it does not run.

        Raises:
            StoreLockedError: another program holds the engine's files.
            StoreUnavailableError: the engine does not start, or this connection is closed.
        """
        return Endpoint(self._bolt_uri(), "root", self._password)

    def reader(self, seconds: float) -> Endpoint:
        """Return the address and the read-only user whose time limit is the next one above `seconds`."""
        limit = next((limit for limit in READER_SECONDS if limit >= seconds), READER_SECONDS[-1])
        return Endpoint(self._bolt_uri(), f"reader{limit}", self._password)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writers' lock for the block: the engine would make the later of two writers start again.

        Raises:
            StoreUnavailableError: other writers kept it for five minutes.
        """
        try:
            with self._writing, locks.held(self._root / "writer.lock", seconds=WRITER_SECONDS):
                yield
        except TimeoutError:
            raise StoreUnavailableError(
                f"got no turn to write to {self.folder} within {WRITER_SECONDS:g} s, as other programs kept writing: "
                "wait for the import or refresh that runs, then run this again"
            ) from None

    def writing_fails(self) -> OSError | None:
        """Return the system's error where the folder takes no more bytes: the engine fails then without a reason."""
        try:
            with tempfile.TemporaryFile(dir=self._root) as file:
                file.write(bytes(SPARE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return error
        return None

    def close(self) -> None:
        """Let go of the engine; it ends some seconds after the last one has."""
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def _join(self) -> int:
        """Hold the users' lock, so that the engine stays; waits for one that is just ending."""
        try:
            return locks.acquire(self._root / "users.lock", exclusive=False, seconds=START_SECONDS)
        except TimeoutError:
            raise StoreUnavailableError(
                f"the engine of {self.folder} has been ending for {START_SECONDS:g} s: "
                f"end process {self._server().get('pid', '(unknown)')}, then run this again"
            ) from None

    def _bolt_uri(self) -> str:
        if self._users is None:
            raise StoreUnavailableError(f"this connection to {self.folder} is closed: open the zoo again")
        port = self._running_port() or self._start()
        return f"bolt://127.0.0.1:{port}"

    def _running_port(self) -> int | None:
        if not locks.is_held(self._root / "server.lock"):
            return None
        port = self._server().get("bolt_port")
        return port if isinstance(port, int) else None

    def _server(self) -> dict[str, Any]:
        try:
            found = json.loads((self._root / "server.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _start(self) -> int:
        try:
            with locks.held(self._root / "start.lock", seconds=2 * START_SECONDS):
                return self._port_of_starting() or self._launch()
        except TimeoutError:
            raise StoreUnavailableError(
                f"another program has been starting the engine of {self.folder} for {2 * START_SECONDS:g} s: "
                "end that program, then run this again"
            ) from None

    def _port_of_starting(self) -> int | None:
        """Wait for a child whose starter was killed, or for one that is ending."""
        deadline = time.monotonic() + START_SECONDS
        while locks.is_held(self._root / "server.lock"):
            port = self._running_port()
            if port is not None:
                return port
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"the engine of {self.folder} lives but has not answered for {START_SECONDS:g} s: "
                    f"see {self._root / 'log'}, end that process, then run this again"
                )
            time.sleep(locks.POLL_SECONDS)
        return None

    def _launch(self) -> int:
        """Start the child; a port that was taken meanwhile is drawn anew."""
        (self._root / "server.json").unlink(missing_ok=True)  # one left by a killed child
        answer: dict[str, Any] = {}
        for _ in range(ATTEMPTS):
            answer = _ask_launcher(self._order())
            if "bolt_port" in answer:
                return int(answer["bolt_port"])
            if answer.get("kind") != "port":
                break
        raise self._failure(answer)

    def _order(self) -> dict[str, Any]:
        return {
            "root": str(self._root),
            "password": self._password,
            "heap": self._engine.heap,
            "grace_seconds": self._engine.grace_seconds,
            "command_milliseconds": int(self._engine.command_seconds * 1000),
            "readers": [{"name": f"reader{limit}", "milliseconds": limit * 1000} for limit in READER_SECONDS],
        }

    def _failure(self, answer: dict[str, Any]) -> StoreError:
        got = answer.get("error", f"no answer within {START_SECONDS:g} s")
        if answer.get("kind") == "locked":
            return StoreLockedError(
                f"another program holds the files of {self.folder}; it has to be the only one that opens them: "
                "end that program (one that uses this library would have shared them), or work on a copy of the folder"
            )
        if answer.get("kind") == "missing":
            return StoreError(
                f"the embedded engine cannot be loaded ({got}); wanted the package arcadedb as pyproject.toml pins it: "
                "install it, or open a Neo4j server by its URI (bolt://host or neo4j://host)"
            )
        if full := self.writing_fails():
            return cannot_write(self.uri, full)
        return StoreUnavailableError(
            f"the engine of {self.folder} did not start: {got}; see {self._root / 'log'}, then run this again"
        )


def cannot_write(uri: str, error: OSError) -> StoreFailedError:
    """Return what to tell where the zoo's folder cannot be written, with the system's reason."""
    return StoreFailedError(
        f"the disk of {uri} is full or cannot be written ({error.strerror or error}): free some space or allow writing "
        "there, then run the same command again; what was written before is kept"
    )


def prepare(folder: Path, *, create: bool) -> Path:
    """Return the absolute path of a folder that holds a store; makes one where `create` allows it.

    Raises:
        InputError: no store there (and not `create`), a file in its place, or a folder full of other things.
        StoreError: the platform cannot run an embedded store, or the folder cannot be written.
    """
    locks.check_platform()
    folder = folder.expanduser().absolute()
    if (folder / "store" / "password").is_file():
        return folder
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a zoo is a folder: name another path, or move the file away")
    if not create:
        raise InputError(f"there is no zoo at {folder}: run `zoo init {folder}` first, or name the folder of another")
    if folder.exists() and any(entry.name != "store" for entry in folder.iterdir()):
        raise InputError(f"{folder} holds other files; a new zoo wants an empty or a new folder: name another path")
    try:
        _create(folder)
    except OSError as error:
        raise StoreError(f"cannot make a zoo at {folder} ({error}): name a folder that you may write to") from error
    return folder


def _create(folder: Path) -> None:
    root = folder / "store"
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    with locks.held(root / "start.lock", seconds=START_SECONDS):
        if (root / "password").exists():  # another program was faster
            return
        draft = root / "password.draft"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32))
        draft.replace(root / "password")


def _ask_launcher(order: dict[str, Any]) -> dict[str, Any]:
    """Start the launcher with its order on standard input; return its one line of answer, {} for none in time."""
    launcher = Path(__file__).with_name("launcher.py")
    with subprocess.Popen(
        [sys.executable, "-I", str(launcher)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # Ctrl-C in one user's terminal is not meant for the engine of all
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise StoreError("the launcher has no pipes")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.close()
        return _read_answer(process.stdout.fileno(), START_SECONDS)


def _read_answer(descriptor: int, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
        chunk = os.read(descriptor, 65536) if ready else b""
        if not chunk:
            break
        text += chunk
    answer = json.loads(text) if text.endswith(b"\n") else {}
    return answer if isinstance(answer, dict) else {}
