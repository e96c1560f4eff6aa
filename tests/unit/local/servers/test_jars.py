"""Which certificates the jars' download trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from rtaplatform.local.servers.jars import trust_system_certificates


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ca.pem"
    path.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nothing"))
    assert ssl.get_default_verify_paths().cafile == str(path)
    return path


def test_what_the_machine_trusts_is_trusted(bundle: Path) -> None:
    environment: dict[str, str] = {}
    trust_system_certificates(environment)
    assert environment == {"REQUESTS_CA_BUNDLE": str(bundle)}


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_choice_of_the_user_stands(bundle: Path, name: str) -> None:
    environment = {name: "mine.pem"}
    trust_system_certificates(environment)
    assert environment == {name: "mine.pem"}
