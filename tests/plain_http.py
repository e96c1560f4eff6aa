"""HTTP requests to servers on this machine.

None of them has TLS. So no certificates are read: each `httpx.get` would read all of the system's, for 30 ms of a
processor, and a test that asks a thousand times would wait half a minute for nothing.
"""

from __future__ import annotations

import ssl
from functools import partial

import httpx

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

request = partial(httpx.request, verify=NO_TLS)
get = partial(httpx.get, verify=NO_TLS)
post = partial(httpx.post, verify=NO_TLS)
stream = partial(httpx.stream, verify=NO_TLS)
