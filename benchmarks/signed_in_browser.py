"""Chromium with one context, signed in at a running platform. Needs the packages of requirements/dev.txt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright


def read_ready_file(path: Path) -> dict[str, Any]:
    """What `rta up --ready-file` wrote: addresses and keys."""
    ready: dict[str, Any] = json.loads(path.read_text())
    return ready


@contextmanager
def running_signed_in_browser(ready: dict[str, Any]) -> Iterator[BrowserContext]:
    """A tab in the background is as fast as one in front: Chromium would slow it down."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), chromium_sandbox=False,
            args=["--disable-background-timer-throttling", "--disable-renderer-backgrounding"],
        )  # fmt: skip
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        answer = context.request.post(
            f"{ready['url']}/v1/session", data={"key": ready["read_key"]}, headers={"origin": ready["url"]}
        )
        assert answer.ok, answer.text()
        yield context
        browser.close()
