"""Options that say where work is done and how much of it at once."""

from typing import Annotated, Final

import typer

from selection.executors.executor import Kind, Site
from zoo_graph.cli.options import bearable

AUTO: Final = "auto"


def _workers(text: str) -> str:
    if text != AUTO and not (text.isdigit() and int(text) > 0):
        raise typer.BadParameter(f"got {text}; wanted a number above 0, or {AUTO}")
    return text


WorkersOption = Annotated[
    str,
    typer.Option(
        "--workers",
        callback=_workers,
        help="Pieces of work at the same time: a number, or auto for as many as cores and measured memory carry.",
    ),
]
ExecutorOption = Annotated[
    Kind, typer.Option("--executor", help="This machine, or the nodes of a Ray cluster (needs the extra ray).")
]
RayOption = Annotated[
    str | None,
    typer.Option("--ray-address", help="The cluster, e.g. host:6379 (default: $RAY_ADDRESS, or one made here)."),
]
DiskOption = Annotated[
    str | None,
    typer.Option("--disk", help="What the race may hold on disk, e.g. 20GB (default: half of what is free)."),
]


def site(workers: str, executor: Kind = "local", ray_address: str | None = None) -> Site:
    """The site that the options mean; an address means Ray.

    Raises:
        typer.BadParameter: more workers than this machine can carry.
    """
    kind: Kind = "ray" if ray_address else executor
    if workers == AUTO:
        return Site(AUTO, kind, ray_address)
    count = int(workers)
    return Site(count if kind == "ray" else bearable(count), kind, ray_address)
