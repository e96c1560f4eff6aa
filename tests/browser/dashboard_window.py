"""A window of Chromium on the dashboard: signed in, watched for errors and foreign hosts, checked by axe."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests import plain_http
from tests.browser.live_platform import LivePlatform

SCREENSHOTS = Path(__file__).resolve().parents[2] / "dist" / "screenshots"
WORST = ("serious", "critical")
# Answers that the page expects now and then; Chromium writes each to the console.
EXPECTED = ("WebSocket connection to", "net::ERR_", "status of 401", "status of 412", "status of 422", "status of 409")
# Nothing near the window waits for its first numbers. What is far below is not asked for yet.
READY = """() => document.querySelector("main") && [...document.querySelectorAll(".skeleton, [aria-busy=true]")]
  .every(part => part.getBoundingClientRect().top > innerHeight + 250)"""


@dataclass
class DashboardWindow:
    """One browser context with one page. `key` signs in before the first page; None: nobody is signed in."""

    browser: Browser
    platform: LivePlatform
    key: str | None
    width: int = 1280
    theme: str = "light"
    zone: str | None = None  # of the browser
    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    context: BrowserContext = field(init=False)
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        size: Any = {"width": self.width, "height": 800}
        scheme: Any = self.theme
        self.context = self.browser.new_context(
            viewport=size, color_scheme=scheme, locale="en-GB", timezone_id=self.zone
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        if self.key:
            answer = self.context.request.post(
                f"{self.platform.url}/v1/session", data={"key": self.key}, headers={"origin": self.platform.url}
            )
            assert answer.ok, answer.text()
        self.page = self.context.new_page()
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.errors.append(f"{self.page.url}: {error}"))
        self.page.on("request", self._note_request)

    def open(self, path: str) -> Page:
        self.page.goto(self.platform.url + path)
        self.page.wait_for_function(READY, timeout=30_000)
        return self.page

    def close(self) -> None:
        self.context.close()
        own = urlsplit(self.platform.url).netloc
        assert self.hosts <= {own}, self.hosts
        assert self.errors == [], self.errors

    def read_values(self) -> dict[str, float]:
        """What the tiles show, by metric: the API's number, which they carry beside the words."""
        tiles = self.page.locator("[data-metric]").evaluate_all(
            "tiles => tiles.map(tile => [tile.dataset.metric, tile.querySelector('[data-value]')?.dataset.value])"
        )
        return {metric: float(value) for metric, value in tiles if value}

    def find_violations(self, axe: str) -> list[str]:
        """Serious findings of axe-core on the page as it is."""
        self.page.evaluate(axe)
        report = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{self.page.url} {violation['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for violation in report["violations"]
            if violation["impact"] in WORST
            for node in violation["nodes"][:3]
        ]

    def keep_picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def _note_console(self, message: ConsoleMessage) -> None:
        place = message.location["url"]
        if message.type != "error" or any(text in message.text for text in EXPECTED):
            return
        if not place.startswith(f"{self.platform.url}/v1/products/"):  # 404: the catalog does not have it
            self.errors.append(f"{self.page.url}: {message.text} {place}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.hosts.add(urlsplit(request.url).netloc)


@dataclass(frozen=True)
class ApiCaller:
    """The API by a key, for what a test compares with or prepares."""

    platform: LivePlatform
    key: str

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = plain_http.request(
            method, self.platform.url + path, content=None if body is None else json.dumps(body), timeout=30,
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )  # fmt: skip
        assert answer.is_success, answer.text
        return answer

    def read_total(self, metric: str, **query: Any) -> float:
        answers = self.call("POST", "/v1/query", {"queries": [{"metric": metric, "from": "-24h", **query}]}).json()
        total: float = answers["answers"][0]["results"][0]["total"]
        return total
