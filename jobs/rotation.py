"""A change of the key of pseudonyms: where its names are kept, and whether it is done.

While conf/ names the key before (`ids.before`), a folder beside the tables holds every pseudonym of the
lake under both keys, columns `before` and `now`. `vitrine rekey` makes and uses it, exports serve readers
that hash with either key by it, and `vitrine sweep` deletes it once conf/ names no key before.
"""

from jobs import runs
from jobs.config import Config, Ids
from jobs.tables import Tables, located

FOLDER = "_rekey"
COMPLETE = "_SUCCESS"  # Spark writes it last


def folder(config: Config) -> str:
    """Return the folder of all changes of key."""
    return f"{config.tables}/{FOLDER}"


def names_path(config: Config) -> str:
    """Return the folder of the names under both keys, as Parquet."""
    return f"{folder(config)}/{name_of(config.ids)}/names"


def name_of(ids: Ids) -> str:
    """Return the name of the change that conf/ asks for."""
    return f"{ids.before}-{ids.key_id}"


def has_names(config: Config) -> bool:
    """Tell whether the names were made, to their end."""
    filesystem, base = located(f"{names_path(config)}/{COMPLETE}")
    return bool(config.ids.before and filesystem.get_file_info(base).is_file)


def is_done(config: Config) -> bool:
    """Tell whether every table has the pseudonyms of the new key."""
    done = runs.of_job(Tables(config.tables), runs.REKEY)
    return any(
        row["run_id"].startswith(f"{runs.REKEY}-{name_of(config.ids)}-") and row["status"] in runs.DONE
        for row in done
    )


def is_under_way(config: Config) -> bool:
    """Tell whether conf/ asks for a change of key that is not done."""
    return config.ids.before is not None and not is_done(config)
