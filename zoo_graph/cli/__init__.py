"""The `zoo` command: each subcommand opens the zoo, calls one method, and turns errors into advice.

Ends with 0, 1 (the work failed), 2 (the input cannot be used) or 130 (Ctrl-C). This file imports next to nothing, so
that a Ctrl-C finds `main` at work already.
"""

import sys

from zoo_graph.cli.output import explained


def main() -> None:
    """Runs the command line; a known error becomes one sentence and an exit code, never a traceback."""
    with explained():
        import logging

        from zoo_graph.cli.commands import app

        # The driver logs what `explained` tells better; without a handler Python would print it.
        logging.getLogger("neo4j").addHandler(logging.NullHandler())
        app(args=sys.argv[1:])
