"""A pointer that readers ask a server for, once in REFRESH_SECONDS; the colour that was left stays longer."""

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable

from jobs.store.errors import StoreError
from jobs.store.pointer import Pointer, decode_pointer

REFRESH_SECONDS = 1.0


class Polled(ABC):
    """What backends on servers have in common for readers."""

    def __init__(self) -> None:
        self._version: bytes | None = None
        self._look_at = 0.0

    @property
    @abstractmethod
    def pointer_name(self) -> str:
        """How errors call the pointer."""

    @abstractmethod
    def live(self) -> bytes | None:
        """Ask for the pointer's bytes; None where there are none."""

    def version(self) -> Hashable | None:
        """Return the pointer's bytes, as they were within the last REFRESH_SECONDS."""
        now = time.monotonic()
        if now >= self._look_at:
            # Where a pointer is known, one thread asks and the others go on with it; at first, each asks.
            if self._version is not None:
                self._look_at = now + REFRESH_SECONDS
            try:
                self._version = self.live()
            except StoreError:
                if self._version is None:
                    raise
            self._look_at = now + REFRESH_SECONDS
        return self._version

    def pointer(self) -> Pointer | None:
        """Return the pointer, None where there is none."""
        found = self.live()
        return None if found is None else decode_pointer(found, self.pointer_name)
