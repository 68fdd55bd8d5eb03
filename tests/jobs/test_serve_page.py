"""serve: a shop's page in a real browser asks it for a household's layout, and shows it."""

from selenium.webdriver.support.wait import WebDriverWait

from tests.e2e.browser import opened
from tests.jobs.test_serve import running, subject
from tests.jobs.test_serve import served as served  # a fixture
from tests.store import given as nights

PAGE = """<!doctype html><meta charset="utf-8"><title>Shop</title><main></main><script>
const get = async path => (await fetch(path)).json();
const part = (kind, text) => Object.assign(document.createElement(kind), {textContent: text});
(async () => {
  const layout = await get("/v1/layouts/home?user=h1&device=d7&session=s1");
  for (const name of layout.widgets) {
    const {labels} = await get(`/v1/widgets/${encodeURIComponent(name)}`);
    const {products} = await get(`/v1/lists/${encodeURIComponent(`category:${labels.category}`)}`);
    const section = document.createElement("section");
    section.dataset.widget = name;
    section.append(part("h2", labels.category), ...products.map(product => part("p", product)));
    document.querySelector("main").append(section);
  }
  document.body.dataset.decision = layout.decision_id;
})();
</script>"""
SHOWN = """
return [...document.querySelectorAll("section")].map(section => [
  section.dataset.widget,
  section.querySelector("h2").textContent,
  [...section.querySelectorAll("p")].map(product => product.textContent),
]);
"""


def shop(application):
    """Return an application as a shop's own server is: its page, and behind the same address the layouts."""
    content = PAGE.encode()
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(content)).encode())]

    async def answer(scope, receive, send):
        if scope.get("path") != "/":
            await application(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return answer


def test_a_page_in_a_browser_shows_a_households_layout(served):
    browser = opened()
    try:
        with running(shop(served.application)) as address:
            browser.get(f"{address}/")
            decision = WebDriverWait(browser, 60).until(
                lambda page: page.execute_script("return document.body.dataset.decision")
            )
            shown = browser.execute_script(SHOWN)
            browser.get("about:blank")
    finally:
        browser.quit()
    row = nights.layout(subject("user", "h1"), "home")
    assert [widget for widget, _, _ in shown] == row["widgets"]
    for widget, category, products in shown:
        place = int(widget.removeprefix("category:")) % 4
        assert category == nights.CATEGORIES[place]
        assert products == [str(100 * place + number) for number in range(12)]
    span = served.spans()[-1].attributes
    assert (span["vitrine.decision_id"], span["user.id"], span["device.id"]) == (decision, "h1", "d7")
    assert "HeadlessChrome" in span["user_agent.original"]
