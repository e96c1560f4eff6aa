"""Settings from an environment that others write to as well: Kubernetes, compose files, empty values."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from rtaplatform import settings
from rtaplatform.cli.wrong_settings import describe_wrong_setting

CLASSES = [
    cls
    for cls in vars(settings).values()
    if isinstance(cls, type) and issubclass(cls, settings.StageSettings) and cls is not settings.StageSettings
]
NEEDED: dict[str, Any] = {"bootstrap_servers": "broker:9092", "url": "redis://host"}
FIELDS = [(cls, name) for cls in CLASSES for name in cls.model_fields]
NUMBERS = [(cls, name) for cls, name in FIELDS if isinstance(cls.model_fields[name].default, int | float)]


def make_settings(cls: type[settings.StageSettings]) -> settings.StageSettings:
    return cls(**{name: value for name, value in NEEDED.items() if name in cls.model_fields})


def name_variable(cls: type[settings.StageSettings], name: str) -> str:
    return f"{cls.model_config['env_prefix']}{name.upper()}"


def test_every_settings_class_is_listed_here() -> None:
    others = [cls for cls in vars(settings).values() if isinstance(cls, type) and cls.__name__.endswith("Settings")]
    assert set(others) - {BaseSettings, settings.StageSettings} == set(CLASSES)
    assert all(cls.model_config.get("env_ignore_empty") for cls in CLASSES)


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_an_empty_variable_is_not_set(
    cls: type[settings.StageSettings], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = make_settings(cls)
    monkeypatch.setenv(name_variable(cls, name), "")
    assert make_settings(cls) == unset


@pytest.mark.parametrize(("cls", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_a_service_link_is_ignored_or_named_with_its_remedy(
    cls: type[settings.StageSettings],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(name_variable(cls, name), "tcp://10.0.0.7:8000")
    if name.endswith("port"):
        assert getattr(make_settings(cls), name) == cls.model_fields[name].default
        assert f"{name_variable(cls, name)} is passed over" in caplog.text
        assert "enableServiceLinks: false" in caplog.text
        return
    with pytest.raises(ValidationError) as caught:
        make_settings(cls)
    refusal = describe_wrong_setting(caught.value)
    assert refusal.problem.startswith(f"{name_variable(cls, name)} is 'tcp://10.0.0.7:8000': it must be a")
    assert "enableServiceLinks: false" in refusal.remedy
    assert refusal.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("RTA_WORKER_GROUP_PROTOCOL", "foo", "it must be consumer or classic."),
        ("RTA_WORKER_METRICS_PORT", "70000", "it must be a whole number, at least 0, at most 65535."),
        ("RTA_KAFKA_SECURITY_PROTOCOL", "TLS", "it must be PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL."),
        ("RTA_KAFKA_SSL_CA_LOCATION", "/no/such/ca.pem", "there is no such file."),
        ("RTA_REDIS_SHARDS", "many", "it must be a whole number, at least 1, at most 64."),
        ("RTA_LIMITS_TRUSTED_PROXIES", "nope", "'nope' does not appear to be an IPv4 or IPv6 network."),
    ],
)
def test_a_wrong_value_gives_a_plain_message(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    cls = next(cls for cls in CLASSES if name.startswith(str(cls.model_config["env_prefix"])))
    with pytest.raises(ValidationError) as caught:
        make_settings(cls)
    assert describe_wrong_setting(caught.value).problem == f"{name} is {value!r}: {problem}"


def test_missing_settings_are_named() -> None:
    with pytest.raises(ValidationError) as caught:
        settings.KafkaSettings()  # type: ignore[call-arg]  # what is tested
    assert describe_wrong_setting(caught.value).problem == "RTA_KAFKA_BOOTSTRAP_SERVERS is not set."
