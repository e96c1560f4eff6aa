"""`rta keys`: make, list and revoke API keys. A key is shown once, when it is made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, JsonOption, PostgresOption
from rtaplatform.core.errors import SetupError

if TYPE_CHECKING:
    from rtaplatform.catalog.keys.operator_keys import KeyRow

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
SlugOption = Annotated[str, typer.Option(help="The project's slug.")]
HEADINGS = ("ID", "KEY", "STATE", "LAST USED", "SCOPES", "NAME")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class KeyKind(StrEnum):
    """What a key may do: collect; read; all of its project."""

    WRITE = "write"
    READ = "read"
    ADMIN = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    kind: Annotated[
        KeyKind | None, typer.Option(help="write: collect; read: read, catalog:read; admin: all of the project.")
    ] = None,
    scopes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Of collect, read, catalog:read, catalog:write, admin; instead of --kind."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="After 30m, 12h, 90d or 4w, or at a time in ISO 8601.")
    ] = None,
    project: SlugOption = "demo",
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown only now.

    Examples:

        rta keys create "web shop" --kind write --project demo

        rta keys create "nightly import" --scopes catalog:read,catalog:write --expires 90d --json
    """
    from rtaplatform.catalog.keys.key_admin import NewKey
    from rtaplatform.catalog.keys.operator_keys import create_key

    new = NewKey(_read_name(name), _read_scopes(kind, scopes), _read_end(expires))
    connections = Connections(postgres=postgres, data_dir=data_dir)
    new_key = _run(connections, lambda connection: create_key(connection, project, new))
    if new_key is None:
        raise _make_project_error(project)
    fields = {"id": new_key.row.id, "key": new_key.key, "project": project, "scopes": list(new.scopes)}
    expires_at = new.expires_at.isoformat() if new.expires_at else None
    typer.echo(json.dumps({**fields, "expires_at": expires_at}) if as_json else f"{new_key.row.id}\n{new_key.key}")


@app.command("list")
def list_all(
    project: SlugOption = "demo",
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys of a project, without the keys themselves.

    Example:  rta keys list --project demo --json
    """
    import msgspec

    from rtaplatform.catalog.keys.operator_keys import has_project, list_keys

    def read(connection: Any) -> list[KeyRow] | None:
        return list_keys(connection, project) if has_project(connection, project) else None

    rows: list[KeyRow] | None = _run(Connections(postgres=postgres, data_dir=data_dir), read)
    if rows is None:
        raise _make_project_error(project)
    if as_json:
        typer.echo(msgspec.json.encode({"items": rows}))
        return
    for line in align_columns([HEADINGS, *map(_show_row, rows)]):
        typer.echo(line)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `rta keys list` shows it.")],
    project: SlugOption = "demo",
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key: every API process refuses it within a minute.

    Example:  rta keys revoke key_4f0c --project demo
    """
    from rtaplatform.catalog.keys.operator_keys import has_project, revoke_key

    def revoke_in_project(connection: Any) -> bool | None:
        return revoke_key(connection, project, key_id) if has_project(connection, project) else None

    is_revoked: bool | None = _run(Connections(postgres=postgres, data_dir=data_dir), revoke_in_project)
    if is_revoked is None:
        raise _make_project_error(project)
    if not is_revoked:
        raise SetupError(f"There is no valid key {key_id!r} in {project!r}.", "See `rta keys list`.", exit_code=2)
    message = f"{key_id} is revoked; every process knows it within a minute."
    typer.echo(json.dumps({"id": key_id, "revoked": True}) if as_json else message)


def _read_name(name: str) -> str:
    if not 1 <= len(name) <= 500 or "\x00" in name:
        raise SetupError("A name has 1 to 500 characters.", "Say what the key is for.", exit_code=2)
    return name


def _read_scopes(kind: KeyKind | None, scopes: str | None) -> tuple[str, ...]:
    from rtaplatform.catalog.keys.key_format import SCOPES, SCOPES_BY_KIND

    if (kind is None) is (scopes is None):
        remedy = "For example --kind read, or --scopes read,catalog:write."
        raise SetupError("Say what the key opens, by --kind or by --scopes.", remedy, exit_code=2)
    if scopes is None:
        return SCOPES_BY_KIND[str(kind)]
    names = {scope.strip() for scope in scopes.split(",")}
    unknown = sorted(names - set(SCOPES))
    if unknown:
        raise SetupError(f"There is no scope {unknown[0]!r}.", f"There are: {', '.join(SCOPES)}.", exit_code=2)
    return tuple(scope for scope in SCOPES if scope in names)


def _read_end(text: str | None) -> datetime | None:
    if text is None:
        return None
    if text[-1:] in _UNITS and text[:-1].isascii() and text[:-1].isdigit() and 0 < int(text[:-1]) < 100_000:
        try:
            return datetime.now(UTC) + timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        except OverflowError:
            raise SetupError(f"{text!r} is too far ahead.", "Leave --expires out for no end.", exit_code=2) from None
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        end = None
    if end is None or not 1970 < end.year < 9_999:
        remedy = "For example --expires 90d, or --expires 2027-01-31."
        raise SetupError(f"{text!r} is no time.", remedy, exit_code=2)
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    if end <= datetime.now(UTC):
        remedy = "Name a time to come, or leave --expires out for no end."
        raise SetupError(f"{text!r} is in the past: the key would open nothing.", remedy, exit_code=2)
    return end


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns. The last column has no fixed width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows]


def _show_row(row: KeyRow) -> tuple[str, ...]:
    last_use = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never"
    return row.id, row.shown, _describe_state(row), last_use, ",".join(row.scopes), row.name


def _make_project_error(project: str) -> SetupError:
    return SetupError(f"There is no project {project!r}.", "Name one that exists with --project.", exit_code=2)


def _describe_state(row: KeyRow) -> str:
    if row.revoked_at:
        return "revoked"
    if row.expires_at is None:
        return "valid"
    return f"{'expired' if row.expires_at <= datetime.now(UTC) else 'valid until'} {row.expires_at:%Y-%m-%d}"


def _run(connections: Connections, work: Callable[[Any], Any]) -> Any:
    from rtaplatform.catalog.database import Database

    async def run() -> Any:
        database = Database(connections.read_catalog_settings())
        try:
            return await database.run(work)
        finally:
            await database.close()

    return asyncio.run(run())
