"""What is wrong with a setting, in our words: the variable, its value where that is no secret, and what it may be."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError

from rtaplatform import settings
from rtaplatform.core.errors import SetupError
from rtaplatform.core.server_addresses import mask_urls

SHOWN_CHARACTERS = 60
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
_BOUNDS = (("ge", "at least"), ("gt", "over"), ("le", "at most"), ("lt", "under"))


def wrong_settings(error: ValidationError) -> SetupError:
    """The first thing that is wrong, as the command line says it; exit code 2."""
    cls: type[settings.StageSettings] = getattr(settings, error.title)
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    variable = f"{cls.model_config['env_prefix']}{name.upper()}"
    if first["type"] == "missing":
        return SetupError(f"{variable} is not set.", "Set it: docs/reference/settings.md has all.", exit_code=2)
    field = cls.model_fields[name]
    wanted = _wanted(field.annotation, field.metadata) or str(first["msg"]).partition("Value error, ")[2]
    shown = "" if _is_secret(field.annotation) else f" is {_shown(first['input'])}"
    problem = f"{variable}{shown}: it must be {wanted}." if _wanted(field.annotation, field.metadata) else (
        f"{variable}{shown}: {wanted or 'that is not what it can be'}."
    )  # fmt: skip
    return SetupError(problem, _remedy(first["input"]), exit_code=2)


def _wanted(annotation: Any, metadata: list[Any]) -> str:
    """What the setting may be; empty where only its own check can say."""
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    kind = next((words for known, words in _KINDS.items() if annotation is known), "")
    bounds = [f"{words} {getattr(one, name)}" for one in metadata for name, words in _BOUNDS if hasattr(one, name)]
    return ", ".join(filter(None, (kind, *bounds)))


def _remedy(value: object) -> str:
    if isinstance(value, str) and settings.SERVICE_LINK.fullmatch(value):
        return f"{settings.SERVICE_LINKS_HINT}. Or give the service another name."
    return "Set it right, or unset it: docs/reference/settings.md lists all variables."


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _shown(value: object) -> str:
    text = mask_urls(str(value))
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")
