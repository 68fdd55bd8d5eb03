"""outcomes: one row per thing a subject did, or brought about, that may follow a decision.

Of events: a product view is a `detail`, and so is a click on a widget that leads to no product; a basket add
is a `basket`, an order placed an `order`; bots, and who did not agree, are left out. Of order lines: a
`purchase` of a product that the subject had opened or put into the basket that day or the day before, a
`reorder` when it had bought the product within `reorder_days`.
Of orders: a `team_sale`, the sponsor's. Of users: a `recruit`, the sponsor's, at the end of the day on which
the person arrived; none on the first day of `users`, which lists who was there already. Whoever an outcome is
about, the sponsor and whom it recruited, must agree as of that day. What comes from a
circle of sponsors, or belongs to a sponsor whom `users` does not know by then, goes to quarantine.

Who ordered logged in may have looked logged out: a line is the subject's whose event placed the order.

Reads   events of the interval and the day before; orders, and order_lines back to `reorder_days`; products,
users
Writes  outcomes, partition outcome_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import ConfigError, Consent
from jobs.consent import with_consent
from jobs.shell import Days, Job, Until
from jobs.sources import changes
from jobs.sponsors import circles

KINDS = {"product_view": "detail", "widget_click": "detail", "basket_add": "basket", "order_placed": "order"}
LOOKED = ("product_view", "basket_add")
LONGEST_REORDER = 84
CIRCLE = "a team sale or recruit must not come from a circle of sponsors"
UNKNOWN = "a team sale or recruit needs a sponsor that users knows"


def build(
    events: DataFrame,
    orders: DataFrame,
    order_lines: DataFrame,
    products: DataFrame,
    users: DataFrame,
    consents: DataFrame,
    *,
    days: Sequence[date],
    business_time_zone: str,
    subject_buckets: int,
    reorder_days: int,
    consent: Consent,
) -> DataFrame:
    """Keep what people did after a page was shown to them, and what it led to."""
    if reorder_days > LONGEST_REORDER:
        raise ConfigError(
            f"conf: jobs.outcomes.reorder_days = {reorder_days} cannot be: {LONGEST_REORDER} days are read."
        )
    is_person = ~F.coalesce("is_bot", F.lit(False)) & F.coalesce("is_consented", F.lit(False))
    people = events.where(F.col("event_name").isin(*KINDS) & is_person)
    sponsored = changes.valid(users, "subject").where(~F.coalesce("is_deleted", F.lit(False)))
    bought = _bought(people, orders, order_lines, days, reorder_days)

    def agreed(rows: DataFrame, subject: str, day: str) -> DataFrame:
        asked = with_consent(rows, consents, consent, subject=subject, day=day)
        return asked.where("is_consented").drop("is_consented")

    lines = _of_days(order_lines, "order_date", days)
    team = _team_sales(agreed(orders, "subject", "order_date"), lines, sponsored, subject_buckets)
    recruits = _recruits(users, days, business_time_zone, subject_buckets)
    recruits = agreed(recruits, "led", "outcome_date")
    # An event of the day before may come from before a refusal.
    led = agreed(team.unionByName(recruits, True), "subject", "outcome_date")
    own = _with_category(_events(_of_days(people, "event_date", days)), products).unionByName(
        agreed(bought, "subject", "outcome_date"), True
    )
    return own.unionByName(_judged(led, users, sponsored, days), True)


def _events(people: DataFrame) -> DataFrame:
    kind = F.coalesce(*(F.when(F.col("event_name") == name, F.lit(kind)) for name, kind in KINDS.items()))
    return people.select(
        F.col("event_id").alias("outcome_id"),
        F.col("event_date").alias("outcome_date"),
        F.col("event_at").alias("happened_at"),
        "subject",
        "subject_bucket",
        kind.alias("kind"),
        "trace_id",
        "page",
        "decision_id",
        "position",
        "widget",
        "product_id",
        "order_id",
        "value_cents",
    )


def _with_category(outcomes: DataFrame, products: DataFrame) -> DataFrame:
    """Add the product's category of that day."""
    listed = changes.valid(products, "product_id").select(
        F.col("product_id").alias("_listed"), "category", "valid_from", "valid_until"
    )
    day = F.col("outcome_date")
    of_the_day = (
        (F.col("product_id") == F.col("_listed"))
        & (day >= F.col("valid_from"))
        & (day < F.col("valid_until"))
    )
    return outcomes.join(listed, of_the_day, how="left").drop("_listed", "valid_from", "valid_until")


def _bought(
    people: DataFrame, orders: DataFrame, order_lines: DataFrame, days: Sequence[date], reorder_days: int
) -> DataFrame:
    """Lines of products that the subject had looked at: few, so what they need of history joins to few."""
    is_placed = (F.col("event_name") == "order_placed") & F.col("order_id").isNotNull()
    # Of the order's day and the day before alone, however days are run together.
    order_date = F.explode(F.array(F.col("event_date"), F.date_add("event_date", 1)))
    placed = (
        people.where(is_placed)
        .withColumn("order_date", order_date)
        .groupBy("order_id", "order_date")
        .agg(F.min(F.struct("event_at", "subject", "subject_bucket")).alias("_placed"))
    )
    looked = people.where(F.col("event_name").isin(*LOOKED) & F.col("product_id").isNotNull()).select(
        "subject", "product_id", F.col("event_date").alias("_looked")
    )
    lines = _of_days(order_lines, "order_date", days).join(
        orders.select("order_id", F.col("ordered_at").alias("happened_at")), on="order_id", how="inner"
    )
    who = lines.join(placed, on=["order_id", "order_date"], how="left").select(
        F.col("subject").alias("_buyer"),
        F.coalesce("_placed.subject", "subject").alias("subject"),
        F.coalesce("_placed.subject_bucket", "subject_bucket").alias("subject_bucket"),
        "order_id",
        "line",
        "order_date",
        "happened_at",
        "product_id",
        "category",
        "sales_cents",
    )
    age = F.date_diff("order_date", "_looked")
    theirs = ["subject", "product_id"]
    near = (age >= 0) & (age <= 1)
    first = (
        who.join(looked, on=theirs, how="inner")
        .where(near)
        .groupBy(*who.columns)
        .agg(F.count("*").alias("_n"))
    )
    earlier = order_lines.select(
        F.col("subject").alias("_buyer"), "product_id", F.col("order_date").alias("_before")
    ).distinct()
    again = F.date_diff("order_date", "_before").between(1, reorder_days)
    repeated = (
        first.join(earlier, on=["_buyer", "product_id"], how="left")
        .groupBy(*who.columns)
        .agg(F.max(again).alias("_again"))
    )
    return repeated.select(
        F.concat_ws("/", "order_id", "line").alias("outcome_id"),
        F.col("order_date").alias("outcome_date"),
        "happened_at",
        "subject",
        "subject_bucket",
        F.when(F.col("_again"), "reorder").otherwise("purchase").alias("kind"),
        "product_id",
        "category",
        "order_id",
        F.col("sales_cents").alias("value_cents"),
    )


def _team_sales(
    orders: DataFrame, order_lines: DataFrame, sponsored: DataFrame, subject_buckets: int
) -> DataFrame:
    """Orders of people with a sponsor, for the sponsor."""
    sums = order_lines.groupBy("order_id").agg(F.sum("sales_cents").alias("value_cents"))
    buyer = sponsored.select(F.col("subject").alias("_buyer"), "sponsor", "valid_from", "valid_until").where(
        F.col("sponsor").isNotNull()
    )
    day = F.col("order_date")
    of_the_day = (
        (F.col("subject") == F.col("_buyer")) & (day >= F.col("valid_from")) & (day < F.col("valid_until"))
    )
    return (
        orders.join(buyer, of_the_day, how="inner")
        .join(sums, on="order_id", how="inner")
        .select(
            F.concat_ws("/", "order_id", F.lit("team")).alias("outcome_id"),
            day.alias("outcome_date"),
            F.col("ordered_at").alias("happened_at"),
            F.col("sponsor").alias("subject"),
            changes.bucket(F.col("sponsor"), subject_buckets).alias("subject_bucket"),
            F.lit("team_sale").alias("kind"),
            "order_id",
            "value_cents",
            F.col("_buyer").alias("led"),
        )
    )


def _recruits(users: DataFrame, days: Sequence[date], zone: str, subject_buckets: int) -> DataFrame:
    """People who arrived on these days under a sponsor, for the sponsor; with whom, as `led`."""
    first_day = users.agg(F.min("changed_date").alias("first_day"))
    arrived = users.groupBy("subject").agg(F.min(F.struct("changed_date", "sponsor")).alias("first"))
    day, sponsor = F.col("first.changed_date"), F.col("first.sponsor")
    last_second = F.to_utc_timestamp(F.date_add(day, 1).cast("timestamp"), zone) - F.make_dt_interval(
        secs=F.lit(1)
    )
    is_new = day.isin(list(days)) & sponsor.isNotNull() & (day > F.col("first_day"))
    return (
        arrived.crossJoin(F.broadcast(first_day))
        .where(is_new)
        .select(
            F.concat_ws("-", F.lit("recruit"), day.cast("string"), changes.tail("subject")).alias(
                "outcome_id"
            ),
            F.col("subject").alias("led"),
            day.alias("outcome_date"),
            last_second.alias("happened_at"),
            sponsor.alias("subject"),
            changes.bucket(sponsor, subject_buckets).alias("subject_bucket"),
            F.lit("recruit").alias("kind"),
        )
    )


def _judged(led: DataFrame, users: DataFrame, sponsored: DataFrame, days: Sequence[date]) -> DataFrame:
    """Turn away what a sponsor owes to somebody of its own circle, and what is owed to nobody known."""
    own = (F.col("outcome_date") == F.col("day")) & (F.col("led") == F.col("on_circle"))
    known = users.groupBy(F.col("subject").alias("_known")).agg(F.min("changed_date").alias("_known_from"))
    arrived = (F.col("subject") == F.col("_known")) & (F.col("_known_from") <= F.col("outcome_date"))
    reason = F.when(F.col("on_circle").isNotNull(), F.lit(CIRCLE)).when(
        F.col("_known").isNull(), F.lit(UNKNOWN)
    )
    return (
        led.join(F.broadcast(circles(sponsored, days)), own, how="left")
        .join(known, arrived, how="left")
        .withColumn("_reason", reason)
        .drop("day", "on_circle", "led", "_known", "_known_from")
    )


def _of_days(rows: DataFrame, day: str, days: Sequence[date]) -> DataFrame:
    return rows.where(F.col(day).between(F.lit(days[0]), F.lit(days[-1])))


JOB = Job(
    build,
    reads=(
        Days("events", before=1),
        Days("orders"),
        Days("order_lines", before=LONGEST_REORDER),
        Until("products"),
        Until("users"),
        Until("consents"),
    ),
    writes="outcomes",
)

if __name__ == "__main__":
    JOB.main()
