"""What the loops of this package need of whoever does the work, and how one is opened by name."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from selection.errors import InputError
from selection.executors.packing import Workers, packing_of

Kind = Literal["local", "ray"]
T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Executor(Protocol[T, R_co]):
    """Does many pieces of work, each apart from the others."""

    def run(self, items: Sequence[T], stop: Callable[[], bool] = ...) -> Iterator[tuple[T, R_co | Exception]]:
        """Yields each item with its result or its exception, as they end; none starts once `stop()` is true."""
        ...

    def let_go(self) -> None:
        """Ends workers that hold no piece, and with them what they hold of memory; others come when they are wanted."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where work is done, and how much of it at once.

    `workers`: a number, or "auto" for as many as cores and measured memory carry. `kind` "ray": over the cluster at
    `ray_address` (None: $RAY_ADDRESS, or one of this machine alone); folders must be on storage its nodes share.
    """

    workers: Workers = 1
    kind: Kind = "local"
    ray_address: str | None = None

    def planned_workers(self, threads: int = 1) -> int:
        """How many pieces a plan may count on at once: of "auto" as many as this machine's cores carry.

        Memory may allow fewer, a cluster more.

        Raises:
            InputError: as `LocalExecutor`.
        """
        if self.kind == "ray" and self.workers != "auto":
            return self.workers
        return packing_of(self.workers, threads).ceiling

    def at_most(self, n_pieces: int) -> "Site":
        """The site with no more workers than there are pieces."""
        return self if self.workers == "auto" else replace(self, workers=max(1, min(self.workers, n_pieces)))

    def open(
        self,
        work: Callable[[T], R],
        *,
        spawn: bool = False,
        threads: int = 1,
        device: str = "cpu",
        folder: Path | None = None,
        expected_seconds: Callable[[T], float | None] | None = None,
        admit: Callable[[T], bool] | None = None,
    ) -> AbstractContextManager[Executor[T, R]]:
        """An executor for `work`, to be used as a context; see `LocalExecutor` and `RayExecutor` for the options.

        `folder` is where pieces write, `device` the torch device that they work on.

        Raises:
            InputError: impossible workers, or no such executor.
        """
        if self.kind == "ray":
            from selection.executors.ray import RayExecutor

            return RayExecutor(
                work,
                self.workers,
                address=self.ray_address,
                folder=folder,
                threads=threads,
                on_gpu=device.startswith("cuda"),
                expected_seconds=expected_seconds,
                admit=admit,
            )
        if self.kind != "local":
            raise InputError(f"got the executor {self.kind!r}; wanted 'local' or 'ray'")
        from selection.executors.local import LocalExecutor

        return LocalExecutor(
            work,
            self.workers,
            spawn=spawn,
            threads=threads,
            expected_seconds=expected_seconds,
            admit=admit,
        )


def site_of(workers: "Workers | Site") -> Site:
    """The site meant by a number of workers, by "auto", or by itself."""
    return workers if isinstance(workers, Site) else Site(workers)
