"""Plausible, Umami, Matomo and Google Analytics 4: rows of their events → ours.   Pure.

Each reads what holds single events: Plausible's table `events_v2`, Umami's `website_event`, Matomo's visits with their
actions (`Live.getLastVisitsDetails`), and GA4's export to BigQuery. Downloads of their pages have only totals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rtaplatform.collect.adapters.adapted_events import ENGAGED_SECONDS_MIN
from rtaplatform.collect.adapters.ga4 import ENGAGEMENT, TAG_EVENTS
from rtaplatform.history.tools.rows import (
    Event,
    ExportRow,
    HistoryTool,
    make_address,
    make_context,
    read_members,
    read_objects,
    read_text,
    read_utc,
    read_whole_number,
    without_nothing,
)

_MATOMO_PAGES = ("action", "outlink", "download")
_GA4_ITEM = {"item_id": "product_id", "item_name": "name", "item_category": "category", "item_brand": "brand"}


def _make_call(name: str | None, page_names: tuple[str, ...]) -> Event:
    return {"type": "page"} if name is None or name in page_names else {"type": "track", "event": name}


def read_plausible(row: ExportRow) -> Iterator[Event]:
    host, path = read_text(row, "hostname"), read_text(row, "pathname")
    keys, values = row.get("meta.key"), row.get("meta.value")
    pairs = zip(keys, values, strict=False) if isinstance(keys, list) and isinstance(values, list) else ()
    properties = {key: value for key, value in pairs if isinstance(key, str)}
    properties |= {
        "revenue": read_text(row, "revenue_source_amount"),
        "currency": read_text(row, "revenue_source_currency"),
    }
    context = make_context(
        url=make_address(host, path),
        path=path,
        referrer=_with_scheme(read_text(row, "referrer")),
        source=read_text(row, "utm_source"),
        medium=read_text(row, "utm_medium"),
        campaign=read_text(row, "utm_campaign"),
        country=read_text(row, "country_code"),
        region=read_text(row, "subdivision1_code"),
        browser=read_text(row, "browser"),
        os=read_text(row, "operating_system"),
        device=_read_device(read_text(row, "screen_size")),
    )
    if read_text(row, "name") != "engagement":
        yield {
            **_make_call(read_text(row, "name"), ("pageview",)),
            "anonymousId": read_text(row, "user_id"),
            "context": context,
            "timestamp": read_utc(read_text(row, "timestamp")),
            "properties": properties,
        }


def read_umami(row: ExportRow) -> Iterator[Event]:
    host, path, query = read_text(row, "hostname"), read_text(row, "url_path"), read_text(row, "url_query")
    context = make_context(
        url=make_address(host, path, query),
        path=path,
        search=f"?{query}" if query else None,
        title=read_text(row, "page_title"),
        referrer=_with_scheme(read_text(row, "referrer_domain")),
        source=read_text(row, "utm_source"),
        medium=read_text(row, "utm_medium"),
        campaign=read_text(row, "utm_campaign"),
        country=read_text(row, "country"),
        region=read_text(row, "region"),
        browser=read_text(row, "browser"),
        os=read_text(row, "os"),
        device=_read_device(read_text(row, "device")),
        language=read_text(row, "language"),
    )
    yield {
        **_make_call(read_text(row, "event_name"), ()),
        "anonymousId": read_text(row, "session_id"),
        "context": context,
        "userId": read_text(row, "distinct_id"),
        "timestamp": read_utc(read_text(row, "created_at")),
    }


def read_matomo(visit: ExportRow) -> Iterator[Event]:
    """The actions of a visit; an order of its shop is an action too."""
    for action in read_objects(visit, "actionDetails"):
        context = make_context(
            url=read_text(action, "url"),
            title=read_text(action, "pageTitle"),
            referrer=read_text(visit, "referrerUrl"),
            campaign=read_text(visit, "referrerName") if read_text(visit, "referrerType") == "campaign" else None,
            country=(read_text(visit, "countryCode") or "").upper() or None,
            region=read_text(visit, "regionCode"),
            browser=read_text(visit, "browserName"),
            os=read_text(visit, "operatingSystemName"),
            device=_read_device(read_text(visit, "deviceType")),
            language=read_text(visit, "languageCode"),
        )
        yield {
            **_make_matomo_call(action),
            "anonymousId": read_text(visit, "visitorId"),
            "userId": read_text(visit, "userId"),
            "timestamp": read_whole_number(action.get("timestamp")),
            "context": context,
        }


def _make_matomo_call(action: ExportRow) -> Event:
    kind = read_text(action, "type")
    if kind == "ecommerceOrder":
        order = {
            "order_id": read_text(action, "orderId"),
            "revenue": read_text(action, "revenue"),
            "products": [_make_matomo_product(item) for item in read_objects(action, "itemDetails")],
        }
        return {"type": "track", "event": "Order Completed", "properties": order}
    if kind == "event":
        return {"type": "track", "event": read_text(action, "eventAction", "eventCategory") or "event"}
    names = {"outlink": "Outbound Link Clicked", "download": "File Downloaded", "search": "Site Search"}
    return _make_call(names.get(kind or ""), ())


def _make_matomo_product(item: ExportRow) -> dict[str, Any]:
    return without_nothing(
        {
            "product_id": read_text(item, "itemSKU"),
            "name": read_text(item, "itemName"),
            "category": read_text(item, "itemCategory"),
            "price": read_text(item, "price"),
            "quantity": read_text(item, "quantity"),
        }
    )


def read_ga4(row: ExportRow) -> Iterator[Event]:
    """The event of a row; none if Google's tag has made it by itself: a visit of one page would have several."""
    name = read_text(row, "event_name")
    if name in TAG_EVENTS:
        return
    parameters = {
        parameter["key"]: _read_ga4_value(parameter.get("value"))
        for parameter in read_objects(row, "event_params")
        if isinstance(parameter.get("key"), str)
    }
    call, seconds = _make_call(name, ("page_view",)), None
    if name == ENGAGEMENT:  # as the adapter of GA4's protocol reads it
        seconds = (read_whole_number(parameters.get("engagement_time_msec")) or 0) // 1_000
        if seconds < ENGAGED_SECONDS_MIN:
            return
        call = {"type": "track", "event": "Page Engaged"}
    device, geo, visit = (read_members(row, name) for name in ("device", "geo", "traffic_source"))
    commerce = read_members(row, "ecommerce")
    properties = {
        **parameters,
        "transaction_id": read_text(commerce, "transaction_id") or parameters.get("transaction_id"),
        "value": parameters.get("value", commerce.get("purchase_revenue")),
        "items": [_make_ga4_item(item) for item in read_objects(row, "items")] or None,
    }
    moment_us = read_whole_number(row.get("event_timestamp"))
    context = make_context(
        url=parameters.get("page_location"),
        title=parameters.get("page_title"),
        referrer=parameters.get("page_referrer"),
        source=read_text(visit, "source"),
        medium=read_text(visit, "medium"),
        campaign=read_text(visit, "name"),
        country=None,
        region=None,
        os=read_text(device, "operating_system"),
        browser=read_text(read_members(device, "web_info"), "browser"),
        device=_read_device(read_text(device, "category")),
        language=read_text(device, "language"),
    )
    yield {
        **call,
        "anonymousId": read_text(row, "user_pseudo_id"),
        "userId": read_text(row, "user_id"),
        "properties": properties if seconds is None else {"seconds": seconds},
        "timestamp": None if moment_us is None else moment_us // 1_000,
        "context": {**context, "location": {"country": _read_country(read_text(geo, "country"))}},
    }


def _read_ga4_value(value: Any) -> Any:
    values = value if isinstance(value, dict) else {}
    return next((values[name] for name in values if values[name] is not None), None)


def _make_ga4_item(item: ExportRow) -> dict[str, Any]:
    return without_nothing({name: item.get(name) for name in (*_GA4_ITEM, "price", "quantity")})


def _read_country(name: str | None) -> str | None:
    """GA4 writes the country's name, which is no code; two letters are taken as one."""
    return name if name is not None and len(name) == 2 else None


def _read_device(kind: str | None) -> str | None:
    """`mobile`, `tablet`, `desktop` of the words that these tools use."""
    word = (kind or "").lower()
    if word in ("laptop", "desktop", "ultra-wide"):
        return "desktop"
    return {"smartphone": "mobile", "phablet": "mobile"}.get(word, word) or None


def _with_scheme(referrer: str | None) -> str | None:
    return referrer if referrer is None or "://" in referrer else f"https://{referrer}"


PLAUSIBLE = HistoryTool(
    "plausible",
    ("timestamp", "user_id", "name"),
    read_plausible,
    "The download of its page has only totals. Export the table of a server of your own: "
    "`SELECT * FROM events_v2 WHERE site_id = … FORMAT JSONEachRow`.",
)
UMAMI = HistoryTool(
    "umami",
    ("created_at", "session_id"),
    read_umami,
    "Export the table `website_event` as CSV, joined with `session` for what the visitor uses.",
)
MATOMO = HistoryTool(
    "matomo",
    ("actionDetails",),
    read_matomo,
    "Reports have only totals. Export the visits: `method=Live.getLastVisitsDetails&format=JSON&filter_limit=-1`.",
)
GA4 = HistoryTool(
    "ga4",
    ("event_timestamp", "event_name", "user_pseudo_id"),
    read_ga4,
    "The download of its page has only totals. Export the tables `events_…` from BigQuery as JSON.",
)
