"""What `vitrine layout page` writes: the inspector's page of one subject."""

import re
import sys
from pathlib import Path

from jobs.config import Config
from jobs.inspecting import inspect
from jobs.page import SIMULATED, View, render
from jobs.store import Store
from jobs.store.show import subject_of


def write(config: Config, subject: str, output: Path) -> None:
    """Write a subject's pages as they would look, with what stands beside them, as one HTML file."""
    store, who = Store.open(config.store_url, clock=config.store.clock), subject_of(config, subject)
    names = sorted(config.pages, key=lambda name: config.pages[name].positions)
    pages = [store.page(who, name) for name in names]
    pointer = store.generation().pointer
    found = inspect(config, who, pages, pointer.serves_date)
    is_demo = config.ids.demo_key is not None
    title = re.sub(r"^h(?=\d+$)", "Household ", subject) if is_demo else subject
    if subject == who:
        title = f"Subject …{who[-8:]}"
    who_it_is, note = ", ".join(found.who), SIMULATED if is_demo else ""
    view = View(title, who_it_is, pages, pointer.serves_date, pointer.colour, note, found)
    output.write_text(render(view), encoding="utf-8")
    sys.stdout.write(f"{output}: {', '.join(names)} of {subject}.\n")
