"""The environment of each of our processes: every process gets only the secrets that it needs.

An attacker who takes over a process should reach no server that it does not use: from the simulator no store, from a
worker no catalog, from the API no user that loads functions. Variables that are not secret go to all processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import SecretStr

from rtaplatform import settings

_KAFKA = ("RTA_KAFKA_BOOTSTRAP_SERVERS", "RTA_KAFKA_SASL_PASSWORD", "RTA_KAFKA_SSL_KEY_PASSWORD")
_DEMO_KEYS = ("RTA_DEMO_WRITE_KEY", "RTA_DEMO_READ_KEY", "RTA_DEMO_ADMIN_KEY")
NEEDED: Mapping[str, frozenset[str]] = {
    "migrate": frozenset(
        {*_KAFKA, "RTA_REDIS_URL", "RTA_REDIS_LOADER_URL", "RTA_POSTGRES_URL", "RTA_POSTGRES_MIGRATE_URL", *_DEMO_KEYS}
    ),
    "worker": frozenset({*_KAFKA, "RTA_REDIS_URL", "RTA_REDIS_LOADER_URL"}),  # workers reload functions that were lost
    "api": frozenset({*_KAFKA, "RTA_REDIS_URL", "RTA_REDIS_LIMITER_URL", "RTA_POSTGRES_URL"}),
    "profiles": frozenset({*_KAFKA, "RTA_REDIS_URL", "RTA_POSTGRES_URL"}),  # erasures delete from the store
    "simulate": frozenset(_KAFKA),
}


def list_secret_variables() -> frozenset[str]:
    """Every variable that is or contains a secret: from the settings, the demo keys, and RTA_KEY of the commands."""
    names = {
        f"{cls.model_config['env_prefix']}{name.upper()}"
        for cls in vars(settings).values()
        if isinstance(cls, type) and issubclass(cls, settings.StageSettings)
        for name, field in cls.model_fields.items()
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    }
    return frozenset({*names, "RTA_REDIS_LIMITER_URL", "RTA_KEY", *_DEMO_KEYS})


def select_environment(stage: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that the processes of this stage get."""
    hidden = list_secret_variables() - NEEDED[stage]
    return {name: value for name, value in environment.items() if name not in hidden}
