"""A server in front of the platform that fails before it succeeds, and sends what came through once more.

The first requests with a body get 503, as from a platform without Kafka. Every later one is passed on. Once the
platform has taken it, the proxy sends the same bytes again, as a client does whose answer was lost.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

PROBLEM = b'{"code": "unavailable", "message": "kafka is unavailable."}'
NOT_PASSED_ON = {"host", "connection", "content-length", "accept-encoding", "transfer-encoding", "keep-alive"}


@dataclass
class FlakyProxy:
    """`statuses` are the platform's answers, `repeated` those to the second sending; `zipped` counts gzip bodies."""

    platform_url: str
    failures: int = 2
    statuses: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    zipped: int = 0

    def __post_init__(self) -> None:
        proxy = self

        class Handler(_FlakyHandler):
            pass

        Handler.proxy = proxy
        self._lock, self._client = threading.Lock(), httpx.Client(base_url=self.platform_url, timeout=30)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._client.close()

    def must_fail(self) -> bool:
        with self._lock:
            self.failures -= 1
            return self.failures >= 0

    def forward(self, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        answer, again = (self._client.post(path, content=body, headers=headers) for _ in range(2))
        with self._lock:
            self.statuses.append(answer.status_code)
            self.repeated.append(again.status_code)
            self.zipped += body.startswith(b"\x1f\x8b")
        return answer


class _FlakyHandler(BaseHTTPRequestHandler):
    proxy: FlakyProxy
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.proxy.must_fail():
            self._answer(503, PROBLEM, {"Retry-After": "1"})
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
        answer = self.proxy.forward(self.path, headers, body)
        self._answer(answer.status_code, answer.content, {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
