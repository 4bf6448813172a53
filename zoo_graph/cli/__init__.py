"""The `zoo` command: each subcommand opens the zoo, calls one method, and turns errors into advice.

Ends with 0, 1 (the work failed) or 2 (the input cannot be used). Heavy rooms are imported inside the subcommands.
"""

import logging
import sys

import typer

from zoo_graph.cli import graph
from zoo_graph.cli.choice import plan, select
from zoo_graph.cli.demonstration import demo
from zoo_graph.cli.measurements import measure
from zoo_graph.cli.output import explained
from zoo_graph.cli.recommendation import recommend

app = typer.Typer(
    name="zoo",
    help="Which pretrained model should I fine-tune on my data? A graph of results that answers, and proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (*graph.COMMANDS, recommend, plan, select, measure, demo):
    app.command(name=command.__name__.removesuffix("_"))(command)


def main() -> None:
    """Runs the command line; a known error becomes one sentence and an exit code, never a traceback."""
    # The driver logs what `explained` tells better; without a handler Python would print it.
    logging.getLogger("neo4j").addHandler(logging.NullHandler())
    with explained():
        app(args=sys.argv[1:])
