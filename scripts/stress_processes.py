"""Commands as processes: started in a group of their own, told apart by a mark, killed; and what their zoo then holds.

Linux only: processes are found in /proc. Knows nothing of which command does what.
"""

import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from neo4j.exceptions import DriverError, Neo4jError

from zoo_graph.store import Engine, locks, open_store
from zoo_graph.store.bolt import Bolt
from zoo_graph.store.endpoints import Endpoint

LOOK_SECONDS = 300
LOOK_EVERY_SECONDS = 0.05
TIMES = {"seconds", "cpu_seconds", "feature_seconds", "started", "finished"}

Victim = Literal["command", "command and engine", "engine", "worker"]
Queries = dict[str, str]


class Site:
    """A folder to work in, and the processes that were started for it, told by a mark in their environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.zoo = folder / "zoo.db"
        self.race = folder / "race"
        self.mark = f"ZOO_STRESS={uuid.uuid4().hex}"

    def clear(self) -> None:
        self.stop_engines()
        for path in (self.zoo, self.race):
            shutil.rmtree(path, ignore_errors=True)

    def pids(self, word: str = "") -> list[int]:
        """The marked processes whose command line holds the word."""
        return [pid for pid, line in self._marked() if word in line]

    def strays(self) -> list[int]:
        """All that is neither the engine nor, if still running, a command of ours."""
        return [pid for pid, line in self._marked() if "launcher.py" not in line]

    def cpu_seconds(self) -> float:
        """What the marked processes that live have used so far."""
        ticks = 0
        for pid, _ in self._marked():
            with contextlib.suppress(OSError):  # it has ended
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop_engines(self) -> None:
        for pid in self.pids("launcher.py"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not self.pids("launcher.py"), 60)

    def _marked(self) -> Iterator[tuple[int, str]]:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):  # it has ended, or is none of ours
                    if self.mark.encode() in (folder / "environ").read_bytes():
                        yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()


class Attempt:
    """One run of a command in a process group of its own; `bar`: its stderr is a terminal, so it shows progress.

    With `notes` it is `stress_zoo.py`, which writes there what it trains.
    """

    def __init__(self, site: Site, words: Sequence[str], *, bar: bool = False, notes: Path | None = None) -> None:
        beside = Path(sys.executable).with_name("zoo")
        start = [str(beside)] if beside.exists() else [sys.executable, "-c", "from zoo_graph.cli import main; main()"]
        if notes is not None:
            start = [sys.executable, str(Path(__file__).with_name("stress_zoo.py"))]
        name, _, value = site.mark.partition("=")
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        terminal = {"TERM": "xterm", "COLUMNS": "120"}
        environment = {**os.environ, **one_thread, **terminal, "ZOO": str(site.zoo), name: value}
        environment |= {"ZOO_STRESS_NOTES": str(notes)} if notes else {}
        self._out = tempfile.TemporaryFile()  # noqa: SIM115
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        reads, writes = os.openpty() if bar else (-1, self._err.fileno())
        self._site = site
        self._before = site.cpu_seconds()
        self.cpu_seconds = 0.0
        self.process = subprocess.Popen(
            [*start, *words], env=environment, cwd=site.folder, stdin=subprocess.DEVNULL, stdout=self._out,
            stderr=writes, process_group=0,
        )  # fmt: skip
        self._reader: threading.Thread | None = None
        if bar:
            os.close(writes)
            self._reader = threading.Thread(target=self._read, args=(reads,), daemon=True)
            self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves no process of its group behind."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._reader is not None:
            self._reader.join()
        self._out.close()
        self._err.close()

    def ends(self, seconds: float, cpu_seconds: float = math.inf) -> bool:
        """Waits for the command's end, but no longer than it and all it started use so much CPU time, or so long.

        CPU time, as on a busy machine a moment by the clock would come before the work has begun.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.cpu_seconds < cpu_seconds:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(LOOK_EVERY_SECONDS)
                return True
            self.cpu_seconds = max(self.cpu_seconds, self._site.cpu_seconds() - self._before)
        return False

    def stdout(self) -> str:
        return _text(self._out)

    def stderr(self) -> str:
        if self._reader is not None and self.process.poll() is not None:
            self._reader.join(10)
        return _text(self._err)

    def _read(self, terminal: int) -> None:
        with contextlib.suppress(OSError):  # so a terminal says that nobody writes to it any more
            while chunk := os.read(terminal, 65536):
                os.pwrite(self._err.fileno(), chunk, os.fstat(self._err.fileno()).st_size)
        os.close(terminal)


def strike(site: Site, attempt: Attempt, victim: Victim, chance: random.Random) -> Victim:
    """Kills the victim, or the command where that does not run yet; returns who was killed."""
    if victim.startswith("command"):  # at once: looking for the others takes longer than some moments last
        attempt.process.kill()
    prey = [attempt.process.pid] if victim.startswith("command") else []
    prey += site.pids("launcher.py") if victim.endswith("engine") else []
    if victim == "worker" and (workers := site.pids("spawn_main")):
        prey = [chance.choice(workers)]
    for pid in prey or [attempt.process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not prey or attempt.process.pid in prey:
        attempt.process.wait()
        return victim if prey else "command"
    return victim


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def _text(file: Any) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


def look(zoo: Path, queries: dict[str, str]) -> Counter[str] | None:
    """What a reader beside the command sees, as `name text`; None where no engine answers. Starts and holds nothing."""
    if not locks.is_held(zoo / "store" / "server.lock"):
        return None
    try:
        port = json.loads((zoo / "store" / "server.json").read_text())["bolt_port"]
        password = (zoo / "store" / "password").read_text().strip()
    except (FileNotFoundError, ValueError):
        return None
    bolt = Bolt(Endpoint(f"bolt://127.0.0.1:{port}", "root", password), None)
    try:
        return bolt.transact(lambda graph: _collected(lambda text: graph.run(text, {}), queries), "READ")
    except (Neo4jError, DriverError):
        return None
    finally:
        bolt.close()


def look_after(zoo: Path, queries: Queries) -> Counter[str]:
    """What the graph holds after a kill; where the engine is gone, a copy is asked, and the zoo stays as it crashed.

    Raises:
        TimeoutError: neither an engine answers nor do the files come to rest.
    """
    deadline = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < deadline:
        if not (zoo / "store" / "password").exists():
            return Counter()
        found = look(zoo, queries)
        if found is None:
            found = _look_at_copy(zoo, queries)
        if found is not None:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"the engine of {zoo} neither answered nor ended within {LOOK_SECONDS} s")


def _look_at_copy(zoo: Path, queries: Queries) -> Counter[str] | None:
    """What a copy of the files holds; None where an engine was at them, or came while they were copied."""
    if locks.is_held(zoo / "store" / "server.lock"):
        return None
    copy = zoo.with_name("copy.db")
    try:
        shutil.copytree(zoo, copy)
        if locks.is_held(zoo / "store" / "server.lock"):
            return None
        with open_store(copy, engine=Engine(grace_seconds=0.1)) as store:
            found = _collected(store.read, queries)
        wait_until(lambda: not locks.is_held(copy / "store" / "server.lock"), LOOK_SECONDS)
        return found
    except shutil.Error:  # files went while they were copied
        return None
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _collected(read: Any, queries: dict[str, str]) -> Counter[str]:
    return Counter(f"{name} {plain(item)}" for name, text in queries.items() for item in read(text)[0]["x"])


def plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_timeless(value), sort_keys=True, ensure_ascii=False)


def _timeless(value: Any) -> Any:
    """The value without what no two runs have alike: its times."""
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
