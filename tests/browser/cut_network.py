"""A wire between a browser and the platform that can be cut: bytes vanish, lines stay open, and nobody is told."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from tests.browser.live_platform import LivePlatform

CHUNK = 65_536
LOOK_S = 0.05


@dataclass
class CutNetwork:
    """Passes bytes on. While it is cut it reads none; mended, the old lines are dead and new ones work.

    As a proxy may, it puts other bytes for some: `replacements`, which are in the head of a response.
    """

    platform: LivePlatform
    replacements: tuple[tuple[bytes, bytes], ...] = ()
    _lines: dict[socket.socket, socket.socket] = field(default_factory=dict)
    _is_cut: threading.Event = field(default_factory=threading.Event)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _is_mended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def far_platform(self) -> LivePlatform:
        """The platform as one sees it through the wire."""
        address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        return replace(self.platform, ready={**self.platform.ready, "url": address})

    def cut(self) -> None:
        self._is_cut.set()

    def mend(self) -> None:
        self._is_mended.set()
        self._is_cut.clear()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._drop_all()
        self._listener.close()

    def _run(self) -> None:
        while not self._is_over.is_set():
            if self._is_cut.is_set():
                self._is_over.wait(LOOK_S)
                continue
            if self._is_mended.is_set():
                self._is_mended.clear()
                self._drop_all()
            for key, _ in self._selector.select(LOOK_S):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is self._listener:
                    self._connect()
                elif ready in self._lines:
                    self._pass_on(ready)

    def _connect(self) -> None:
        near, _ = self._listener.accept()
        address = urlsplit(self.platform.url)
        try:
            far = socket.create_connection((address.hostname, address.port))
        except OSError:
            near.close()
            return
        for sender, other in ((near, far), (far, near)):
            self._lines[sender] = other
            self._selector.register(sender, selectors.EVENT_READ)

    def _pass_on(self, sender: socket.socket) -> None:
        try:
            data = sender.recv(CHUNK)
            for old, new in self.replacements:
                data = data.replace(old, new)
            self._lines[sender].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(sender)

    def _drop(self, socket_to_close: socket.socket) -> None:
        for end in (socket_to_close, self._lines.get(socket_to_close)):
            if end is not None and self._lines.pop(end, None) is not None:
                with contextlib.suppress(OSError):
                    self._selector.unregister(end)
                end.close()

    def _drop_all(self) -> None:
        while self._lines:
            self._drop(next(iter(self._lines)))
