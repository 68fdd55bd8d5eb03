"""What can be wrong with a store."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.store.reader import Layout


class StoreError(RuntimeError):
    """Something about the store; the message is a sentence for the operator."""


class BrokenValue(StoreError):
    """A value that cannot be read."""


class NewerSchema(StoreError):
    """A value or pointer written for readers newer than this one."""


class NotThere(StoreError):
    """A colour that no export has finished."""


class Busy(StoreError):
    """Another export is at work."""


class StoreGone(StoreError):
    """There is no store to read. `layout` is the built-in default to show instead."""

    def __init__(self, message: str, layout: "Layout | None" = None) -> None:
        super().__init__(message)
        self.layout = layout
