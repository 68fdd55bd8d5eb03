"""A person at the UI of Airflow: logs in, fills the form of a backfill, and looks at the runs."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from jobs.house.rest import Rest

INSTALL = "install a browser, on Debian by `apt-get install chromium chromium-driver`"
WINDOW = "window-size=1400,1400"
# The page renders while the scheduler works: a busy machine needs its time.
PATIENCE = 120
IN_FORM = "//*[@role='dialog']"
STATES_OF_RUNS = """
const text = (row, cell) => row.querySelector(`[data-testid=table-cell-${cell}]`)?.innerText;
return [...document.querySelectorAll("tbody tr")].map(row => [text(row, "dag_run_id"), text(row, "state")]);
"""


class Person:
    """Somebody with a browser, logged in to Airflow; what a failed step left on the screen is kept."""

    def __init__(self, api: Rest, screenshots: Path) -> None:
        self.api, self.screenshots = api, screenshots
        self.browser = opened()

    def log_in(self) -> None:
        """Log in by the login page, to which every other page leads who is not."""
        with self._watched("log_in"):
            self.browser.get(f"{self.api.address}/dags")
            self._find("//input[@name='username']").send_keys(self.api.login)
            self._find("//input[@name='password']").send_keys(self.api.password, Keys.ENTER)
            self._find("//a[@href='/dags/lake_etl']")

    def backfill(self, dag_id: str, *, first: date, last: date) -> str:
        """Fill and send the form of a DAG's page; return what it announced before it was sent."""
        with self._watched(f"backfill_{dag_id}"):
            self.browser.get(f"{self.api.address}/dags/{dag_id}")
            self._find("//*[@data-testid='trigger-dag-button']").click()
            self._find(f"{IN_FORM}//label[.//input[@value='backfill']]").click()
            for label, day in (("From", first), ("To", last)):
                self._type_day(label, day)
            announced = self._find(f"{IN_FORM}//*[contains(text(), 'will be triggered')]").text
            self._find(f"{IN_FORM}//button[normalize-space()='Run Backfill' and not(@disabled)]").click()
            self._find("//*[text()='Backfill generated']")
        return announced

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str, **entered: str) -> str:
        """Read the report that a waiting task links, fill its form and send it; return the report's title."""
        page = f"{self.api.address}/dags/{dag_id}/runs/{quote(run_id)}/tasks/{task_id}/required_actions"
        with self._watched(f"answer_{dag_id}"):
            self.browser.get(page)
            self.browser.get(str(self._find("//a[text()='Read the report']").get_attribute("href")))
            title = self.browser.title
            self.browser.get(page)
            for name, text in entered.items():
                self._find(f"//*[@name='element_{name}']").send_keys(text)
            self._find(f"//button[normalize-space()='{option}' and not(@disabled)]").click()
            # The form stays; only the API says that the answer has arrived.
            asked = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
            self._wait(lambda: bool(self.api.call("GET", asked)["response_received"]))
        self.browser.get("about:blank")
        return title

    def reads(self, page: str) -> str:
        """Open one of Vitrine's pages from Airflow's menu's address; return its text."""
        with self._watched(f"page_{page}"):
            self._enter(page)
            return str(self._find("//main").text)

    def finds(self, subject: str) -> tuple[str, int]:
        """Find a subject by the form of Layouts; return its title and how many positions it shows."""
        with self._watched("page_layouts"):
            self._enter("layouts")
            self._find("//input[@name='subject']").send_keys(subject, Keys.ENTER)
            title = self._find("//header[@class='front']//h1").text
            return title, len(self.browser.find_elements(By.CLASS_NAME, "place"))

    def leave(self) -> None:
        """Close the browser."""
        self.browser.quit()

    def sees(self, dag_id: str, states: dict[str, str]) -> None:
        """Open the list of a DAG's runs, and wait until it shows these, by id, in these states."""
        with self._watched(f"runs_{dag_id}"):
            self.browser.get(f"{self.api.address}/dags/{dag_id}/runs")
            self._wait(lambda: self._runs() == states)

    def _runs(self) -> dict[str, str]:
        # Read in one go: the list is drawn anew while one looks at it.
        return dict(self.browser.execute_script(STATES_OF_RUNS))

    def _type_day(self, label: str, day: date) -> None:
        field = f"{IN_FORM}//*[text()='{label}']/following::*[text()='Select date and time'][1]"
        self._find(field).click()
        box = self._find("//input[@placeholder='YYYY/MM/DD']")
        box.send_keys(f"{day:%Y/%m/%d}")
        box.send_keys(Keys.ESCAPE)
        self._wait(lambda: not self.browser.find_elements(By.XPATH, "//input[@placeholder='YYYY/MM/DD']"))

    def _enter(self, page: str) -> None:
        self.browser.get(f"{self.api.address}/plugin/vitrine-{page}")
        self.browser.switch_to.frame(self._find("//iframe"))

    def _find(self, path: str) -> WebElement:
        """Wait for the first element of that path that can be seen."""

        def seen(browser: Chrome) -> WebElement | None:
            return next((one for one in browser.find_elements(By.XPATH, path) if one.is_displayed()), None)

        return self._waiting().until(seen, f"nothing was shown at {path}")

    def _wait(self, until: Callable[[], bool]) -> None:
        self._waiting().until(lambda _: until())

    def _waiting(self) -> WebDriverWait[Chrome]:
        return WebDriverWait(self.browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException])

    @contextmanager
    def _watched(self, step: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.browser.save_screenshot(str(self.screenshots / f"{step}.png"))
            raise
        # A page that is left open goes on asking and drawing all the while.
        self.browser.get("about:blank")


def opened() -> Chrome:
    """Return a browser without a window."""
    return Chrome(options=_options(), service=ChromeService(_program("chromedriver")))


def _options() -> ChromeOptions:
    options = ChromeOptions()
    options.binary_location = _program("chromium")
    # Root, as in a container, has no sandbox; its /dev/shm may be small.
    for switch in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "no-proxy-server", WINDOW):
        options.add_argument(f"--{switch}")
    return options


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"No {name} is there to open pages with: {INSTALL}.", pytrace=False)
    return found
