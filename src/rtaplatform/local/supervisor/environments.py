"""Which secrets each of our processes gets: its own and no others.

A process that is taken over should open nothing that it has no work with: the simulator no store, a worker no catalog,
the API no user that loads functions. Every variable that is not secret goes to all of them.
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
    "worker": frozenset({*_KAFKA, "RTA_REDIS_URL", "RTA_REDIS_LOADER_URL"}),  # it loads functions that were lost
    "api": frozenset({*_KAFKA, "RTA_REDIS_URL", "RTA_REDIS_LIMITER_URL", "RTA_POSTGRES_URL"}),
    "profiles": frozenset({*_KAFKA, "RTA_REDIS_URL", "RTA_POSTGRES_URL"}),  # erasures reach into the store
    "simulate": frozenset(_KAFKA),
}


def secret_variables() -> frozenset[str]:
    """Every variable that is a secret or holds one: those of the settings, the demo keys, a key for the commands."""
    found = {
        f"{cls.model_config['env_prefix']}{name.upper()}"
        for cls in vars(settings).values()
        if isinstance(cls, type) and issubclass(cls, settings.StageSettings)
        for name, field in cls.model_fields.items()
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    }
    return frozenset({*found, "RTA_REDIS_LIMITER_URL", "RTA_KEY", *_DEMO_KEYS})


def environment_of(stage: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What the processes of this stage get of `environment`."""
    hidden = secret_variables() - NEEDED[stage]
    return {name: value for name, value in environment.items() if name not in hidden}
