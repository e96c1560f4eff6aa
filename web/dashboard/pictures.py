"""Make the pictures of the README from a running product: pictures.py READY_FILE FOLDER.

`rta up --simulate 2 --ready-file READY_FILE` runs, and `rta simulate --backfill 3d --rate 2` has given it a history of
the same rate. Needs Chromium and the packages of requirements/dev.txt. A PNG is at most 150 kB.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

PICTURES = {
    "overview-light": ("/", 1200, 720, "light"),
    "overview-dark": ("/?metric=revenue", 1200, 720, "dark"),
    "products-light": ("/products", 1200, 720, "light"),
    "phone-light": ("/", 390, 844, "light"),
    "phone-dark": ("/explore?metric=orders&breakdown=device", 390, 844, "dark"),
}
BYTES_MAX = 150_000
# Lists far below the window are not asked for yet.
IS_READY = """() => document.querySelector(".live") && [...document.querySelectorAll(".skeleton, [aria-busy=true]")]
  .every(part => part.getBoundingClientRect().top > innerHeight + 250)"""


def take_picture(browser: Browser, ready: dict[str, str], name: str, folder: Path) -> None:
    path, width, height, theme = PICTURES[name]
    scheme: Any = theme
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB")
    context.request.post(
        f"{ready['url']}/v1/session", data={"key": ready["read_key"]}, headers={"origin": ready["url"]}
    )
    page = context.new_page()
    page.goto(ready["url"] + path)
    page.wait_for_function(IS_READY)
    page.wait_for_timeout(3_000)
    file = folder / f"{name}.png"
    page.screenshot(path=file)
    context.close()
    assert file.stat().st_size <= BYTES_MAX, f"{file}: {file.stat().st_size} bytes"


def main() -> None:
    ready, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=False)
        for name in PICTURES:
            take_picture(browser, ready, name, folder)
        browser.close()


if __name__ == "__main__":
    main()
