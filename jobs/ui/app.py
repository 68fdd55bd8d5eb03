"""The pages' addresses, for who is logged in: /layouts, /policies, /models, /drift, /health and so on.

Beside them /metrics, for a machine: it has a token of its own, VITRINE_METRICS_TOKEN, and no login.

Mounted at /vitrine in Airflow's API server by jobs/house/plugins/pages.py. A page reads what it shows when it
is asked for; what it needs to import is imported beside the server's start, or with the first page.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from hmac import compare_digest
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse

from jobs import metrics, telemetry

HEADERS = {
    # No script runs, nothing is fetched from elsewhere, and only Airflow's own pages may frame these.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LONGEST_SUBJECT = 200
TOKEN_VARIABLE = "VITRINE_METRICS_TOKEN"  # noqa: S105 - its name, not the token
OF_TABLES = ("policies", "health")
OF_CONFIG = ("segments", "models", "drift", "cost")

Subject = Annotated[str, Query(max_length=LONGEST_SUBJECT)]
Kind = Annotated[str, Query(pattern="^(user|device)$")]


def application(login: Sequence[Any]) -> FastAPI:
    """Return the app; `login` are dependencies that refuse who is not logged in."""
    # A mounted app is open to everyone, its documentation too, unless it says otherwise.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pages = APIRouter(dependencies=list(login))

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        answer: Response = await call_next(request)
        answer.headers.update(HEADERS)
        return answer

    app.get("/metrics")(measured)
    pages.get("/")(lambda: RedirectResponse("/vitrine/health"))
    pages.get("/layouts")(layouts)
    pages.get("/reports")(listed)
    pages.get("/reports/{name:path}")(report)
    pages.get("/{name}")(page)
    app.include_router(pages)
    return app


def warm() -> None:
    """Import what pages need, and open the tables, beside the server's start: no reader waits for it."""
    Thread(target=_warm, daemon=True, name="vitrine-pages").start()


def _warm() -> None:
    for name in ("finding", "reports", *OF_CONFIG, *OF_TABLES):
        _module(name)
    if telemetry.is_on():
        metrics.push(metrics.OF_HOUSE, _samples)
    _view("health")


def page(name: str) -> HTMLResponse:
    """Return one of the pages that need nothing but the tables."""
    if name not in (*OF_TABLES, *OF_CONFIG):
        raise HTTPException(404, "There is no such page.")
    return _answer(name, lambda: _view(name))


def _view(name: str) -> Any:
    from jobs.ui.house import config, shelf

    module = _module(name)
    return module.gather(shelf()) if name in OF_TABLES else module.gather(shelf(), config())


def _answer(name: str, make: Callable[[], Any]) -> HTMLResponse:
    """Return a page, or in its frame a sentence on why it cannot be shown."""
    from deltalake.exceptions import DeltaError

    from jobs.config import ConfigError
    from jobs.page import SIMULATED
    from jobs.ui import view
    from jobs.ui.house import config

    try:
        found = replace(make(), note=SIMULATED if config().ids.demo_key else "")
    except (ConfigError, DeltaError, OSError) as error:
        return _ill(name, error)
    return HTMLResponse(view.render(found))


def _ill(name: str, error: Exception) -> HTMLResponse:
    from jobs.ui import view

    said = str(error).strip().partition("\n")[0].rstrip(".")
    do = "Load the page again; if it stays so, vitrine doctor says what is wrong."
    ill = view.View(name, view.PAGES[name], f"This page cannot be shown now: {said}. {do}")
    return HTMLResponse(view.render(ill), status_code=503)


def layouts(subject: Subject = "", kind: Kind = "user") -> HTMLResponse:
    """Return a subject's pages, beside the form that finds one."""
    from deltalake.exceptions import DeltaError

    from jobs.config import ConfigError
    from jobs.ui import finding
    from jobs.ui.house import config, shelf, store

    try:
        found = finding.gather(shelf(), config(), store(), subject.strip(), kind)
    except (ConfigError, DeltaError, OSError) as error:
        return _ill("layouts", error)
    return HTMLResponse(finding.render(found), status_code=404 if found.missing else 200)


def measured(authorization: Annotated[str, Header()] = "") -> PlainTextResponse:
    """Return what tables and store say, as Prometheus reads it, to who has the token that is set for it."""
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        raise HTTPException(
            404, f"Nothing is told here: set {TOKEN_VARIABLE} in the environment of Airflow's API server."
        )
    if not compare_digest(authorization.encode(), f"Bearer {token}".encode()):
        raise HTTPException(401, f"Give what {TOKEN_VARIABLE} holds as a bearer token.")
    return PlainTextResponse(metrics.as_text(_samples()), media_type=metrics.CONTENT_TYPE)


def _samples() -> list[metrics.Sample]:
    from jobs.ui.house import config, shelf

    found: list[metrics.Sample] = _module("metrics").gather(shelf(), config())
    return found


def listed() -> HTMLResponse:
    """List all reports, the newest first."""
    from jobs.ui import reports
    from jobs.ui.house import config

    return _answer("reports", lambda: reports.gather(config()))


def report(name: str) -> FileResponse:
    """Return one report."""
    from jobs.ui.house import config

    folder: Path = config().home / "reports"
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()) or file.suffix != ".html" or not file.is_file():
        raise HTTPException(404, "There is no such report.")
    return FileResponse(file, media_type="text/html")


def _module(name: str) -> Any:
    return importlib.import_module(f"jobs.ui.{name}")
