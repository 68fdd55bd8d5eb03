"""outcomes: what people did after a page was shown."""

from datetime import date

from pyspark.sql import SparkSession

from jobs import outcomes
from tests.jobs.given import event, local, rows, table

NOON = local("2017-11-03 12:00:00")
NAMES = ("page_view", "layout_served", "widget_seen", "product_view", "basket_add", "order_placed")


def test_views_baskets_and_orders_of_people_are_outcomes(spark: SparkSession) -> None:
    more = {
        "trace_id": "t",
        "page": "home",
        "decision_id": "d",
        "position": 2,
        "widget": "w",
        "product_id": "7",
    }
    told = [event(name, NOON, **{**more, "event_id": name}) for name in NAMES]
    told[-1].update(order_id="o1", value_cents=1250, product_id=None)
    told += [event("basket_add", NOON, is_bot=True), event("order_placed", NOON, event_id="x", is_bot=None)]
    # Who did not agree is nobody, whatever the row says of an answer.
    told += [event("basket_add", NOON, event_id=f"no-{yes}", is_consented=yes) for yes in (False, None)]
    built = rows(outcomes.build(table(spark, "events", told)), "outcome_id")
    assert [(row["outcome_id"], row["kind"], row["value_cents"]) for row in built] == [
        ("basket_add", "basket", None),
        ("order_placed", "order", 1250),
        ("product_view", "detail", None),
        ("x", "order", None),
    ]
    assert built[0] == {
        "outcome_id": "basket_add",
        "outcome_date": date(2017, 11, 3),
        "happened_at": NOON,
        "subject": "u1",
        "subject_bucket": 0,
        "kind": "basket",
        **more,
        "order_id": None,
        "value_cents": None,
    }
