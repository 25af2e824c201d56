"""A real browser over a real service: Debian's Chromium, which asks nobody but the service for anything."""

import asyncio
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.admission.services import DEFAULT_TENANT, Services
from api.main import create_app
from api.portal.links import build_sign_in_link, ensure_portal_key
from tests.support.serving import serving

_PATIENCE_MS = 60_000  # a busy machine is no fault
# Late replies and slow scripts make a test fail that relies on one order of replies.
_LATENCY_MS = float(os.environ.get("LEADLINE_TEST_BROWSER_LATENCY_MS", "0"))
_SLOWER = 4
_QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile."""
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=_QUIET, chromium_sandbox=False, headless=True
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Portal:
    """The portal of a service in a browser's context; what else was asked for, and what the browser complains of.

    `provider_url` is the address of the identity provider to which the portal may lead.
    """

    services: Services
    url: str
    context: BrowserContext
    provider_url: str | None = None
    foreign: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def link(self) -> str:
        """A link that signs in once."""
        return build_sign_in_link(self.url, self._ticket())

    def signed_in(self, path: str = "/") -> Page:
        """Return a page at a path with the session that such a link begins, without the pages that the link opens."""
        begun = self.context.request.post(f"{self.url}/v1/sign-in", data={"ticket": self._ticket()})
        assert begun.ok, begun.text()
        page = self.page()
        page.goto(f"{self.url}{path}")
        page.wait_for_selector("#account")
        page.wait_for_load_state()  # else a busy browser may be idle before its scripts have run
        page.wait_for_load_state("networkidle")
        return page

    def _ticket(self) -> str:
        key = ensure_portal_key(self.services.keys, DEFAULT_TENANT)
        return self.services.accounts.sessions.issue_ticket(DEFAULT_TENANT, key.id)

    @contextmanager
    def somebody_else(self, path: str) -> Iterator[Page]:
        """A page at a path, or at a whole address, in a browser that shares nothing with this one."""
        browser = self.context.browser
        assert browser is not None
        with _context(browser) as context:
            page = context.new_page()
            page.goto(path if "://" in path else f"{self.url}{path}")
            yield page

    def page(self) -> Page:
        page = self.context.new_page()
        if _LATENCY_MS:
            self.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: dialog.accept())
        # From the first listener on, choosers are caught: one that is made just before the key is pressed may be late.
        page.on("filechooser", lambda _: None)
        return page

    def watch(self, request: Request) -> None:
        known = [self.url] if self.provider_url is None else [self.url, self.provider_url]
        if not request.url.startswith(("blob:", *(f"{each}/" for each in known))):
            self.foreign.append(request.url)


class _Late:
    """Requests come late and replies leave late, each by up to the latency, so that they overtake each other."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                await _late()
            await send(message)

        of_api = scope["type"] == "http" and scope["path"].startswith("/v1/")
        if of_api:
            await _late()
        await self._app(scope, receive, sent if of_api else send)


async def _late() -> None:
    await asyncio.sleep(random.uniform(0, _LATENCY_MS / 1000))


@contextmanager
def _context(browser: Browser, **options: Any) -> Iterator[BrowserContext]:  # noqa: ANN401 - of contexts
    # A colour that is on its way to another one has no contrast that is meant.
    context = browser.new_context(reduced_motion="reduce", **options)
    context.set_default_timeout(_PATIENCE_MS)
    try:
        yield context
    finally:
        context.close()


@contextmanager
def portal(services: Services, browser: Browser, **options: Any) -> Iterator[Portal]:  # noqa: ANN401 - of contexts
    """Serve the portal and look at it in a fresh context. At the end nothing else was asked for and nothing failed.

    A status that a page expects, such as `404`, is in the browser's log too, and no complaint.
    """
    app = create_app(services)
    if _LATENCY_MS:
        app.add_middleware(_Late)
    with serving(app) as url, _context(browser, **options) as context:
        made = Portal(services, url, context)
        context.on("request", made.watch)
        yield made
    assert made.foreign == []
    assert [each for each in made.said if not each.startswith("Failed to load resource")] == []
