"""Writes the lake's folders of one day after another, and the stamp that says a day is there.

Reads   the package's tables
Writes  {home}/lake, {home}/truth/days, {home}/truth/late
"""

import json
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from jobs.demo import files, source, telemetry, world
from jobs.demo.source import Baskets, Source, date_of

ORDERS = pa.schema(
    {
        "order_id": pa.string(),
        "user_id": pa.string(),
        "store_id": pa.string(),
        "ordered_at": pa.timestamp("us", "UTC"),
    }
)
ORDER_LINES = pa.schema(
    {
        "order_id": pa.string(),
        "line": pa.int32(),
        "product_id": pa.string(),
        "quantity": pa.int32(),
        "sales_cents": pa.int64(),
        "discount_cents": pa.int64(),
    }
)


def stamp_path(home: Path, day: int) -> Path:
    """Where a day's stamp and planted losses are kept."""
    return home / "truth" / "days" / f"{date_of(day)}.json"


def is_written(home: Path, day: int, recipe: str, with_sessions: bool) -> bool:
    """Whether a day is there, made by this recipe, with its sessions when they are wanted."""
    path = stamp_path(home, day)
    if not path.is_file():
        return False
    found = json.loads(path.read_bytes())
    names = ["orders", "order_lines", *(files.SESSION_SOURCES if with_sessions else ())]
    there = all(files.folder(home, name, day).is_dir() for name in names)
    return bool(found["recipe"] == recipe and (found["sessions"] or not with_sessions) and there)


def raw_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """Raw lines of a day in the lake's form and order, with `household` and `kept`."""
    lines = lines.sort_values(["transaction_timestamp", "basket_id"], kind="stable")
    discount = lines[["retail_disc", "coupon_disc", "coupon_match_disc"]].sum(axis=1)
    return pd.DataFrame(
        {
            "household": lines["household_id"],
            "kept": lines["dropped"] == source.REASONS[source.KEPT],
            "order_id": lines["basket_id"].astype(str),
            "user_id": "h" + lines["household_id"].astype(str),
            "store_id": lines["store_id"].astype(str),
            "ordered_at": lines["transaction_timestamp"].dt.tz_localize("UTC"),
            "line": (lines.groupby("basket_id").cumcount() + 1).astype("int32"),
            "product_id": lines["product_id"].astype(str),
            "quantity": lines["quantity"].astype("int32"),
            "sales_cents": (lines["sales_value"] * 100).round().astype("int64"),
            "discount_cents": (discount * 100).round().astype("int64"),
        }
    )


class DayWriter:
    """Writes the lake's folders of one day after another."""

    def __init__(self, home: Path, data: Source, baskets: Baskets, recipe: str) -> None:
        self.home, self.data, self.baskets, self.recipe = home, data, baskets, recipe
        # The package's lines are in order of time, and so of days.
        self.starts = np.searchsorted(data.lines["day"], np.arange(source.DAYS + 1))
        self.catalogue_frame = world.products(data)
        named = self.catalogue_frame[self.catalogue_frame["category"].notna()]
        self.catalogue = {
            int(number): (name, category)
            for number, name, category in zip(
                named["product_id"], named["name"], named["category"], strict=True
            )
        }

    def entities(self) -> None:
        """Users, products, widgets, closings and consents, all of which arrive on the first day."""
        files.put_csv(files.folder(self.home, "users", 0) / "users.csv", world.users(self.data))
        files.put_csv(files.folder(self.home, "closings", 0) / "closings.csv", world.closings())
        files.put_csv(files.folder(self.home, "consents", 0) / "consents.csv", world.consents(self.data))
        files.put_parquet(files.folder(self.home, "products", 0) / "products.parquet", self.catalogue_frame)
        rows = [orjson.dumps(row) + b"\n" for row in world.widgets(self.data, self.baskets)]
        files.put(files.folder(self.home, "widgets", 0) / "widgets.jsonl", b"".join(rows))

    def orders(self, day: int) -> None:
        """Orders and order lines as they came, also the lines that the pipeline will drop."""
        lines = self._lines(day)
        orders = files.folder(self.home, "orders", day) / "orders.parquet"
        files.put_parquet(orders, lines.drop_duplicates("order_id")[ORDERS.names], ORDERS)
        order_lines = files.folder(self.home, "order_lines", day) / "order_lines.parquet"
        files.put_parquet(order_lines, lines[ORDER_LINES.names], ORDER_LINES)

    def sessions(self, day: int, served: dict[int, list[telemetry.Serving]]) -> telemetry.Day:
        """Telemetry and tags of a day's visits: household -> what it was served."""
        orders = self._visit_orders(day)
        visits = [
            telemetry.Visit(household, *world.comes_as(household, day), servings, orders[household])
            for household, servings in served.items()
        ]
        first, after = (
            pd.Timestamp(date_of(d)).tz_localize(source.TIME_ZONE).tz_convert("UTC") for d in (day, day + 1)
        )
        first_us, last_us = int(first.timestamp()) * 1_000_000, int(after.timestamp()) * 1_000_000 - 1000
        made = telemetry.day(day, first_us, last_us, visits, self.catalogue)
        for name, file, lines in zip(
            files.SESSION_SOURCES,
            ("web-0", "layout-0", "tags-0"),
            (made.web, made.layout, made.tags),
            strict=True,
        ):
            files.put_lines(files.folder(self.home, name, day) / f"{file}.jsonl.gz", lines)
            files.put_lines(files.late_path(self.home, name, day + 1), made.late[name.split("/")[-1]])
        return made

    def stamp(self, day: int, made: telemetry.Day | None, generation: int | None = None) -> None:
        """Say that the day is there, what was planted in it, and which generation served it if one did."""
        content = {
            "recipe": self.recipe,
            "sessions": made is not None,
            "generation": generation,
            "planted": dict(sorted(made.planted.items())) if made else {},
            "late_decisions": sorted(made.late_decisions) if made else [],
        }
        files.put(stamp_path(self.home, day), json.dumps(content).encode())

    def _lines(self, day: int) -> pd.DataFrame:
        return raw_lines(self.data.lines.iloc[self.starts[day] : self.starts[day + 1]])

    def _visit_orders(self, day: int) -> dict[int, list[tuple[str, int, int]]]:
        """The orders of each household that kept a line: id, microseconds, cents; in order of time."""
        lines = self._lines(day)
        orders = (
            lines[lines["kept"]]
            .groupby("order_id", sort=False)
            .agg(household=("household", "first"), at=("ordered_at", "first"), cents=("sales_cents", "sum"))
        )
        at_us = orders["at"].astype("datetime64[us, UTC]").astype("int64")
        result: dict[int, list[tuple[str, int, int]]] = {}
        for order, household, at, cents in zip(
            orders.index, orders["household"], at_us, orders["cents"], strict=True
        ):
            result.setdefault(int(household), []).append((order, int(at), int(cents)))
        return result
