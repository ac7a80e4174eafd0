"""``lightning-viz runs``: what a log dir holds."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_viz.store import Contents, Record

__all__ = ["add_to"]


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser("runs", help="list the runs below a folder, their records, and files that are damaged")
    parser.add_argument("logdir", type=Path, metavar="LOGDIR")
    parser.set_defaults(run=_list_runs)


def _list_runs(chosen: argparse.Namespace) -> int:
    from lightning_viz.store import PLUGIN_NAME, read_store  # noqa: PLC0415 (--help needs no NumPy)

    folders = sorted(chosen.logdir.rglob(f"plugins/{PLUGIN_NAME}"))
    if not folders:
        print(f"lightning-viz runs: no run below {chosen.logdir} has records of lightning_viz.", file=sys.stderr)
        return 1
    for folder in folders:
        print(folder.parents[1].relative_to(chosen.logdir))
        print("\n".join(f"  {line}" for line in _describe(read_store(str(folder)))))
    return 0


def _describe(contents: "Contents[Record]") -> Iterator[str]:
    drawn = defaultdict(list)
    for record in contents.records:
        drawn[record.name, record.layer].append(record)
    if not drawn:
        yield "no records"
    for (name, layer), records in drawn.items():
        failed = sum(record.error is not None for record in records)
        epochs = sorted(record.epoch for record in records)
        often = f"{len(records)} records, epochs {epochs[0]:g} to {epochs[-1]:g}"
        often = often if len(records) > 1 else f"1 record, epoch {epochs[0]:g}"
        yield f"{name} {layer or '-'}: {often}" + (f", {failed} failed" if failed else "")
    for file, reason in contents.skipped.items():
        yield f"left out: {file} ({reason})"
