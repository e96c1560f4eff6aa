"""Describe a wrong setting: the variable, its value unless it is secret, and the allowed values."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError

from rtaplatform import settings
from rtaplatform.core.errors import SetupError
from rtaplatform.core.server_addresses import mask_urls

SHOWN_CHARACTERS = 60
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
_BOUNDS = (("ge", "at least"), ("gt", "over"), ("le", "at most"), ("lt", "under"))


def describe_wrong_setting(error: ValidationError) -> SetupError:
    """An error for the first wrong setting, with exit code 2."""
    cls: type[settings.StageSettings] = getattr(settings, error.title)
    details = error.errors(include_url=False)[0]
    name = str(details["loc"][0])
    variable = f"{cls.model_config['env_prefix']}{name.upper()}"
    if details["type"] == "missing":
        return SetupError(f"{variable} is not set.", "Set it: docs/reference/settings.md has all.", exit_code=2)
    field = cls.model_fields[name]
    allowed = _describe_allowed(field.annotation, field.metadata)
    reason = str(details["msg"]).partition("Value error, ")[2] or "that is not what it can be"
    value_text = "" if _is_secret(field.annotation) else f" is {_shorten(details['input'])}"
    problem = f"it must be {allowed}" if allowed else reason
    return SetupError(f"{variable}{value_text}: {problem}.", _choose_remedy(details["input"]), exit_code=2)


def _describe_allowed(annotation: Any, metadata: list[Any]) -> str:
    """The allowed values. Empty if only the setting's own check knows them."""
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    kind = next((words for known_type, words in _KINDS.items() if annotation is known_type), "")
    bounds = [
        f"{words} {getattr(constraint, name)}"
        for constraint in metadata
        for name, words in _BOUNDS
        if hasattr(constraint, name)
    ]
    return ", ".join(filter(None, (kind, *bounds)))


def _choose_remedy(value: object) -> str:
    if isinstance(value, str) and settings.SERVICE_LINK.fullmatch(value):
        return f"{settings.SERVICE_LINKS_HINT}. Or give the service another name."
    return "Correct or unset it: docs/reference/settings.md lists all variables."


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _shorten(value: object) -> str:
    text = mask_urls(str(value))
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")
