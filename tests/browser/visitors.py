"""Visitors: windows of Chromium with storage of their own, on pages that have the tracker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Request

from tests.browser.live_platform import LiveProject
from tests.browser.site import Site

# Without its name for a browser that nobody looks at: such visitors are bots. It is the browser's own from the start:
# where it is set by page, half of the requests that a page sends while it is left have the browser's.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
CHROMIUM_ARGUMENTS = [f"--user-agent={USER_AGENT}"]
CHROMIUM_OPTIONS: dict[str, Any] = {"headless": True, "chromium_sandbox": False, "args": CHROMIUM_ARGUMENTS}
BLOCKED_STORAGE = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
"""


@dataclass
class Visitors:
    """Makes visitors; knows which hosts their pages asked, and what went wrong in the pages."""

    browser: Browser
    site: Site
    project: LiveProject
    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def write_script(self, attributes: str = "", *, src: str | None = None) -> str:
        """The one line, which is in every page from now on. Without an attribute for it, reading time is not sent:
        on a slow machine a test may take as long as a reader.
        """
        if "data-engaged" not in attributes:
            attributes += ' data-engaged="off"'
        where = src or f"{self.project.platform.url}/rta.js"
        self.site.head = f'<script defer src="{where}" data-key="{self.project.write_key}" {attributes}></script>'
        return self.site.head

    def arrive(self, path: str = "/", *, blocks_storage: bool = False, **options: Any) -> Page:
        """A new visitor who has opened the page, once the tracker is there."""
        context = self.browser.new_context(locale="de-DE", **options)
        self.contexts.append(context)
        context.on("request", self._note)
        if blocks_storage:
            context.add_init_script(BLOCKED_STORAGE)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(self.site.url + path, wait_until="load")
        return page

    def leave(self) -> None:
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def _note(self, request: Request) -> None:
        address = urlsplit(request.url)
        self.hosts.add(f"{address.scheme}://{address.netloc}")
