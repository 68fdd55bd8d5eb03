"""The page Reports: every report of the data home, the newest first."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from jobs.config import Config
from jobs.ui.view import Cell, Rows, Section, Table, View


def gather(config: Config) -> View:
    """List the files of reports/."""
    folder = config.home / "reports"
    files = [(file.relative_to(folder), file.stat().st_mtime) for file in folder.rglob("*.html")]
    return view([(name, datetime.fromtimestamp(at, UTC)) for name, at in files])


def view(files: list[tuple[Path, datetime]]) -> View:
    """Put reports, each with the time it was written, on a page."""
    rows: Rows = [
        [
            Cell(name.stem, href=f"/vitrine/reports/{quote(name.as_posix())}"),
            name.parent.as_posix() if name.parent != Path() else "–",
            f"{at:%Y-%m-%d %H:%M}",
        ]
        for name, at in sorted(files, key=lambda each: (each[1], each[0]), reverse=True)
    ]
    table = Table(
        "All reports, the newest first", ["report", "of", "written, UTC"], rows, words=2,
        none="policy_evaluation, segmentation, closing_training and goals' previews write them.",
    )  # fmt: skip
    return View("reports", "Reports", sections=[Section("Reports", [table])])
