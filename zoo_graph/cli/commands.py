"""The table of subcommands. Importing it costs the start of every `zoo`; heavy rooms are imported inside them."""

from typing import Any

import typer
from typer.core import TyperGroup

from zoo_graph.cli import graph
from zoo_graph.cli.backtest import backtest
from zoo_graph.cli.choice import plan, select
from zoo_graph.cli.demonstration import demo
from zoo_graph.cli.measurements import measure
from zoo_graph.cli.output import explained
from zoo_graph.cli.recommendation import recommend


class Commands(TyperGroup):
    """Typer's group with our own words for errors: left to itself, Typer ends with no word at Ctrl-C."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Reads the command line."""
        with explained():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Runs the subcommand that was named."""
        with explained():
            return super().invoke(ctx)


app = typer.Typer(
    name="zoo",
    cls=Commands,
    help="Which pretrained model should I fine-tune on my data? A graph of results that answers, and proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (*graph.COMMANDS, recommend, plan, select, measure, backtest, demo):
    app.command(name=command.__name__.removesuffix("_"))(command)
