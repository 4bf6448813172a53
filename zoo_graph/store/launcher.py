"""The child process of an embedded store: hosts the engine, serves Bolt on loopback, ends when its last user has gone.

Run as `python -I launcher.py` with one line of JSON on standard input; answers with one line on standard output:
`{"pid": ..., "bolt_port": ...}` or `{"error": text, "kind": "locked" | "port" | "missing" | "start"}`.

It stands alone (standard library and the engine's wheel), so it starts fast and knows nothing of the package around it.
It forks once, so that it is nobody's child: a user who ends, or is killed, takes nothing along and leaves no zombie.
"""

import base64
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.2
LOCK_SECONDS = 2.0
STOP_SECONDS = 30
KEPT_EVENT_LOGS = 5
ADMIN = {
    "resultSetLimit": -1,
    "readTimeout": -1,
    "access": ["updateSecurity", "updateSchema", "updateDatabaseSettings"],
    "types": {"*": {"access": ["createRecord", "readRecord", "updateRecord", "deleteRecord"]}},
}
NOTHING = {"resultSetLimit": -1, "readTimeout": -1, "access": [], "types": {"*": {"access": []}}}


def main() -> None:
    """Read the order, fork, serve, end."""
    order = json.loads(sys.stdin.readline())
    report = os.dup(1)
    _point_output_at(Path(order["root"]) / "log" / "launcher.log")
    if os.fork():
        os._exit(0)
    try:
        _serve(order, report)
    except BaseException as error:
        _answer(report, {"error": f"{type(error).__name__}: {error}", "kind": _kind(error)})
        os._exit(1)
    os._exit(0)


def _point_output_at(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _answer(report: int, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the user who asked may be gone, or was answered already
        os.write(report, json.dumps(message).encode() + b"\n")
        os.close(report)


def _kind(error: BaseException) -> str:
    text = str(error).lower()
    if isinstance(error, ImportError):
        return "missing"
    if "locked by another process" in text:
        return "locked"
    return "port" if "address already in use" in text or "unable to listen" in text else "start"


def _serve(order: dict[str, Any], report: int) -> None:
    root = Path(order["root"])
    alive = _lock(root / "server.lock", LOCK_SECONDS)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    _write_groups(root, order["readers"])
    ports = {"bolt_port": _free_port(), "http_port": _free_port()}
    server = _start_engine(order, ports)
    _create_readers(order, ports["http_port"])
    message = {"pid": os.getpid(), **ports}
    _write_private(root / "server.json", json.dumps(message))
    _answer(report, message)
    users = _wait_for_end(root / "users.lock", order["grace_seconds"], ending)
    if users is not None and _is_at(root / "server.lock", alive):
        signal.alarm(STOP_SECONDS)  # what is committed is on disk: an engine that hangs may as well be ended
        (root / "server.json").unlink(missing_ok=True)
        server.stop()


def _lock(path: Path, seconds: float) -> int:
    """Hold `path` exclusively. Those who ask whether it is held take it for a moment, hence the patience."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path} is locked by another process") from None
            time.sleep(0.01)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_groups(root: Path, readers: list[dict[str, Any]]) -> None:
    """Write the engine's groups: administrators, and one read-only group for each time limit."""
    groups = {
        reader["name"]: {
            "resultSetLimit": -1,
            "readTimeout": reader["milliseconds"],
            "access": [],
            "types": {"*": {"access": ["readRecord"]}},
        }
        for reader in readers
    }
    databases = {"*": {"groups": {"admin": ADMIN, "*": NOTHING}}, "zoo": {"groups": {"admin": ADMIN, **groups}}}
    (root / "config").mkdir(exist_ok=True)
    _write_private(root / "config" / "server-groups.json", json.dumps({"databases": databases, "version": 2}))


def _write_private(path: Path, text: str) -> None:
    """Replace `path` in one step, readable by its owner only."""
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _start_engine(order: dict[str, Any], ports: dict[str, int]) -> Any:
    """Start the engine; its options have to be in the environment before its import."""
    root = Path(order["root"])
    _drop_old_event_logs(root / "log")
    os.environ["ARCADEDB_NATIVE_ISOLATE_ARGS"] = " ".join(
        [
            f"-Xmx{order['heap']}",
            f"-Darcadedb.command.timeout={order['command_milliseconds']}",
            "-Darcadedb.bolt.maxMessageSize=134217728",
            "-Darcadedb.txWalFlush=2",
        ]
    )
    os.environ["ARCADEDB_LOG_DIR"] = str(root / "log")
    os.environ["ARCADEDB_LOG_CONSOLE"] = "0"
    import arcadedb

    settings = {
        **ports,
        "host": "127.0.0.1",
        "mode": "development",  # production blanks the texts of errors
        "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
    }
    server = arcadedb.create_server(str(root), root_password=order["password"], config=settings)
    server.start()
    server.create_database("zoo")
    return server


def _drop_old_event_logs(folder: Path) -> None:
    """Keep the newest few: the engine writes one more at each start."""
    logs = sorted(folder.glob("server-event-log-*.jsonl"), key=lambda log: log.name)
    for log in logs[:-KEPT_EVENT_LOGS]:
        log.unlink(missing_ok=True)


def _create_readers(order: dict[str, Any], http_port: int) -> None:
    """Create the read-only users that the engine does not have yet."""
    users = Path(order["root"]) / "config" / "server-users.jsonl"
    known = {json.loads(line)["name"] for line in users.read_text(encoding="utf-8").splitlines() if line.strip()}
    for reader in order["readers"]:
        if reader["name"] not in known:
            user = {"name": reader["name"], "password": order["password"], "databases": {"zoo": [reader["name"]]}}
            _command(http_port, order["password"], f"create user {json.dumps(user)}")


def _command(http_port: int, password: str, text: str) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{http_port}/api/v1/server",
        data=json.dumps({"command": text}).encode(),
        headers={
            "Authorization": "Basic " + base64.b64encode(f"root:{password}".encode()).decode(),
            "Content-Type": "application/json",
        },
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=30) as response:
        response.read()


def _wait_for_end(path: Path, grace_seconds: float, ending: list[int]) -> int | None:
    """Return when asked to end, or when nobody has used the store for the grace; the lock returned keeps new users out.

    A user holds the lock shared; so it can be had exclusively only when there is none. Where the zoo's folder has been
    deleted, and maybe made anew, there is nothing left to serve: the answer is None, at once.
    """
    users = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    idle_since = time.monotonic()
    while not ending:
        time.sleep(min(POLL_SECONDS, grace_seconds / 4 + 0.01))
        if not _is_at(path, users):
            return None
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            idle_since = time.monotonic()
            continue
        if time.monotonic() - idle_since >= grace_seconds:
            return users
        fcntl.flock(users, fcntl.LOCK_UN)
    return users


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the file that was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main()
