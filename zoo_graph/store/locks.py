"""File locks (flock): the kernel drops them with the process that held them, also after kill -9."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from zoo_graph.errors import StoreError

if sys.platform != "win32":
    import fcntl

POLL_SECONDS = 0.02


def check_platform(platform: str = sys.platform) -> None:
    """Pass on Linux and macOS.

    Raises:
        StoreError: on any other system, where the engine's child process cannot be shared by file locks.
    """
    if platform == "win32":
        raise StoreError(
            f"got platform {platform!r}; an embedded store wants Linux or macOS: "
            "run inside WSL, or open a Neo4j server by its URI (bolt://host or neo4j://host)"
        )


def acquire(path: Path, *, exclusive: bool, seconds: float) -> int:
    """Return a file descriptor that holds the lock; closing it, or the end of the process, releases it.

    Raises:
        TimeoutError: others kept the lock for longer than `seconds`.
    """
    check_platform()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise TimeoutError(f"{path} stayed locked for {seconds:g} s") from None
            time.sleep(POLL_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise


@contextlib.contextmanager
def held(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock exclusively for the block.

    Raises:
        TimeoutError: others kept the lock for longer than `seconds`.
    """
    descriptor = acquire(path, exclusive=True, seconds=seconds)
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock exclusively at this moment."""
    if not path.exists():
        return False
    try:
        os.close(acquire(path, exclusive=False, seconds=0))
    except TimeoutError:
        return True
    return False
