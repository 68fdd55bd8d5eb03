"""The house: the processes that jobs need, started here, on loopback, and ended here.

Everything lives under the data home (VITRINE_HOME): programs' files in engine/, postgres/ and airflow/,
what runs in run/NAME.json, what it said in logs/NAME.log. No job imports this package but to
ask what the engine used (jobs.usage).
"""


class HouseError(RuntimeError):
    """Something that runs, or should, does not: one sentence that says what, where, and what to do."""
