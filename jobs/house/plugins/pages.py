"""Vitrine's pages in Airflow's own: layouts, policies, segments, models and the rest, at /vitrine.

Airflow loads every file of this folder into each of its programs. Only the API server asks for the app, and
only then is anything imported that a parse of DAGs would wait for.
"""

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

PAGES = ("Layouts", "Policies", "Segments", "Models", "Drift", "Health", "Cost", "Reports")


class Vitrine(AirflowPlugin):
    """Adds the pages to Airflow's menu."""

    name = "vitrine_pages"
    external_views: list[Any] = [
        {
            "name": name,
            "href": f"/vitrine/{name.lower()}",
            "destination": "nav",
            "url_route": f"vitrine-{name.lower()}",
            "category": "browse",
        }
        for name in PAGES
    ]

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """The app, for the one program that serves it."""
        from airflow.api_fastapi.core_api.security import get_user
        from fastapi import Depends

        from jobs.ui.app import application, warm

        warm()
        return [{"app": application([Depends(get_user)]), "url_prefix": "/vitrine", "name": "Vitrine"}]
