"""A data home in which one subject, user h7, has layouts of two nights, features and a history."""

from datetime import UTC, datetime, timedelta

from jobs.config import Config
from jobs.ids import pseudonym, subject_bucket
from jobs.store.export import export
from jobs.tables import Tables
from tests.store import given as nights


def known_subject(made: Config) -> Config:
    """Fill store and tables of a configuration's home, and return it."""
    who = pseudonym("user", "h7", key=made.ids.key, key_id=made.ids.key_id)
    rows = [nights.layout(who, page) for page in ("home", "start")]
    export(made.store_url, nights.night(), nights.inputs([*nights.layouts(range(2)), *rows], nights.lists()))
    tables = Tables(made.tables)
    kept = ("subject", "page", "draw_id", "widgets", "scores", "propensities", "reasons", "policy_version")
    own = [{name: row[name] for name in kept} for row in rows]
    for row in own:
        row |= {"scenario": "live", "bonuses": [0.0] * len(row["widgets"]), "drawn_date": nights.DAY}
        row |= {"candidates": row["widgets"], "layout_date": nights.DAY}
        row |= {"filtered": ["category:soft-drinks: bought 3 days before"]}
        row |= {"subject_bucket": subject_bucket(who, made.subject_buckets)}
    before = [
        {**row, "layout_date": nights.DAY - timedelta(1), "draw_id": "older", "widgets": row["widgets"][::-1]}
        for row in own
    ]
    other = [{**row, "scenario": "backfill", "widgets": ["x"]} for row in before]
    tables.append("layouts", [*own, *before, *other])
    bucket = subject_bucket(who, made.subject_buckets)
    tables.append(
        "subject_daily",
        [{"subject": who, "subject_bucket": bucket, "activity_date": nights.DAY - timedelta(ago),
          "lines": lines, "sales_cents": cents, "category_visits": [(name, 1) for name in categories]}
         for ago, lines, cents, categories in (
             (0, 4, 200, ["SOFT DRINKS", "CHEESE"]), (3, 0, 0, []), (9, 1, 199, ["EGGS"]),
             (99, 1, 1, ["BEEF"]), (-1, 1, 1, ["SOUP"]),
         )],
    )  # fmt: skip
    # No file of another bucket is opened: what cannot be there is not seen.
    elsewhere = {"subject": who, "subject_bucket": 1 - bucket, "activity_date": nights.DAY - timedelta(2)}
    tables.append("subject_daily", [{**elsewhere, "lines": 1, "sales_cents": 1, "category_visits": []}])
    tables.append(
        "sessions",
        [{"session_id": "s", "subject": who, "session_date": nights.DAY, "product_views": 3, "basket_adds": 1,
          "subject_bucket": bucket, "started_at": datetime(2017, 12, 30, tzinfo=UTC)}],
    )  # fmt: skip
    tables.append(
        "subject_features",
        [{"subject": who, "feature_date": nights.DAY, "role": "consultant", "region": "north",
          "subject_bucket": bucket, "last_active_date": nights.DAY}],
    )  # fmt: skip
    return made
