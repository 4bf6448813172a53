"""Subcommand backtest."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo_graph.cli.options import MAX_SEED, ZooOption, listed, open_zoo
from zoo_graph.cli.output import FAILED, as_csv, say, show, track
from zoo_graph.cli.sites import ExecutorOption, RayOption, WorkersOption, site
from zoo_graph.errors import InputError

if TYPE_CHECKING:
    from zoo_graph.backtest.backtest import Backtest

_PICTURES = (".png", ".svg")


def backtest(
    where: Annotated[
        str | None, typer.Argument(help="The zoo, as --zoo takes it (default: $ZOO, else zoo.db).")
    ] = None,
    zoo: ZooOption = None,
    dataset: Annotated[list[str], typer.Option(help="Leave out these datasets only.")] = [],  # noqa: B006
    ranker: Annotated[list[str], typer.Option(help="Only these, beside history: ours, random, logme, ...")] = [],  # noqa: B006
    evaluated: Annotated[
        list[str], typer.Option(help="Models measured on the dataset before it is asked: 0 is none, e.g. 0,3.")
    ] = ["0"],  # noqa: B006
    hold_out: Annotated[
        list[str], typer.Option(help="dataset=other: with the dataset, also leave out the other, a part or superset.")
    ] = [],  # noqa: B006
    links: Annotated[
        bool,
        typer.Option("--links", help="Also link prediction, alone and in recall: trains ten networks (minutes)."),
    ] = False,
    workers: WorkersOption = "1",
    executor: ExecutorOption = "local",
    ray_address: RayOption = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Where it is kept, to go on from (default: in the zoo's).")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write the picture to this .png or .svg file.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the figures as CSV instead of tables.")] = False,
) -> None:
    """Judge recall on the zoo itself: datasets left out in turn, rankers beside history. Run again to go on."""
    if plot is not None and plot.suffix not in _PICTURES:
        raise InputError(f"got --plot {plot}; wanted a file that ends in {' or '.join(_PICTURES)}")
    at = site(workers, executor, ray_address)
    with open_zoo(where or zoo) as opened, track("ranking") as advance:
        found = opened.backtest(
            listed(dataset) or None,
            only=listed(ranker) or None,
            evaluated=[_whole(text) for text in listed(evaluated)],
            hold_out=_held(hold_out),
            links=links,
            workers=at,
            seed=seed,
            out=folder,
            track=advance,
        )
    _copy(found, json, plot)
    show([_as_csv(found)] if csv else found.lines())
    say(f"written to {', '.join(map(str, found.files))}")
    failed = sum(record.state == "failed" for record in found.records)
    if failed:
        say(f"zoo: {failed} of {len(found.records)} rankings failed; the same command tries them again")
        raise typer.Exit(FAILED)


def _copy(found: "Backtest", json: Path | None, plot: Path | None) -> None:
    by_suffix = {path.suffix: path for path in found.files}
    for wanted, suffix in ((json, ".json"), (plot, plot.suffix if plot else "")):
        if wanted is not None:
            wanted.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(by_suffix[suffix], wanted)


def _as_csv(found: "Backtest") -> str:
    rows = found.rows()
    return as_csv(list(rows[0]) if rows else [], [list(row.values()) for row in rows])


def _held(given: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in listed(given):
        target, equals, other = (part.strip() for part in text.partition("="))
        if not equals or not target or not other:
            raise InputError(f"got --hold-out {text!r}; wanted dataset=other, several separated by commas")
        found.setdefault(target, []).append(other)
    return found


def _whole(text: str) -> int:
    if not text.isdigit():
        raise InputError(f"got --evaluated {text!r}; wanted whole numbers, e.g. --evaluated 0,3")
    return int(text)
