"""Zones: the same names and the same clocks on every machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rtaplatform.core.time.buckets import find_bucket_starts
from rtaplatform.core.time.zones import is_known_zone, list_zone_names, load_zone


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "US/Eastern", "Asia/Calcutta", "America/Argentina/Ushuaia"])
def test_a_name_of_the_iana_database_is_known(name: str) -> None:
    assert is_known_zone(name)
    assert load_zone(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        "localtime",
        "Factory",
        "posixrules",
        "",
        "europe/berlin",
        "Europe",
        "Europe/",
        "../tzdata/zones",
        "UTC\0",
        1,
        None,
    ],
)
def test_a_zone_that_only_some_machines_have_is_unknown(name: object) -> None:
    assert not is_known_zone(name)


def test_an_unknown_stored_zone_is_read_as_utc() -> None:
    assert find_bucket_starts(30_000_017, "localtime") == find_bucket_starts(30_000_017, "UTC")
    assert find_bucket_starts(30_000_017, "Mars/Olympus_Mons") == find_bucket_starts(30_000_017, "UTC")


def test_a_machine_without_zones_of_its_own_has_all_of_them() -> None:
    code = (
        "from rtaplatform.core.time.zones import *; from rtaplatform.core.time.buckets import find_bucket_starts;"
        "print(len(list_zone_names()), find_bucket_starts(30_000_017, 'Europe/Berlin'))"
    )
    environment = {**os.environ, "PYTHONTZPATH": ""}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert process.stdout.strip() == f"{len(list_zone_names())} {find_bucket_starts(30_000_017, 'Europe/Berlin')}"
