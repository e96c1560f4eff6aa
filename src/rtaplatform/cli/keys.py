"""`rta keys`: make, list and revoke API keys. A key is shown once, when it is made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, PostgresOption
from rtaplatform.core.errors import SetupError

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
ProjectOption = Annotated[str, typer.Option(help="The project's slug.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Kind(StrEnum):
    """What a key may do: collect; read; all of its project."""

    WRITE = "write"
    READ = "read"
    ADMIN = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    kind: Annotated[Kind, typer.Option(help="write: collect; read: query; admin: all of the project.")],
    project: ProjectOption = "demo",
    days: Annotated[int | None, typer.Option(min=1, help="It expires after so many days.")] = None,
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown now and never again.

    Example:  rta keys create "web shop" --kind write --project demo
    """
    from rtaplatform.catalog.keys import NewKey, create_key

    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    new = NewKey(project, name, kind.value, expires_at)
    made = _run(Connections(postgres=postgres, data_dir=data_dir), lambda connection: create_key(connection, new))
    if made is None:
        raise SetupError(f"There is no project {project!r}.", "Name one that exists with --project.", exit_code=2)
    key_id, key = made
    typer.echo(json.dumps({"id": key_id, "key": key}) if as_json else f"{key_id}\n{key}")


@app.command("list")
def list_all(
    project: ProjectOption = "demo",
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a project's keys, never the keys themselves.

    Example:  rta keys list --project demo --json
    """
    import msgspec

    from rtaplatform.catalog.keys import list_keys

    rows = _run(Connections(postgres=postgres, data_dir=data_dir), lambda connection: list_keys(connection, project))
    if as_json:
        typer.echo(msgspec.json.encode({"items": rows}))
        return
    for row in rows:
        state = "revoked" if row.revoked_at else "valid"
        used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
        typer.echo(f"{row.id}  {row.shown:<12}  {state:<8}{used:<18}{','.join(row.scopes)}  {row.name}")


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `rta keys list` shows it.")],
    project: ProjectOption = "demo",
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Revoke a key: every API process refuses it within a minute.

    Example:  rta keys revoke key_4f0c --project demo
    """
    from rtaplatform.catalog.keys import revoke_key

    connections = Connections(postgres=postgres, data_dir=data_dir)
    if not _run(connections, lambda connection: revoke_key(connection, project, key_id)):
        raise SetupError(f"There is no valid key {key_id!r} in {project!r}.", "See `rta keys list`.", exit_code=2)
    typer.echo(f"{key_id} is revoked; every process knows it within a minute.")


def _run(connections: Connections, work: Callable[[Any], Any]) -> Any:
    from rtaplatform.catalog.database import Database

    async def run() -> Any:
        database = Database(connections.catalog_settings())
        try:
            return await database.run(work)
        finally:
            await database.close()

    return asyncio.run(run())
