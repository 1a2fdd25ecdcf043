"""
The status page as a person sees it: in a real browser, before a real proxy, through its troubles.

Every test also asserts, in the end, that the browser had nothing to complain of: no error in the page's
script, nothing that its content security policy stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
import pytest_asyncio
import yaml
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright import async_api as playwright

from proxy.config.load import load
from proxy.runtime import Runtime
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.server import Sandbox
from proxy.surroundings import Surroundings, real_clock
from tests.e2e.conftest import Lines, plain_session

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
    pytest.mark.asyncio(loop_scope="module"),
]

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)

HOSTILE = "<img src=x onerror=alert(1)>"
KEY = "canary-admin-key-0123456789"


@dataclass
class Scene:
    """
    A proxy in trouble, or not, and the browser that looks at it.
    """

    runtime: Runtime
    config: Any
    session: Any
    browser: Any
    log: Lines

    async def ask(self, path, times=1, **options):
        """
        Send requests through the proxy.
        """
        for _ in range(times):
            async with self.session.get(
                f"http://{self.runtime.addresses[0]}{path}", **options
            ) as got:
                await got.read()

    @contextlib.asynccontextmanager
    async def looking(self, *, height=900, width=1280, **options):
        """
        Open the status page; in the end it must have run without a complaint.
        """
        complaints = []
        context = await self.browser.new_context(
            viewport={"width": width, "height": height}, **options
        )
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text)
                if said.type == "error" and "Failed to load resource" not in said.text
                else None
            ),
        )
        try:
            await page.goto(f"http://{self.runtime.admin}/")
            yield page
            assert complaints == []
        finally:
            await context.close()


@contextlib.asynccontextmanager
async def serving(sandbox, folder, edit=lambda _: None):
    """
    Run a proxy before the sandbox, with a route whose upstream is down.
    """
    config = sandbox.write(folder, listen="127.0.0.1:0", admin="127.0.0.1:0")
    document = yaml.safe_load(config.read_text())
    document["routes"].append(
        {
            "name": "down",
            "match": {"path": "/down/"},
            "upstream": "http://127.0.0.1:9",
            "service_user": "reporter",
        }
    )
    edit(document)
    config.write_text(yaml.safe_dump(document))
    clock, log = real_clock(), Lines()
    loaded = load(config, {}, now=clock.wall())
    async with Runtime(loaded, Surroundings(log, {}, clock=clock, grace=0.2)) as runtime:
        yield runtime, config, log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    """
    One Chromium for all tests.
    """
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing_sandbox(keys):
    """
    One sandbox for all tests.
    """
    async with Sandbox(SandboxOptions(keys=keys)) as sandbox:
        yield sandbox


@pytest_asyncio.fixture(loop_scope="module")
async def scene(standing_sandbox, browser, tmp_path):
    """
    A proxy of its own for each test.
    """
    async with (
        serving(standing_sandbox, tmp_path) as (runtime, config, log),
        plain_session() as session,
    ):
        yield Scene(runtime, config, session, browser, log)


async def reads(page, selector, words):
    """
    Wait until an element holds these words; the page asks at once, as when it is looked at again.
    """
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await playwright.expect(page.locator(selector)).to_contain_text(words, timeout=10_000)


async def faults(page):
    """
    Return what axe finds wrong, whatever its weight.
    """
    found = (await Axe().run(page)).response["violations"]
    return [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_well_proxy_says_so(scheme, scene):
    """
    In one sentence, in both colour schemes, without a fault that axe would find.
    """
    await scene.ask("/orders/42", 3)
    async with scene.looking(color_scheme=scheme) as page:
        await reads(page, "#summary", "✓ All is well.")
        await reads(page, "#users", "reporter")
        assert await page.title() == "✓ well · authproxy"
        assert await faults(page) == []
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    assert (int(re.findall(r"\d+", ground)[0]) < 100) == (scheme == "dark")


async def test_trouble_is_shown_while_it_happens(scene):
    """
    Upstream down, no such route, a revoked user, a configuration that is refused: each appears on the
    open page, the worst first, and axe finds no fault in any of it.
    """
    async with scene.looking() as page:
        await reads(page, "#summary", "All is well")
        await scene.ask("/down/x?secret=1", 4)
        await scene.ask(f"/nowhere/{HOSTILE}", 2)
        await scene.runtime._gateway.generation.keeper.revoke("provisioner")
        scene.config.write_text(scene.config.read_text().replace("version: 1", "version: 2"))
        await scene.runtime.reload("request")

        await reads(page, "#summary", "need a look")
        troubles = await page.locator("#troubles li").all_text_contents()
        assert "is refused; generation 1 goes on serving." in troubles[0]
        assert troubles[1].startswith("Service user provisioner is revoked")
        assert "Route down: 100 % of its requests fail." in troubles
        await reads(page, "#problems", "version")
        first = page.locator("#users tbody tr").first
        await playwright.expect(first).to_contain_text("■ revoked")
        await playwright.expect(page.locator("#routes tbody tr").first).to_contain_text("✗ 100 %")
        failures = await page.locator("#failures").inner_text()
        assert "502 upstream_connect" in failures
        assert "404 no_route" in failures
        assert "secret" not in failures
        assert await page.locator("img").count() == 0
        assert await faults(page) == []


async def test_revoking_asks_first_and_says_what_came_of_it(scene):
    """
    By the keyboard alone: cancelled with Escape, the focus back where it was; then done, then undone.
    """
    async with scene.looking() as page:
        button = page.get_by_role("button", name="Revoke reporter")
        await button.focus()
        await page.keyboard.press("Enter")
        await reads(page, "#confirm-title", "Revoke reporter?")
        assert await faults(page) == []
        await page.keyboard.press("Escape")
        await playwright.expect(button).to_be_focused()
        assert scene.runtime._gateway.generation.keeper.state("reporter").condition == "ready"

        await page.keyboard.press("Enter")
        await page.locator("#yes").press("Enter")
        await reads(page, "#said", "reporter is revoked")
        assert scene.runtime._gateway.generation.keeper.state("reporter").condition == "revoked"
        line = await scene.log.wait("service_user.revoked", service_user="reporter")
        assert line["who"].startswith("127.0.0.1:")

        await page.get_by_role("button", name="Allow reporter").click()
        await page.locator("#yes").click()
        await reads(page, "#users tbody tr:has-text('reporter')", "ready")


async def test_a_reload_says_what_it_changed(scene):
    """
    Asked for by the page; the changes stand there afterwards.
    """
    async with scene.looking() as page:
        document = yaml.safe_load(scene.config.read_text())
        document["routes"] = [each for each in document["routes"] if each["name"] != "down"]
        scene.config.write_text(yaml.safe_dump(document))
        await page.get_by_role("button", name="Reload the configuration").click()

        await reads(page, "#said", "The configuration ")  # unless somebody saw the change before
        await reads(page, "#changes", "down")
        await reads(page, "#config-line", "✓ Generation 2")


async def test_a_proxy_that_is_gone_is_said_to_be(scene):
    """
    Since when; and the page goes on by itself once somebody answers again.
    """
    async with scene.looking() as page:
        await reads(page, "#summary", "All is well")
        address = f"http://{scene.runtime.admin}/status.json"
        await page.route(address, lambda route: route.abort())
        await reads(page, "#lost", "is not reachable since")
        await page.unroute(address)
        await playwright.expect(page.locator("#lost")).to_be_hidden(timeout=10_000)


async def test_a_request_is_explained(scene):
    """
    By the form; what somebody typed is shown as text.
    """
    async with scene.looking() as page:
        await page.get_by_label("URL or path").fill("/orders/42?a=1")
        await page.get_by_label("Header").fill(f"X-Note: {HOSTILE}")
        await page.get_by_role("button", name="Explain").click()

        await reads(page, "#explained", "route     orders")
        await reads(page, "#explained", HOSTILE)
        assert await page.locator("img").count() == 0

        await page.get_by_label("URL or path").fill("http://elsewhere.example.com/orders/42")
        await page.get_by_label("forward mode").check()
        await page.get_by_role("button", name="Explain").click()

        await reads(page, "#explained", "elsewhere.example.com:80 in forward mode")


async def test_a_narrow_screen_shows_all_without_scrolling_aside(scene):
    """
    At 320 pixels, which is also what 400 % zoom leaves of 1280 (WCAG 2.2, 1.4.10).
    """
    await scene.ask("/down/x", 1)
    async with scene.looking(width=320, height=640) as page:
        await reads(page, "#failures", "upstream_connect")
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
        assert await faults(page) == []


async def test_many_routes_can_be_filtered(scene, standing_sandbox, tmp_path):
    """
    Two hundred of them, by name, path or upstream; how many are shown is said.
    """

    def edit(document):
        document["routes"] += [
            {
                "name": f"route-{number}",
                "match": {"path": f"/many/{number}/"},
                "upstream": standing_sandbox.backend_url,
                "service_user": "reporter",
            }
            for number in range(200)
        ]

    folder = tmp_path / "many"
    async with (
        serving(standing_sandbox, folder, edit) as (scene.runtime, _, _),
        scene.looking() as page,
    ):
        await page.get_by_label("Filter routes").fill("/many/19")
        await reads(page, "#routes .filter", "11 of ")
        shown = page.locator("#routes tbody tr:visible")
        assert await shown.count() == 11


async def test_a_key_is_asked_for_by_the_browser(scene, standing_sandbox, tmp_path):
    """
    Any name, the key as password; what the page does afterwards just works.
    """

    def edit(document):
        document["admin_key_sha256"] = sha256(KEY.encode()).hexdigest()

    folder = tmp_path / "keyed"
    async with serving(standing_sandbox, folder, edit) as (scene.runtime, _, _):
        with pytest.raises(playwright.Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
            async with scene.looking():
                pass
        known = {"username": "me", "password": KEY}
        async with scene.looking(http_credentials=known) as page:
            await page.get_by_role("button", name="Revoke dev").click()
            await page.locator("#yes").click()
            await reads(page, "#said", "dev is revoked")


async def test_without_scripts_the_page_says_where_to_look(scene):
    """
    What matters most is in it, the rest is to be had as text.
    """
    await scene.runtime._gateway.generation.keeper.revoke("dev")
    async with scene.looking(java_script_enabled=False) as page:
        assert await page.locator("#summary").inner_text() == "Serving, but 1 thing needs a look."
        assert "Service user dev is revoked" in await page.locator("#troubles").inner_text()
        shown = page.locator("noscript .banner")
        await playwright.expect(shown).to_be_visible()
        assert "status.json" in await shown.inner_html()


async def test_another_page_can_do_nothing(scene):
    """
    One of another origin that posts to the admin listener, by fetch and by form, changes nothing.
    """
    said = b"<!DOCTYPE html><title>evil</title><form method=post></form>"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    evil = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    target = f"http://{scene.runtime.admin}/service-users/reporter/revoke"
    fetch = "url => fetch(url, {method: 'POST', mode: 'no-cors'}).then(() => 'read', () => 'lost')"
    submit = "url => { const form = document.forms[0]; form.action = url; form.submit(); }"
    context = await scene.browser.new_context()
    page = await context.new_page()
    await page.goto(evil)
    fetched = await page.evaluate(fetch, target)
    async with page.expect_response(target) as answered:
        await page.evaluate(submit, target)
    status = (await answered.value).status
    await context.close()
    server.close()

    assert (fetched, status) == ("lost", 403)
    assert not scene.log.events("service_user.revoked")
    assert scene.runtime._gateway.generation.keeper.state("reporter").condition == "ready"
