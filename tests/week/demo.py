"""One night of the demo that is there, from trigger to flipped: work and orchestration told apart."""

import time

from rich.console import Console

from jobs.config import load
from jobs.demo.day import demo_day
from jobs.house import HouseError, house
from jobs.store import live
from tests.week import night

PAUSE_SECONDS = 1.0
LONGEST_SECONDS = 1800


def run(console: Console) -> None:
    """Serve the day that the demo's live layouts are for, and run its night."""
    config = load()
    pointer = live(config.store_url)
    if pointer is None:
        raise HouseError("The demo is not there: run make demo first.")
    api, day = house.start(), pointer.serves_date
    console.print(demo_day(config, config.home, day).sentence, highlight=False)
    run_id, began, flipped = f"night__{day}__{pointer.generation}", time.time(), 0.0
    night.trigger(api, day, run_id)
    while not flipped and time.time() - began < LONGEST_SECONDS:
        # Whoever asks takes processor time from the night.
        time.sleep(PAUSE_SECONDS)
        found = live(config.store_url)
        if found is not None and found.layout_date == day:
            flipped = time.time()
        elif night.is_over(night.states(api, run_id)[0]):
            break
    if not flipped:
        raise HouseError(f"The night of {day} was not flipped: {api.failure('nightly_layouts', run_id)}")
    # The export's own row comes a moment after the flip.
    api.wait("nightly_layouts", run_id)
    console.print(f"{day}: {night.figures(config, run_id, began, flipped).sentence}", highlight=False)
