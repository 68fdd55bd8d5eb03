"""subject_widgets: what each subject was served, saw and clicked, with where it stood."""

from pyspark.sql import SparkSession

from jobs import subject_widgets
from tests.jobs.given import rows
from tests.jobs.test_widget_stats import some_feedback


def test_a_subject_s_widgets_keep_where_they_stood(spark: SparkSession) -> None:
    names = ("subject", "widget", "served", "seen", "clicks", "baskets")
    found = rows(subject_widgets.build(some_feedback(spark)), "subject", "widget")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("u1", "a", [2], 2, 2, 1),
        ("u1", "b", [0, 2], 1, 1, 1),
        ("u1", "c", [0, 0, 1], 0, 0, 0),
        ("u2", "a", [0, 1], 1, 1, 0),
        ("u2", "b", [1], 1, 0, 0),
        ("u2", "c", [0, 0, 1], 0, 1, 0),
    ]
