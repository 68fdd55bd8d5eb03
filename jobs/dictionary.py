"""The data dictionary: one self-contained HTML page about every table, made from the contracts.

Reads   conf/contracts, and what each job declares that it reads and writes
Writes  the page
"""

import importlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from jobs import query
from jobs.contracts import Check, Contract, all_tables, contract

SHELL = "the shared shell of all jobs"
NO_JOB_OF_THEIR_OWN = {"runs": SHELL, "quarantine": SHELL, "exports": "the job export"}
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1c2430;margin:0;display:grid;grid-template-columns:15rem 1fr}
nav{position:sticky;top:0;height:100vh;overflow:auto;background:#f4f6f9;padding:1rem;box-sizing:border-box}
nav a{display:block;color:#1c2430;text-decoration:none;padding:.1rem 0}
nav a:hover{text-decoration:underline}
main{padding:1rem 2rem;max-width:64rem;min-width:0}
h2{margin:3rem 0 .2rem;border-top:1px solid #d8dee8;padding-top:1rem}
table{border-collapse:collapse;width:100%;margin:.6rem 0}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem}
th{border-bottom:2px solid #c4ccd8}
td{border-bottom:1px solid #e6eaf0}
code{font-size:.9em}
.personal{background:#fde8d8;border-radius:.3rem;padding:0 .35rem;font-size:.8em;white-space:nowrap}
.facts{color:#46536a;margin:.2rem 0}
ul{margin:.2rem 0 .8rem}
@media(max-width:50rem){body{display:block}nav{position:static;height:auto;columns:2}main{padding:1rem}}
"""


def page() -> str:
    """Return the page."""
    readers, writers = wiring()
    tables = [contract(name) for name in all_tables()]
    links = "".join(f'<a href="#{about.table}">{about.table}</a>' for about in tables)
    links += '<a href="#views">views</a>'
    sections = "".join(_section(about, readers, writers) for about in tables)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Vitrine: data dictionary</title><style>{STYLE}</style></head><body>"
        f"<nav><strong>{len(tables)} tables</strong>{links}</nav><main><h1>Data dictionary</h1>"
        "<p>Made from <code>conf/contracts</code>. A <code>_date</code> is a day in the business time zone,"
        ' an <code>_at</code> an instant in UTC. <span class="personal">personal</span> marks personal data:'
        " pseudonyms are personal data too.</p>"
        f"{sections}{_views()}</main></body></html>\n"
    )


def write(path: Path) -> int:
    """Write the page; return how many tables it tells of."""
    path.write_text(page(), encoding="utf-8")
    return len(all_tables())


def wiring() -> tuple[Mapping[str, Sequence[str]], Mapping[str, str]]:
    """By table: the jobs that read it, and who writes it."""
    readers: dict[str, list[str]] = {}
    writers = dict(NO_JOB_OF_THEIR_OWN)
    modules = Path(__file__).parent
    named = [name for name in (*all_tables(), "export") if (modules / f"{name}.py").exists()]
    for name in named:
        if name not in writers:
            writers[name] = f"the job {name}"
        module = importlib.import_module(f"jobs.{name}")
        # A job with a way of running of its own names its tables beside it.
        for table in getattr(getattr(module, "JOB", None), "tables", getattr(module, "READS", ())):
            readers.setdefault(table, []).append(name)
    writers.pop("export")
    return readers, writers


def _section(about: Contract, readers: Mapping[str, Sequence[str]], writers: Mapping[str, str]) -> str:
    columns = "".join(
        f"<tr><td><code>{escape(name)}</code>{_mark(column.personal)}</td>"
        f"<td><code>{escape(column.type)}</code></td><td>{escape(column.meaning)}</td></tr>"
        for name, column in about.columns.items()
    )
    kept = f"{about.retention_days} days" if about.retention_days else "for good"
    facts = {
        "Key": ", ".join(about.key) or "none",
        "Partitions": ", ".join(about.partition_by) or "none",
        "Kept": kept,
        "Fresh": "any age" if about.fresh_days is None else f"at most {about.fresh_days} days old",
        "Written by": writers.get(about.table, "no job yet"),
        "Read by": ", ".join(readers.get(about.table, ())) or "no job",
    }
    told = " · ".join(f"{name}: {escape(value)}" for name, value in facts.items())
    return (
        f'<section id="{about.table}"><h2>{about.table}</h2>'
        f"<p>A row is {escape(about.grain)}.</p>"
        f'<p class="facts">{told}</p>'
        f"<table><tr><th>column</th><th>type</th><th>meaning</th></tr>{columns}</table>"
        f"{_rules(about)}</section>"
    )


def _views() -> str:
    told = [f"<code>{name}</code>: {escape(query.header(name)['Question'])}" for name in query.views()]
    return (
        f'<section id="views"><h2>views</h2><p>Each answers one question, in sql/.</p>{_list(told)}</section>'
    )


def _mark(is_personal: bool) -> str:
    return ' <span class="personal">personal</span>' if is_personal else ""


def _rules(about: Contract) -> str:
    rows = [f"{escape(name)}: <code>{escape(rule)}</code>" for name, rule in about.rows.items()]
    checks = [f"{escape(name)}: {_bounds(check)}" for name, check in about.checks.items()]
    limit = f"at most {about.max_rejected_share:.0%} of the rows may be rejected, else the run stops"
    told = ""
    if rows:
        told += f"<p>A row that breaks a rule goes to quarantine; {limit}.</p>{_list(rows)}"
    if checks:
        told += f"<p>Checks of what a run made, before anyone sees it:</p>{_list(checks)}"
    return told


def _bounds(check: Check) -> str:
    low = "" if check.min is None else f" at least {check.min:g}"
    high = "" if check.max is None else f" at most {check.max:g}"
    return f"<code>{escape(check.measure)}</code>{low}{high}, else the run {check.on_break}s"


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
