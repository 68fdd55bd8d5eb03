"""What the pages of a process share: the configuration as its files are now, tables, the store's reader."""

from functools import cache
from threading import Lock

from jobs.config import ROOT, Config, home, load
from jobs.store import Store
from jobs.ui.shelf import Shelf

_LOADED: dict[object, Config] = {}
_LOCK = Lock()


def config() -> Config:
    """Return the configuration; it is read again when a file of conf/ has changed."""
    # A path that is added or removed changes its folder.
    times = [path.stat().st_mtime_ns for path in (ROOT / "conf").rglob("*")]
    key = (home(), len(times), max(times))
    with _LOCK:
        if key not in _LOADED:
            _LOADED.clear()
            _LOADED[key] = load()
        return _LOADED[key]


def shelf() -> Shelf:
    """Return the tables of the data home."""
    return _shelf(config().tables)


def store() -> Store:
    """Return the store's reader."""
    return _store(config().store_url, config().store.clock)


@cache
def _shelf(root: str) -> Shelf:
    return Shelf(root)


@cache
def _store(url: str, clock: str) -> Store:
    return Store.open(url, clock="generation" if clock == "generation" else "now")
