"""Delta tables as the pages read them: opened once, with answers kept by the version that they came from.

Reads   the tables' logs: what is new in them, at every question
Writes  nothing: a page makes no table
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, TypeVar

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from jobs.tables import Tables

Answer = TypeVar("Answer")
MOST_ANSWERS = 128


@dataclass(frozen=True)
class Shelf(Tables):
    """All tables under a root, for a process that is asked again and again."""

    _opened: dict[str, DeltaTable] = field(default_factory=dict, repr=False, compare=False)
    _answers: "OrderedDict[Hashable, Any]" = field(default_factory=OrderedDict, repr=False, compare=False)
    _lock: Any = field(default_factory=RLock, repr=False, compare=False)

    def exists(self, name: str) -> bool:
        """Tell whether the table has been made; one that is open was, unless its folder has gone since."""
        return self._newest(name) is not None

    def version(self, name: str) -> int | None:
        """Return the newest version, None for a table that is not there."""
        table = self._newest(name)
        return None if table is None else table.version()

    def open(self, name: str, version: int | None = None) -> DeltaTable:
        """Open a table as it is now, or as it was.

        Raises
        ------
        LookupError
            When it is not there: a page makes no table.

        """
        table = self._newest(name) if version is None else DeltaTable(self.path(name), version=version)
        if table is None:
            raise LookupError(f"The table {name} has not been made yet.")
        return table

    def kept(
        self, names: Sequence[str], question: Hashable, answer: Callable[[], Answer], **more: Hashable
    ) -> Answer:
        """Return the answer to a question about some tables, worked out anew only when one has changed."""
        key = (question, tuple(self.version(name) for name in names), tuple(sorted(more.items())))
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]  # type: ignore[no-any-return]
        found = answer()
        with self._lock:
            self._answers[key] = found
            while len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
        return found

    def _newest(self, name: str) -> DeltaTable | None:
        """Return a table whose log has been read up to its end; only what came since is read."""
        with self._lock:
            table = self._opened.get(name)
            if table is not None:
                try:
                    table.update_incremental()
                except DeltaError:
                    del self._opened[name]
                    table = None
            if table is None and DeltaTable.is_deltatable(self.path(name)):
                table = self._opened[name] = DeltaTable(self.path(name))
            return table
