"""Reports in Airflow's own pages: whoever is logged in reads {home}/reports at /vitrine/reports.

Airflow loads every file of this folder into its API server when it starts.
"""

import os
from pathlib import Path
from typing import Any

from airflow.api_fastapi.core_api.security import get_user
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse

# A mounted app is open to everyone, its documentation too, unless it says otherwise.
app = FastAPI(dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)


def folder() -> Path:
    """Return the folder of reports."""
    return Path(os.environ["VITRINE_HOME"]).absolute() / "reports"


@app.get("/reports")
def listed() -> HTMLResponse:
    """List all reports, the newest first."""
    files = sorted(folder().rglob("*.html"), key=lambda file: file.stat().st_mtime, reverse=True)
    items = "".join(
        f'<li><a href="/vitrine/reports/{name}">{name}</a></li>'
        for name in (file.relative_to(folder()).as_posix() for file in files)
    )
    style = "<style>:root{color-scheme:light dark}body{font:15px/1.7 system-ui;margin:30px}</style>"
    return HTMLResponse(f"<!doctype html><title>Reports</title>{style}<h1>Reports</h1><ul>{items}</ul>")


@app.get("/reports/{name:path}")
def report(name: str) -> FileResponse:
    """Return one report."""
    file = (folder() / name).resolve()
    if not file.is_relative_to(folder().resolve()) or file.suffix != ".html" or not file.is_file():
        raise HTTPException(404, f"There is no report {name}.")
    return FileResponse(file, media_type="text/html", headers={"X-Content-Type-Options": "nosniff"})


class Reports(AirflowPlugin):
    """Adds the reports to Airflow's menu."""

    name = "vitrine_reports"
    fastapi_apps: list[Any] = [{"app": app, "url_prefix": "/vitrine", "name": "Vitrine"}]
    external_views: list[Any] = [
        {
            "name": "Reports",
            "href": "/vitrine/reports",
            "destination": "nav",
            "url_route": "vitrine-reports",
            "category": "browse",
        }
    ]
