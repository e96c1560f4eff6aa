"""What a collecting request tells apart from its body: times, browser, languages, location.   Stage 6 of 6.

The client's address is looked up for a location here and goes no further. A location that a proxy names counts only if
the proxy is a trusted one.
"""

from __future__ import annotations

import time

import msgspec

from rtaplatform.collect.body.draft import UNKNOWN_CLIENT, RequestClient
from rtaplatform.collect.body.envelope import RequestArrival
from rtaplatform.collect.enrich.locations import NOWHERE, VisitorLocation, read_proxy_headers
from rtaplatform.collect.enrich.user_agents import read_hints
from rtaplatform.collect.steps.bots import HEADERS_MARK, is_asked_by_machine
from rtaplatform.serve.http.access import find_address, is_from_trusted_proxy
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies


def read_arrival(request: AnyRequest, parts: Dependencies) -> RequestArrival:
    headers = request.headers
    retries, client = headers.get("x-retry-count", ""), _read_client(request, parts)
    is_from_browser = "origin" in headers or "sec-fetch-mode" in headers
    return RequestArrival(
        received_ms=time.time_ns() // 1_000_000,
        sent_at=headers.get("sentat"),
        is_retry=retries.isdecimal() and int(retries[:9]) > 0,
        is_from_browser=is_from_browser,
        user_agent=headers.get("user-agent"),
        route=request.scope["path"],
        client=add_bot_mark(client, HEADERS_MARK) if is_from_browser and is_asked_by_machine(headers) else client,
        denied=parts.intake.denied,
    )


def add_bot_mark(client: RequestClient, mark: str) -> RequestClient:
    return msgspec.structs.replace(client, bot_marks=(*client.bot_marks, mark))


def _read_client(request: AnyRequest, parts: Dependencies) -> RequestClient:
    headers = request.headers
    languages = headers.get("accept-language", "")
    hints = read_hints(headers.get("sec-ch-ua-mobile"), headers.get("sec-ch-ua-platform"))
    location = _find_location(request, parts)
    if not languages and hints is UNKNOWN_CLIENT.hints and location is NOWHERE and parts.intake.find_location is None:
        return UNKNOWN_CLIENT
    return RequestClient(languages, hints, location, parts.intake.find_location)


def _find_location(request: AnyRequest, parts: Dependencies) -> VisitorLocation:
    location = read_proxy_headers(request.headers) if is_from_trusted_proxy(request, parts) else NOWHERE
    if location is NOWHERE and parts.intake.find_location is not None:
        location = parts.intake.find_location(find_address(request, parts))
    return location
