"""Addresses of servers: which are accepted, and that neither errors nor masked texts show a secret."""

from __future__ import annotations

import pytest

from rtaplatform.core.server_addresses import (
    ServerEndpoint,
    WrongAddress,
    list_passwords,
    mask_urls,
    mask_values,
    read_kafka_servers,
    read_postgres_url,
    read_redis_url,
)

REDIS = {
    "redis://cache": ServerEndpoint("cache", 6379),
    "redis://user:password@host:6380/0": ServerEndpoint("host", 6380),
    "redis://:p%23s%2Fw@10.0.0.7/3": ServerEndpoint("10.0.0.7", 6379),
    "rediss://u:a:b@[::1]:6379/0?ssl_cert_reqs=none": ServerEndpoint("::1", 6379),
    "unix://u:p@/run/redis/redis.sock?db=0": None,
}
POSTGRES = {
    "postgresql://rta:p%40w@db/rta": ServerEndpoint("db", 5432),
    "postgres://rta@db.example:6432/rta?sslmode=require": ServerEndpoint("db.example", 6432),
    "postgresql:///rta?host=/var/run/postgresql": None,
}
SECRET = "p" + "#s/w@r:d%41+"  # in two parts, so that no message of the test runner is taken for ours
SECRETS = (SECRET, "se#cret", "se/cret", "se?cret", "se[cret", "se]cret", "se%cret", "se cret", "se@cret")
RAW = [f"{scheme}://user:{secret}@host/0" for scheme in ("redis", "rediss", "postgresql") for secret in SECRETS]
WRONG = ["", "foo", "redis", "redis://", "redis://h:0/0", "redis://h:70000", "redis://h:x", "http://h", "redis://h/db"]


@pytest.mark.parametrize("url", REDIS)
def test_a_redis_url_tells_where_the_server_is(url: str) -> None:
    assert read_redis_url(url) == REDIS[url]


@pytest.mark.parametrize("url", POSTGRES)
def test_a_postgres_url_tells_where_the_server_is(url: str) -> None:
    assert read_postgres_url(url) == POSTGRES[url]


@pytest.mark.parametrize("url", RAW)
def test_a_raw_special_character_is_refused_with_the_remedy_and_without_the_secret(url: str) -> None:
    with pytest.raises(WrongAddress) as caught:
        (read_postgres_url if url.startswith("postgres") else read_redis_url)(url)
    message = caught.value.problem + caught.value.remedy
    assert "%23" in caught.value.remedy
    assert "cret" not in message
    assert SECRET not in message
    assert SECRET not in mask_urls(f"Error: {url} is wrong")


@pytest.mark.parametrize("url", WRONG)
def test_what_is_no_redis_url_is_refused(url: str) -> None:
    with pytest.raises(WrongAddress, match="is not a Redis URL"):
        read_redis_url(url)


@pytest.mark.parametrize(
    "url", ["", "foo", "host=h password=x", "postgresql://h:x/d", "postgresql://h:0/d", "redis://h"]
)
def test_what_is_no_postgres_url_is_refused(url: str) -> None:
    with pytest.raises(WrongAddress, match="is not a PostgreSQL URL"):
        read_postgres_url(url)


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("broker:9092", [ServerEndpoint("broker", 9092)]),
        (
            "a:1, b.example:2,[::1]:3",
            [ServerEndpoint("a", 1), ServerEndpoint("b.example", 2), ServerEndpoint("::1", 3)],
        ),
        ("SASL_SSL://a:9093", [ServerEndpoint("a", 9093)]),
    ],
)
def test_brokers_are_read(text: str, endpoints: list[ServerEndpoint]) -> None:
    assert read_kafka_servers(text) == endpoints


@pytest.mark.parametrize("text", ["nonsense", "a:b", "a:0", "a:70000", "a:1,", "", "http://a:1", "a b:1"])
def test_a_list_of_brokers_names_what_is_wrong(text: str) -> None:
    with pytest.raises(WrongAddress, match="is not HOST:PORT"):
        read_kafka_servers(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://u:secret@h:1/0 is away", "redis://***@h:1/0 is away"),
        ("from redis://u:s@e/c#r@h and postgresql://a:b@c/d", "from redis://***@h and postgresql://***@c/d"),
        ("postgresql://h/d?user=u&password=secret&sslmode=require", "postgresql://h/d?user=u&password=***&sslmode=require"),
        ("https://example.com/docs", "https://example.com/docs"),
        ("mail@example.com", "mail@example.com"),
    ],
)  # fmt: skip
def test_logins_are_masked_wherever_a_url_stands(text: str, shown: str) -> None:
    assert mask_urls(text) == shown


def test_a_password_is_masked_where_it_stands_alone_written_or_decoded() -> None:
    secrets = list_passwords("redis://user:p%23ss%2Fword@host")
    assert mask_values("invalid literal 'p#ss/word', p%23ss%2Fword", secrets) == "invalid literal '***', ***"
    assert mask_values("a text", ["a", ""]) == "a text"
