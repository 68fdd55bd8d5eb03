"""The pages' routes over a tiny home: what they show, who may see them, and that nothing breaks out."""

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from fastapi import Depends, HTTPException
from fastapi.testclient import TestClient

from jobs.config import Config, ConfigError, load
from jobs.ids import pseudonym
from jobs.tables import Tables
from jobs.ui import house
from jobs.ui.app import application
from jobs.ui.view import PAGES
from tests.jobs.inspected import known_subject
from tests.jobs.test_metrics import parsed as prometheus
from tests.jobs.test_page import parsed
from tests.ui.given import AT, NIGHT, ODD, policy, run, value

EVIL = "\"><script>alert('x')</script>"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_HOME", str(tmp_path_factory.mktemp("home")))
        yield _filled(known_subject(load()))
        forget()


def forget() -> None:
    """Let the next test open tables and store anew."""
    house._shelf.cache_clear()
    house._store.cache_clear()


def _filled(made: Config) -> Config:
    tables = Tables(made.tables)
    columns = ("output", "code_version", "content_digest", "configuration")
    more = dict.fromkeys(columns, "x") | {"cpu_seconds": 5.0, "engine_cpu_seconds": 2.0}
    tables.append("runs", [run("orders", 1, **more), run("orders", **more, message="warning: <few>")])
    tables.append("orders", [{"order_id": "1", "order_date": NIGHT}])
    tables.append(
        "quarantine",
        [{"table": "orders", "quarantine_date": NIGHT, "reason": ODD, "source_file": EVIL,
          "source_offset": 3, "row": f'{{"a": "{EVIL[2:]}"}}', "run_id": "r"}],
    )  # fmt: skip
    tables.append(
        "releases",
        [{**policy("linucb-home", "yes", is_live="yes", serves="x", live_since="2017-12-01"),
          "release_id": "r", "why": EVIL}],
    )  # fmt: skip
    tables.append("policy_values", [value("linucb-home", 1.25)])
    moved = {"drift_date": NIGHT, "kind": "feature", "name": EVIL, "who": ODD, "against": "training",
             "psi": 0.5, "shift": 0.5, "level": "alarm", "against_date": NIGHT}  # fmt: skip
    tables.append("drift", [moved])
    return made


@pytest.fixture
def client(config: Config) -> TestClient:
    return TestClient(application([]), follow_redirects=False)


def text(html: str) -> str:
    return " ".join(" ".join(parsed(html).text).split())


def test_who_is_not_logged_in_sees_nothing(config: Config) -> None:
    def nobody() -> None:
        raise HTTPException(401)

    closed = TestClient(application([Depends(nobody)]))
    for address in ("", "layouts?subject=h7", "health", "reports", "reports/x.html", "docs", "openapi.json"):
        assert closed.get(f"/{address}", follow_redirects=False).status_code in (401, 404), address
        assert (
            closed.get(f"/{address}", follow_redirects=False).headers["x-content-type-options"] == "nosniff"
        )
    assert closed.get("/health").status_code == 401


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_whole_guarded_and_runs_nothing(client: TestClient, name: str) -> None:
    answer = client.get(f"/{name}")
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert ODD not in answer.text
    assert f'<a href="/vitrine/{name}" aria-current="page">' in answer.text
    assert answer.text.count("<h1") == answer.text.count("<main") == 1


def test_health_and_cost_show_what_the_tables_hold(client: TestClient) -> None:
    told = text(client.get("/health").text)
    for words in ("night 2017-12-30", "warning: <few>", f"orders: {ODD}, {EVIL}, line 3", "10.0 s"):
        assert words in told
    told = text(client.get("/cost").text)
    # Two runs of a day each: 5 s of their own and 2 s of the engine.
    assert "orders 7.00 10.00" in told
    assert "processor time a business day 7.0 s" in told


def test_policies_show_the_gates_words(client: TestClient) -> None:
    told = text(client.get("/policies").text)
    assert "home shows linucb-home" in told
    assert f"{EVIL}." in told
    assert "1.250" in told


def test_a_page_is_made_anew_when_its_tables_have_changed(client: TestClient, config: Config) -> None:
    assert "lints-home" not in client.get("/policies").text
    row = {**policy("lints-home", "no"), "release_id": "s"}
    Tables(config.tables).append("releases", [row])
    assert "lints-home" in client.get("/policies").text


@pytest.mark.parametrize("by", ["id", "pseudonym"])
def test_layouts_show_a_subject_with_yesterday_and_history(
    client: TestClient, config: Config, by: str
) -> None:
    who = pseudonym("user", "h7", key=config.ids.key, key_id=config.ids.key_id)
    answer = client.get("/layouts", params={"subject": f" {who if by == 'pseudonym' else 'h7'} "})
    assert answer.status_code == 200
    told = text(answer.text)
    for words in ("consultant, region north", "Yesterday", "Soft drinks", "for 4 products", "What they did"):
        assert words in told
    assert answer.text.count('class="place"') == 4
    assert answer.text.count("<h1") == answer.text.count("<main") == 1
    assert ("Household 7" if by == "id" else f"Subject …{who[-8:]}") in told


def test_a_subject_that_is_not_there_is_told_so_whatever_its_name(client: TestClient) -> None:
    answer = client.get("/layouts", params={"subject": EVIL, "kind": "device"})
    assert answer.status_code == 404
    assert EVIL not in answer.text
    assert "<script" not in answer.text
    assert f"Nothing is known of a device with the id {EVIL!r}" in unescape(answer.text)
    assert "or as a user" in answer.text
    nobody = client.get("/layouts", params={"subject": f"demo-{'0' * 32}"})
    assert nobody.status_code == 404
    assert "Nothing is known of the pseudonym" in nobody.text
    assert client.get("/layouts", params={"subject": "x" * 201}).status_code == 422
    assert client.get("/layouts", params={"subject": "x", "kind": "page"}).status_code == 422
    assert "Whose pages do you want to see?" in client.get("/layouts").text


def test_without_a_store_the_page_says_what_to_do(home: Any) -> None:
    answer = TestClient(application([])).get("/layouts", params={"subject": "h7"})
    assert answer.status_code == 404
    assert "No layout can be read: There is no store" in answer.text
    assert "No job has run yet" in TestClient(application([])).get("/health").text
    assert not (home / "tables").exists()


def test_only_reports_can_be_fetched(client: TestClient, config: Config) -> None:
    folder = config.home / "reports" / "goals"
    folder.mkdir(parents=True)
    (folder / "a b.html").write_text("<h1>a report</h1>")
    (folder / "x.txt").write_text("no")
    (config.home / "secret.html").write_text("secret")
    (folder / "out.html").symlink_to(config.home / "secret.html")
    answer = client.get("/reports/goals/a%20b.html")
    assert (answer.status_code, answer.text) == (200, "<h1>a report</h1>")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "/vitrine/reports/goals/a%20b.html" in client.get("/reports").text
    for name in ("goals/x.txt", "..%2fsecret.html", "%2e%2e/secret.html", "goals/..%2f..%2fsecret.html",
                 "goals/out.html", "goals", "none.html", f"%2f{config.home}/secret.html"):  # fmt: skip
        found = client.get(f"/reports/{name}")
        assert found.status_code == 404, name
        assert "secret" not in found.text


@pytest.mark.parametrize("name", ["health", "policies", "layouts?subject=h7", "reports"])
def test_what_cannot_be_read_is_told_in_a_sentence(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def broken() -> Config:
        raise ConfigError("conf/base.yaml, line 3: <no> such key.")

    monkeypatch.setattr(house, "config", broken)
    answer = client.get(f"/{name}")
    assert answer.status_code == 503
    assert (
        "cannot be shown now: conf/base.yaml, line 3: &lt;no&gt; such key. Load the page again" in answer.text
    )
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_address_that_is_no_page_is_not_found(client: TestClient) -> None:
    for name in ("finding", "view", "__init__", "app", "nothing"):
        assert client.get(f"/{name}").status_code == 404
    assert client.get("/").headers["location"] == "/vitrine/health"


def test_prometheus_gets_what_the_tables_say_by_a_token_of_its_own(config, monkeypatch):
    def nobody():
        raise HTTPException(401)

    guarded = TestClient(application([Depends(nobody)]))
    monkeypatch.delenv("VITRINE_METRICS_TOKEN", raising=False)
    assert guarded.get("/metrics").status_code == 404
    monkeypatch.setenv("VITRINE_METRICS_TOKEN", "s3cret")
    assert guarded.get("/metrics").status_code == 401
    assert guarded.get("/metrics", headers={"Authorization": "Bearer other"}).status_code == 401
    told = guarded.get("/metrics", headers={"Authorization": "Bearer s3cret"})
    assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = prometheus(told.text)
    of_orders = {name: values[(("job", "orders"),)] for name, values in found.items() if "_run_" in name}
    assert of_orders == {
        "vitrine_run_rows": 100,
        "vitrine_run_rejected": 0,
        "vitrine_run_duration_seconds": 10,
        "vitrine_run_cpu_seconds": 5,
        "vitrine_run_memory_bytes": 512 * 2**20,
        "vitrine_run_started_timestamp_seconds": AT.timestamp(),
        "vitrine_run_stopped": 0,
    }
    assert found["vitrine_table_behind_days"][(("table", "orders"),)] == 0
    assert found["vitrine_table_stale"][(("table", "orders"),)] == 0
    assert found["vitrine_table_rows"][(("table", "orders"),)] == 1
    assert found["vitrine_quarantine_rows"] == {(("table", "orders"),): 1}
    assert guarded.get("/health").status_code == 401
