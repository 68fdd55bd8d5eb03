"""What a job's checks cost: measuring and judging the staged rows of `feedback`, beside the whole job.

10 M decisions of one day: the day of the join's benchmark, with few outcomes.
"""

import statistics
from datetime import timedelta

from jobs import checks, publish
from jobs.shell import Ask
from jobs.tables import Tables
from tests.bench.bench_join import MEMORY, ours_once, warm_up
from tests.bench.engine import own_home, spark_of
from tests.bench.measure import Row, scaled
from tests.bench.rows_of_join import DAY, Scale, lay_down
from tests.bench.watch import seconds_in

SUBJECTS, ROUNDS = 1_000_000, 3
RUN = Ask(DAY, DAY + timedelta(days=1))


def run() -> list[Row]:
    """Run the job with a clock on its checks."""
    checks.preload()
    with own_home(MEMORY) as config:
        decisions, _ = lay_down(Tables(config.tables), Scale(scaled(SUBJECTS), outcomes=10))
        with spark_of(config) as spark:
            warm_up(config, spark)
            whole, own = [], []
            for _ in range(ROUNDS):
                with seconds_in(publish.checks, "measure", "judge") as spent:
                    whole.append(ours_once(config, spark))
                own.append(sum(spent))
    share = statistics.median(part / all_ for part, all_ in zip(own, whole, strict=True))
    return [
        Row("feedback, whole job", decisions, "s", statistics.median(whole)),
        Row("its checks", decisions, "s", statistics.median(own)),
        Row("share of the checks (at most 15)", decisions, "%", 100 * share),
    ]
