"""Subcommand demo."""

from pathlib import Path
from typing import Annotated

import typer

from zoo_graph.cli.options import listed
from zoo_graph.cli.output import probing, say, show
from zoo_graph.cli.sites import WorkersOption, site


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo's zoo, race and report go.")] = Path("demo-out"),
    target: Annotated[list[str], typer.Option(help="The task held out (with --verify several, comma-separated).")] = [],  # noqa: B006
    k: Annotated[int, typer.Option("-k", min=1, help="How many candidates are recalled.")] = 5,
    verify: Annotated[
        bool, typer.Option("--verify", help="Fine-tune every candidate too, and print the regret.")
    ] = False,
    workers: WorkersOption = "1",
    shared: Annotated[Path | None, typer.Option(help="A folder with texts that are for measuring only.")] = None,
    fetch_only: Annotated[
        bool, typer.Option("--fetch-only", help="Download and build what the demo needs, then stop.")
    ] = False,
) -> None:
    """Show the whole path on the demo zoo: recall, plan and selection for a task the zoo knows nothing of."""
    from selection import report
    from zoo_graph.demo import demonstration, verification

    at = site(workers)
    targets = listed(target) or [demonstration.TARGET]
    found = []
    for one in targets:
        ready, path = demonstration.prepare(one, shared=shared, say=say)
        if fetch_only:
            continue
        where = folder / one
        shown = demonstration.demonstrate(
            where,
            one,
            path,
            k=k,
            workers=at,
            say=lambda text: show([text]),
            track=probing,
            on_event=lambda event, made: show([f"   {report.event_line(event, made)}"]),
        )
        show(["", *report.lines(shown.outcome), demonstration.check_winner(shown)])
        spent = f"{shown.seconds:.0f} s of wall clock, {shown.cpu_seconds:.0f} s of CPU in all its calls"
        show([f"report: {shown.report}", spent])
        if verify:
            show(["", f"6. verify: every candidate on {one}, to the end"])
            compared, runs = verification.verify(
                shown, demonstration.local_candidates(ready), where, workers=at, say=lambda text: show([text])
            )
            found.append(compared)
            report.write(
                shown.outcome,
                where,
                picks=shown.recall.picks,
                recall_notes=shown.recall.notes,
                verify={run.model: run.progress.score for run in runs},
                truth={run.model: run.test_score for run in runs},
            )
    if found:
        show(["", *verification.lines(found), f"written to {verification.write(found, folder)}"])
