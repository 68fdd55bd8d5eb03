"""A clock on functions of a module, for as long as a benchmark looks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def seconds_in(module: ModuleType, *names: str) -> Iterator[list[float]]:
    """Collect the seconds of every call of these functions."""
    spent: list[float] = []
    real = {name: getattr(module, name) for name in names}

    def timed(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                spent.append(time.perf_counter() - began)

        return call

    for name, function in real.items():
        setattr(module, name, timed(function))
    try:
        yield spent
    finally:
        for name, function in real.items():
            setattr(module, name, function)
