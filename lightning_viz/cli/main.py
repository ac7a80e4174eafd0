"""``lightning-viz``: one subcommand per module beside this one."""

import argparse
from collections.abc import Sequence

from lightning_viz.cli import runs

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; ``arguments`` are those of the command line when omitted."""
    parser = argparse.ArgumentParser("lightning-viz", description="Read what the callbacks of lightning_viz have kept.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    runs.add_to(commands)
    chosen = parser.parse_args(arguments)
    code: int = chosen.run(chosen)
    return code
