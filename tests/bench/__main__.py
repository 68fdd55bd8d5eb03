"""Run one benchmark or all: python -m tests.bench [NAME]."""

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.config import home
from tests.bench.measure import Row

WIDE = 150


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    known = sorted(file.stem.removeprefix("bench_") for file in Path(__file__).parent.glob("bench_*.py"))
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"There is no benchmark {unknown[0]!r}; there are {', '.join(known)}.")
    for name in names or known:
        rows = importlib.import_module(f"tests.bench.bench_{name}").run()
        show(name, rows)
        target = home() / "bench" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def show(name: str, rows: list[Row]) -> None:
    """Print a benchmark's rows; a ratio above 1 means that ours is better."""
    table = Table(
        title=f"bench-{name}", caption="ratio above 1: ours is better; medians", title_justify="left"
    )
    for heading in ("what", "size", "unit", "ours", "peer", "peer is", "ratio", "equal", "peak MiB"):
        table.add_column(heading, justify="left" if heading in ("what", "unit", "peer is") else "right")
    for row in rows:
        peer = "" if row.peer is None else f"{row.peer:,.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        equal = "" if row.equal is None else "yes" if row.equal else "NO"
        size = f"{row.size:,}"
        table.add_row(
            row.what,
            size,
            row.unit,
            f"{row.ours:,.2f}",
            peer,
            row.peer_name,
            ratio,
            equal,
            f"{row.peak_mib:,}",
        )
    # Where nobody looks at a terminal, a line of a file holds a row.
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
