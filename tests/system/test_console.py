# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""The web console in a real Chromium. With MEERKAT_SCREENSHOTS=FOLDER it leaves pictures there (docs/admin has some)."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import urllib.request

import pytest

from cluster import Cluster
from support import PATIENCE, wait_for

pytest.importorskip("selenium")
if not shutil.which("chromium") or not shutil.which("chromedriver"):
    pytest.skip("chromium and chromedriver are not installed", allow_module_level=True)

from selenium import webdriver                              # noqa: E402
from selenium.webdriver.chrome.service import Service       # noqa: E402
from selenium.webdriver.common.by import By                 # noqa: E402
from selenium.webdriver.common.keys import Keys             # noqa: E402
from selenium.webdriver.support.select import Select        # noqa: E402

CONFIG = """
[c2s]
listen = 127.0.0.1:0
[sasl]
[rdbms]
driver = sqlite
[auth_rdbms]
iterations = 4096
[router]
[roster]
[presence]
[ping]
[http]
listen = 127.0.0.1:0
[graphql]
admin_listen = 127.0.0.1:0
admin_password = rhubarb-5
user_listen = 127.0.0.1:0
[admin]
[console]
"""

CLUSTER = CONFIG[CONFIG.index("[http]"):]
PICTURES = os.environ.get("MEERKAT_SCREENSHOTS")
VIEWS = ["overview", "sessions", "accounts", "modules", "metrics", "log", "explorer"]


class Page:
    """The console as an administrator sees it: found by what is written on it."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def open(self):
        self.driver.get(self.url)
        wait_for(lambda: self.driver.find_element(By.ID, "user").is_displayed(), "the form")

    def log_in(self, password="rhubarb-5"):
        for field, text in (("user", "admin"), ("password", password)):
            element = self.driver.find_element(By.ID, field)
            element.clear()
            element.send_keys(text)
        self.driver.find_element(By.ID, "password").send_keys(Keys.ENTER)

    def enter(self, view="overview"):
        self.driver.get("about:blank")
        self.open()
        self.log_in()
        wait_for(lambda: self.driver.find_element(By.ID, "app").is_displayed(), "the console")
        self.go(view)

    def go(self, view):
        self.driver.execute_script("location.hash = arguments[0]", view)
        wait_for(lambda: self.driver.find_element(By.CSS_SELECTOR, "nav a[aria-current]").get_attribute("hash") == f"#{view}", view)

    def text(self, selector="main"):
        return self.driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def see(self, pattern, selector="body"):
        return wait_for(lambda: re.search(pattern, self.text(selector)), f"'{pattern}' on the page", PATIENCE)

    def miss(self, pattern, selector="main"):
        wait_for(lambda: not re.search(pattern, self.text(selector)), f"'{pattern}' to go", PATIENCE)

    def button(self, label, within="body"):
        """The button that is called so, also for a screen reader."""
        path = f".//button[normalize-space()='{label}' or @aria-label='{label}']"

        def find():
            scope = self.driver.find_elements(By.CSS_SELECTOR, within)
            return [b for s in scope for b in s.find_elements(By.XPATH, path) if b.is_displayed()]
        return wait_for(find, f"button '{label}'")[-1]

    def press(self, label, within="body"):
        self.button(label, within).click()

    def fill(self, **values):
        dialog = wait_for(lambda: self.driver.find_elements(By.CSS_SELECTOR, "dialog[open]"), "a dialog")[-1]
        for name, value in values.items():
            dialog.find_element(By.NAME, name).send_keys(value)

    def keys(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    def picture(self, name):
        if PICTURES:
            self.driver.save_screenshot(str(pathlib.Path(PICTURES) / f"console-{name}.png"))

    def complaints(self):
        return [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900", "--no-first-run",
                     "--disable-background-networking", "--lang=en", f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    # Its sandbox needs a namespace of users, which root does not get and some containers give to nobody. The pages are ours.
    if os.geteuid() == 0 or subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode != 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    yield browser
    browser.quit()


@pytest.fixture
def page(node, driver):
    driver.get_log("browser")
    yield Page(driver, f"http://127.0.0.1:{node.port('graphql_admin')}/console")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture(scope="module", autouse=True)
def accounts(node):
    for name in ("alice", "bob"):
        ask(node, f'mutation {{ account {{ registerUser(domain: "localhost", username: "{name}", password: "secret") {{ jid }} }} }}')


def ask(node, query):
    """The same API, without the page."""
    request = urllib.request.Request(f"http://127.0.0.1:{node.port('graphql_admin')}/api/graphql", json.dumps({"query": query}).encode(),
                                     {"Content-Type": "application/json", "Authorization": "Basic YWRtaW46cmh1YmFyYi01"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)["data"]


def test_who_is_not_the_administrator_gets_no_further_than_the_form(page, node):
    page.open()
    page.log_in("rhubarb-6")
    page.see("not the administrator, or not the password")
    assert not page.driver.find_element(By.ID, "app").is_displayed()
    page.log_in()
    page.see("Ready for users")
    assert "rhubarb" not in node.log()


def test_the_password_stays_in_memory_and_goes_with_the_page(page):
    page.enter()
    page.see("Ready for users")
    left = page.driver.execute_script(
        "return [document.cookie, localStorage.length, sessionStorage.length, document.getElementById('password').value, location.href]")
    assert left[:4] == ["", 0, 0, ""] and "rhubarb" not in left[4]
    page.press("Log out")
    wait_for(lambda: page.driver.find_element(By.ID, "user").is_displayed(), "the form")
    assert not page.driver.find_element(By.ID, "app").is_displayed()


def test_the_page_is_strict_and_asks_no_one_else(page, node):
    with urllib.request.urlopen(page.url, timeout=PATIENCE) as answer:
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["script-src"]) and re.fullmatch(r"'sha256-[\w+/]+='", policy["style-src"])
    page.enter()
    for view in VIEWS:
        page.go(view)
        wait_for(lambda: page.text("main"), view)
    page.see("What there is")
    asked = page.driver.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert asked and {re.sub(r"\?.*", "", a) for a in asked} == {page.url.replace("/console", "/api/graphql")}
    assert page.complaints() == []


def test_a_user_who_logs_in_is_seen_live_and_kicked(page, node):
    page.enter("sessions")
    page.see("No session")
    client = node.client("alice", resource="phone").presence("<priority>7</priority>")
    page.see(r"alice@localhost/phone\s")
    other = node.client("bob")
    page.see("2 in all")
    page.picture("sessions")
    page.driver.find_element(By.ID, "search").send_keys("alice")
    page.miss("bob@localhost")
    page.press("Kick alice@localhost/phone")
    page.fill(reason="maintenance")
    page.press("Kick", "dialog")
    assert "maintenance" in client.closed()
    page.miss("alice@localhost/phone", "main table")
    page.driver.find_element(By.ID, "search").clear()
    page.driver.find_element(By.ID, "search").send_keys(" ")
    page.see(r"bob@localhost/test\s")
    other.close()
    page.see("No session")


def test_what_users_write_never_becomes_markup(page, node):
    evil = "&lt;img src=x onerror=document.title=1&gt;"
    with node.client("alice", resource=evil):
        page.enter("sessions")
        page.see(r"alice@localhost/<img src=x onerror=document\.title=1>")
        assert page.driver.find_elements(By.CSS_SELECTOR, "main img") == []
        assert page.driver.title == "Sessions · Meerkat"
    assert page.complaints() == []


def test_accounts_are_made_changed_and_removed(page, node):
    page.enter("accounts")
    page.see("bob@localhost")
    page.press("New account…")
    page.fill(username="carol", password="turnip-7")
    page.press("Create", "dialog")
    page.see("carol@localhost successfully registered")
    page.see("carol@localhost", "main table")
    node.client("carol", "turnip-7").close()
    page.press("Password carol@localhost")
    page.fill(newPassword="parsnip-8")
    page.press("Change", "dialog")
    wait_for(lambda: "parsnip-8" not in node.log() and ask(
        node, '{ account { checkPassword(user: "carol@localhost", password: "parsnip-8") { correct } } }')["account"]["checkPassword"]["correct"],
        "the new password")
    page.press("Remove carol@localhost")
    page.press("Cancel", "dialog")
    page.see("carol@localhost", "main table")
    page.press("Remove carol@localhost")
    page.press("Remove", "dialog")
    page.miss("carol@localhost", "main table")
    assert ask(node, '{ account { checkUser(user: "carol@localhost") { exist } } }')["account"]["checkUser"]["exist"] is False
    assert page.complaints() == []


def test_a_module_shows_its_options_and_hooks_and_is_reloaded(page, node):
    page.enter("modules")
    page.see(r"ping\s+running")
    page.picture("modules")
    page.press("Options ping")
    page.see("interval", "dialog")
    page.picture("options")
    page.press("Close", "dialog")
    page.press("Hooks presence")
    page.see("presence", "dialog table")
    page.press("Close", "dialog")
    before = len(re.findall("module 'ping'", node.log()))
    page.press("Reload ping")
    page.see("(?i)ping.*reload|reload.*ping", "#notes")
    wait_for(lambda: len(re.findall("module 'ping'", node.log())) > before, "the reload in the log")
    page.see(r"ping\s+running")
    page.press("Check the configuration")
    page.see("The configuration is good", "#notes")


def test_a_mistake_is_told(page):
    page.enter("modules")
    page.press("Load a module…")
    page.fill(name="no-such-thing")
    page.press("Load", "dialog")
    page.see("no-such-thing", "#notes .bad")


def test_live_rates_and_the_nodes(page, node):
    page.enter()
    with node.client("alice") as client:
        page.see(r"online 1\b")
        for _ in range(50):
            client.sync()
        wait_for(lambda: re.search(r"from clients [1-9]", page.text()) or client.sync() and False, "a rate above zero")
        drawn = page.driver.execute_script("return [...document.querySelectorAll('.plot path')].map((p) => p.getAttribute('d').length)")
        assert max(drawn) > 8
        page.see("One node, not in a cluster")
        page.picture("overview")


def test_the_log_is_followed_and_its_level_changed(page, node):
    page.enter("log")
    page.see("is ready", "#lines")
    ask(node, 'mutation { account { registerUser(domain: "localhost", username: "dora", password: "x1") { jid } } }')
    page.see("dora@localhost", "#lines")
    page.driver.find_element(By.ID, "search").send_keys("DORA@")
    page.miss("is ready", "#lines")
    page.see("dora@localhost", "#lines")
    select = Select(page.driver.find_elements(By.CSS_SELECTOR, "main select")[1])
    select.select_by_visible_text("DEBUG")
    wait_for(lambda: ask(node, "{ server { getLoglevel } }")["server"]["getLoglevel"] == "DEBUG", "the level")
    select.select_by_visible_text("INFO")
    wait_for(lambda: ask(node, "{ server { getLoglevel } }")["server"]["getLoglevel"] == "INFO", "the level")
    page.picture("log")


def test_the_explorer_completes_and_runs(page):
    page.enter("explorer")
    query = page.driver.find_element(By.ID, "query")
    query.clear()
    query.send_keys("{ acc")
    page.see("account", "#offers")
    query.send_keys(Keys.TAB, " { checkU")
    query.send_keys(Keys.ENTER, "(us")
    page.see("user", "#offers")
    query.send_keys(Keys.ENTER, ': "alice@localhost") { ')
    query.send_keys(Keys.CONTROL, " ")
    page.see("exist", "#offers")
    page.picture("explorer")
    query.send_keys(Keys.ENTER, " } } }")
    query.send_keys(Keys.CONTROL, Keys.ENTER)
    page.see('"exist": true', "#result")
    assert query.get_attribute("value") == '{ account { checkUser(user: "alice@localhost") { exist } } }'


def test_the_explorer_completes_enums_and_variables(page):
    page.enter("explorer")
    query = page.driver.find_element(By.ID, "query")
    query.clear()
    query.send_keys("mutation($l: LogL")
    page.see("LogLevel", "#offers")
    query.send_keys(Keys.ENTER, "!) { server { setLoglevel(level: $")
    page.see(r"\$l", "#offers")
    query.send_keys(Keys.ESCAPE, Keys.BACKSPACE, "WA")
    page.see("WARNING", "#offers")


def test_the_explorer_prints_events_until_it_is_stopped(page, node):
    page.enter("explorer")
    query = page.driver.find_element(By.ID, "query")
    query.clear()
    query.send_keys('subscription { stanza { subscribeForMessages(caller: "bob@localhost") { stanza } } }', Keys.ESCAPE)
    page.press("Run (Ctrl+Enter)")
    wait_for(lambda: ask(node, '{ session { countUserResources(user: "bob@localhost") } }')["session"]["countUserResources"], "the subscription")
    for body in ("first words", "second words"):
        ask(node, f'mutation {{ stanza {{ sendMessage(from: "alice@localhost", to: "bob@localhost", body: "{body}") {{ id }} }} }}')
        page.see(body, "#result")
    page.press("Stop")
    page.see("stopped", "#result")
    wait_for(lambda: not ask(node, '{ session { countUserResources(user: "bob@localhost") } }')["session"]["countUserResources"], "its end")


def test_it_works_by_keyboard_alone(page, node):
    with node.client("alice", resource="keys") as client:
        page.enter()
        page.keys("2")
        page.see("alice@localhost/keys")
        page.keys("/", "alice")
        assert page.driver.switch_to.active_element.get_attribute("id") == "search"
        for _ in range(5):
            page.keys(Keys.TAB)
            if (page.driver.switch_to.active_element.get_attribute("aria-label") or "").startswith("Kick alice"):
                break
        page.keys(Keys.ENTER)
        page.see("End this session", "dialog")
        page.keys(Keys.ESCAPE)
        page.miss("End this session", "body")
        assert page.driver.switch_to.active_element.get_attribute("aria-label") == "Kick alice@localhost/keys"
        page.keys(Keys.ENTER)
        page.see("End this session", "dialog")
        page.keys(Keys.ENTER)
        client.closed()


def test_it_fits_a_phone_in_the_dark(page, node):
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": True})
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    with node.client("alice", resource="a-resource-that-is-rather-long-for-a-small-screen"):
        page.enter()
        for view in VIEWS:
            page.go(view)
            wait_for(lambda: page.text("main"), view)
            assert page.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), view
        page.go("sessions")
        page.see("rather-long")
        color = page.driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
        assert all(int(part) < 64 for part in re.findall(r"\d+", color)[:3])
        page.picture("phone")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    nodes = Cluster(tmp_path_factory.mktemp("cluster"), kind="sqlite", users=2, more=CLUSTER).up(2)
    yield nodes
    nodes.down()


def test_a_cluster_is_seen_and_ruled_from_any_node(driver, cluster):
    first, second = cluster.nodes
    page = Page(driver, f"http://127.0.0.1:{first.port('graphql_admin')}/console")
    page.enter()
    page.see(r"n0\s+in sync")
    page.see(r"n1\s+in sync")
    page.picture("cluster")
    client = second.client("u0", resource="far")
    page.go("sessions")
    page.see(r"u0@localhost/far\s+n1")
    page.press("Kick u0@localhost/far")
    page.press("Kick", "dialog")
    client.closed()
    page.go("tables")
    page.see(r"sessions\s")
    page.see("n0, n1")
    page.go("overview")
    second.kill()
    page.miss(r"n1\s+in sync")
    page.see(r"n0\s+in sync")


def test_a_node_that_stops_is_told_and_comes_back(page, node):
    page.enter()
    page.see("Ready for users")
    port = node.port("graphql_admin")
    node.stop()
    page.see("no answer", "#state")
    node.args += ["--set", f"graphql.admin_listen=127.0.0.1:{port}"]
    node.start()
    page.see("ready", "#state")
    page.see("Ready for users")
