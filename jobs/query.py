"""Questions in SQL over the Delta tables, without a JVM: DuckDB, on what deltalake says each table holds.

Known are the tables of conf/contracts (an absent one is empty) and the views of sql/. Only tables that a
question names are opened, and nothing outside them can be read.
"""

import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.config import ROOT, Config
from jobs.contracts import all_tables, contract
from jobs.tables import Tables, dataset_of

VIEWS = ROOT / "sql"
SELECT = duckdb.StatementType.SELECT


class QueryError(ValueError):
    """A question that cannot be answered; the sentence says why."""


def query(sql: str, config: Config) -> pa.Table:
    """Answer a question: a select, or just the name of a table or view.

    Raises
    ------
    QueryError
        One sentence: an unknown table (and which there are), or what SQL does not allow.

    """
    tables, name = Tables(config.tables), sql.strip().lower()
    if name in (*all_tables(), *views()):
        sql = f"from {name}"
    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as connection:
        try:
            if [statement.type for statement in connection.extract_statements(sql)] != [SELECT]:
                raise QueryError("The tables can only be read: ask one question, with select.")
            for name in _named(sql, all_tables()):
                connection.register(name, _open(tables, name))
            for name in _named(sql, views()):
                connection.sql(view(name)).create_view(name)
            return _plain(connection.sql(sql).to_arrow_table())
        except duckdb.CatalogException as error:
            raise QueryError(_unknown(str(error))) from None
        except duckdb.Error as error:
            raise QueryError(_first_line(error)) from None


def show(sql: str, config: Config, *, limit: int) -> None:
    """Print the first rows of an answer."""
    answer = query(sql, config)
    table = Table(box=box.SIMPLE_HEAD)
    for field in answer.schema:
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(field.name, justify="right" if is_number else "left", overflow="fold")
    for row in answer.slice(0, limit).to_pylist():
        table.add_row(*(escape(_text(value)) for value in row.values()))
    # A file or a pipe has no width: there a row is a line, however long.
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    console.print(table)
    console.print(f"{min(limit, answer.num_rows):,} of {answer.num_rows:,} rows", highlight=False)


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@cache
def views(folder: Path = VIEWS) -> tuple[str, ...]:
    """Names of the views, in order."""
    return tuple(sorted(file.stem for file in folder.glob("*.sql")))


@cache
def view(name: str, folder: Path = VIEWS) -> str:
    """Text of a view: one select, in words that DuckDB and Spark both understand."""
    return (folder / f"{name}.sql").read_text(encoding="utf-8")


def header(name: str) -> dict[str, str]:
    """What a view says of itself: its Question, Parameters, and a command to Run."""
    found = re.findall(r"^-- (\w+) +(.+)$", view(name), re.MULTILINE)
    return dict(found[:3])


def words(sql: str) -> set[str]:
    """Every word of a text, lower case: at least the names of all tables that it reads."""
    return {word.lower() for word in re.findall(r"\w+", sql)}


def _named(sql: str, known: Iterable[str]) -> list[str]:
    said = words(sql)
    said |= {word for name in views() if name in said for word in words(view(name))}
    return [name for name in known if name in said]


def _open(tables: Tables, name: str) -> object:
    if not tables.exists(name):
        return contract(name).arrow_schema.empty_table()
    return dataset_of(tables.open(name))


def _plain(answer: pa.Table) -> pa.Table:
    """Whole numbers as 64-bit integers (DuckDB sums into 128 bits), instants in UTC wherever this runs."""
    fields = []
    for field in answer.schema:
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            field = field.with_type(pa.timestamp("us", tz="UTC"))
        elif pa.types.is_decimal(field.type) and field.type.scale == 0 and _fits(answer[field.name]):
            field = field.with_type(pa.int64())
        fields.append(field)
    return answer.cast(pa.schema(fields))


def _fits(column: pa.ChunkedArray) -> bool:
    least, most = pc.min_max(column).as_py().values()
    return most is None or -(2**63) <= least <= most < 2**63


def _unknown(message: str) -> str:
    missing = re.search(r"Table with name (\S+) does not exist", message)
    if missing is None:
        return _first_line(message)
    return (
        f"There is no table or view {missing[1]!r}; the tables are {', '.join(all_tables())};"
        f" the views are {', '.join(views())}."
    )


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0]
