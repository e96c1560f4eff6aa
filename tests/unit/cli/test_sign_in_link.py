"""The sign-in link of `rta up`: it has a code of the running API, or there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rtaplatform.cli.sign_in_link import find_sign_in_link


@contextmanager
def running_api(*, has_dashboard: bool) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200 if has_dashboard and self.path == "/overview" else 404, b"<!doctype html>")

        def do_POST(self) -> None:
            may_ask = self.headers["Authorization"] == "Bearer admin" and self.path == "/v1/session/codes"
            self._answer(200 if may_ask else 401, b'{"start": "c0de"}')

        def log_message(self, *_: object) -> None: ...

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_code_is_in_the_fragment() -> None:
    with running_api(has_dashboard=True) as url:
        assert find_sign_in_link(url, "admin") == f"{url}/#start=c0de"


@pytest.mark.parametrize(("has_dashboard", "key"), [(False, "admin"), (True, "reader")])
def test_without_a_dashboard_or_a_code_there_is_no_link(has_dashboard: bool, key: str) -> None:
    with running_api(has_dashboard=has_dashboard) as url:
        assert find_sign_in_link(url, key) is None


def test_an_api_that_does_not_answer_gives_no_link() -> None:
    assert find_sign_in_link("http://127.0.0.1:9", "admin") is None
