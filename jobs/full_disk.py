"""A full disk in one sentence, whoever met it: Python, the engine or a library tells it in its own way."""

from pathlib import Path

SAID = "No space left on device"


def sentence(error: BaseException, home: Path) -> str | None:
    """Return what to do where a disk was full, None where an error, or what led to it, is another."""
    seen: BaseException | None = error
    while seen is not None:
        if SAID in str(seen):
            return (
                f"A disk is full ({home}, or where Spark keeps what it shuffles): the run did not end."
                " What it had published or exported by then is whole, all else stands as it was."
                " `vitrine doctor` says how much is left and `vitrine maintenance DAY --dry-run` what may go;"
                " free some, then run it again."
            )
        seen = seen.__cause__ or seen.__context__
    return None
