"""The store: layouts by subject and page, read in microseconds.

What a front end needs is exported here; it imports the standard library and what its backend
needs (lmdb), never Spark, NumPy or
Airflow.
"""

from jobs.store.errors import BrokenValue, NewerSchema, StoreError, StoreGone
from jobs.store.pages import Page, Slot, Tile
from jobs.store.pointer import Pointer
from jobs.store.reader import Layout, Store, open_live
from jobs.store.status import Status, live, status

__all__ = [
    "BrokenValue",
    "Layout",
    "NewerSchema",
    "Page",
    "Pointer",
    "Slot",
    "Status",
    "Store",
    "StoreError",
    "StoreGone",
    "Tile",
    "live",
    "open_live",
    "status",
]
