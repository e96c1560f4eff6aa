"""A program with the client of openapi-python-client. It is type-checked, and not run."""

from __future__ import annotations

from rta_client import AuthenticatedClient
from rta_client.api.collect import collect_track
from rta_client.api.metrics import read_metric, read_queries
from rta_client.api.products import change_product
from rta_client.models import (
    Answer,
    AnswerList,
    Collected,
    Interval,
    JsonObject,
    MetricName,
    Problem,
    Product,
    ProductFields,
    ProductStatus,
    Query,
    QueryList,
    TrackCall,
)

client = AuthenticatedClient(base_url="http://127.0.0.1:8000", token="KEY")


def read_orders() -> float | None:
    answer = read_metric.sync(MetricName.ORDERS, client=client, from_="-1h", interval=Interval.MINUTE)
    if isinstance(answer, Problem):
        raise RuntimeError(f"{answer.status} {answer.code}: {answer.detail}")
    assert isinstance(answer, Answer)
    return answer.results[0].total


def read_several() -> list[str]:
    body = QueryList([Query(MetricName.VISITORS), Query(MetricName.REVENUE, limit=5)])
    answers = read_queries.sync(client=client, body=body)
    assert isinstance(answers, AnswerList)
    return [answer.unit for answer in answers.answers]


def send_view() -> bool:
    properties = JsonObject.from_dict({"product_id": "p-9", "price": 12.5})
    collected = collect_track.sync(
        client=client, body=TrackCall("Product Viewed", user_id="u-4", properties=properties)
    )
    assert isinstance(collected, Collected)
    return collected.success


def hide(id: str, version: str) -> Product:
    body = ProductFields(status=ProductStatus.DRAFT)
    changed = change_product.sync(id, client=client, body=body, if_match=version)
    assert isinstance(changed, Product)
    return changed
