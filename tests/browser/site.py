"""A website: pages with the tracker in them, and `/stats/`, a first-party path to the platform, as a proxy has it.

The proxy can fail as told: the next requests to it get these answers, and what it was sent is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests import plain_http

PREFIX = "/stats"
BODY = """<!doctype html><html><head><meta charset="utf-8"><title>Shop</title>{head}</head><body>
<h1>Shop</h1><a id="other" href="http://localhost:{port}/elsewhere">other</a>
<a id="file" href="/prices.pdf">prices</a><a id="inner" href="#part">part</a>
<form data-rta-submit="Signed Up" id="sign-up" onsubmit="event.preventDefault()">
<input name="id" value="secret@example.com"><button id="send">send</button></form>
<form id="silent" onsubmit="event.preventDefault()"><button id="search">search</button></form></body></html>"""


@dataclass
class Failure:
    """One answer instead of the platform's. Status 0 cuts the connection."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """`head` is what stands in the head of each page: the script element. `frame`: attributes of the one in /frame."""

    platform_url: str
    head: str = ""
    frame: str = ""
    failures: list[Failure] = field(default_factory=list)
    posts: list[tuple[str, bytes]] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        site = self

        class Handler(_SiteHandler):
            pass

        Handler.site = site
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def clear(self) -> None:
        self.head, self.frame, self.failures, self.posts = "", "", [], []


class _SiteHandler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"{PREFIX}/"):
            self._forward("GET", b"")
        elif path in self.site.files:
            content_type = "text/html" if path.endswith(".html") else "text/javascript"
            self._answer(200, self.site.files[path].read_bytes(), content_type)
        elif path.endswith(".pdf"):
            self._answer(204, b"", "application/pdf")
        elif path == "/frame":
            frame = f"<!doctype html><title>Frame</title><iframe {self.site.frame} src='/inside'></iframe>"
            self._answer(200, frame.encode(), "text/html")
        else:
            self._answer(200, BODY.format(head=self.site.head, port=self.site.port).encode(), "text/html")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.site.posts.append((self.headers.get("content-type", ""), body))
        failure = self.site.failures.pop(0) if self.site.failures else None
        if failure is None:
            self._forward("POST", body)
        elif failure.status:
            self._answer(failure.status, b"{}", "application/json", failure.headers)
        else:
            self.close_connection = True

    def _forward(self, method: str, body: bytes) -> None:
        names = ("content-type", "origin", "user-agent", "if-none-match", "accept-encoding")
        headers = {name: value for name in names if (value := self.headers.get(name))}
        headers |= {"Host": self.headers["host"], "X-Forwarded-Prefix": PREFIX, "X-Forwarded-Proto": "http"}
        headers["accept-encoding"] = "identity"
        url = self.site.platform_url + self.path.removeprefix(PREFIX)
        answer = plain_http.request(method, url, content=body, headers=headers, timeout=30)
        self._answer(answer.status_code, answer.content, answer.headers.get("content-type", ""))

    def _answer(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Not to the terminal."""
