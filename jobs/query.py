"""Questions in SQL over the Delta tables, without a JVM: DuckDB, on what deltalake says each table holds.

Known are the tables of conf/contracts (an absent one is empty) and the views of sql/. Only tables that a
question names are opened, and nothing outside them can be read.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from jobs.config import ROOT, Config
from jobs.contracts import all_tables, contract
from jobs.tables import Tables

VIEWS = ROOT / "sql"
SELECT = duckdb.StatementType.SELECT


class QueryError(ValueError):
    """A question that cannot be answered; the sentence says why."""


def query(sql: str, config: Config) -> pa.Table:
    """Answer a question.

    Raises
    ------
    QueryError
        One sentence: an unknown table (and which there are), or what SQL does not allow.

    """
    tables = Tables(config.tables)
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
    """Print the answer to a question, at most `limit` rows of it; a view's name alone asks for all of it."""
    name = sql.strip()
    found = query(view(name) if name in views() else sql, config)
    told = f"{found.num_rows:,} rows" if found.num_rows <= limit else f"{limit:,} of {found.num_rows:,} rows"
    table = Table(*found.column_names, caption=told)
    for row in found.slice(0, limit).to_pylist():
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table, highlight=False)


@cache
def views(folder: Path = VIEWS) -> tuple[str, ...]:
    """Names of the views, in order."""
    return tuple(sorted(file.stem for file in folder.glob("*.sql")))


@cache
def view(name: str, folder: Path = VIEWS) -> str:
    """Text of a view: one select, in words that DuckDB and Spark both understand."""
    return (folder / f"{name}.sql").read_text(encoding="utf-8")


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
    return tables.open(name).to_pyarrow_dataset()


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
