"""The command that writes a synthetic lake.

Reads, writes: what jobs.synth.lake says.
"""

import time
from datetime import date

from rich.console import Console
from rich.table import Table

from jobs.config import load
from jobs.spark import session
from jobs.synth import lake
from jobs.synth.size import Size


def write(users: int, days: int, first: date, spans_per_user: float, products: int, seed: int) -> None:
    """Write the lake, and say what is in it."""
    size = Size(users, days, first, spans_per_user, products, seed)
    config, console = load(), Console()
    began = time.perf_counter()
    folders = lake.Folders(config.lake, {name: source.path for name, source in config.sources.items()})
    with console.status(f"{size.days} days of {size.blocks} blocks of users"):
        found = lake.write(session(config), size, folders)
    table = Table(title=f"{config.lake}, {time.perf_counter() - began:.0f} s", title_justify="left")
    for heading in ("source", "files", "rows", "MiB"):
        table.add_column(heading, justify="left" if heading == "source" else "right")
    for row in found:
        sizes = (f"{int(row[name]):,}" for name in ("files", "rows"))
        table.add_row(str(row["source"]), *sizes, f"{int(row['bytes']) / 2**20:,.1f}")
    console.print(table)
    console.print(
        "A row of telemetry is a line of eight spans. Next:"
        f" vitrine run users --from {size.first}, and the other jobs of lake_etl.",
        highlight=False,
    )
