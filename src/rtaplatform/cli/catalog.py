"""`rta catalog`: bring users and products in from a file, and write them to one, through the API."""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, TextIO

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, folder_of
from rtaplatform.core.errors import SetupError

app = typer.Typer(no_args_is_help=True, help="Import and export users and products.")
CHUNK_BYTES = 256 * 1024
TIMEOUT_SECONDS = 120.0
PAGE_ROWS = 500
EXIT_DIFFERENCES = 4
_TYPES = {".csv": "text/csv", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}


class Things(StrEnum):
    """What there is in the catalog."""

    USERS = "users"
    PRODUCTS = "products"


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    NDJSON = "ndjson"


ThingsArgument = Annotated[Things, typer.Argument(help="users or products.")]
UrlOption = Annotated[str | None, typer.Option(metavar="URL", help="The API; else that of the running `rta up`.")]
KeyOption = Annotated[str | None, typer.Option(metavar="KEY", help="An admin key; else RTA_KEY, else that instance's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("import")
def bring_in(
    things: ThingsArgument,
    file: Annotated[Path, typer.Argument(help="NDJSON or CSV, gzipped or not; - reads standard input.")],
    form: Annotated[Format | None, typer.Option("--format", help="Else by the file's name.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create what is not there; of what is, change only the fields that the file has.

    Ends with exit code 4 where a row was refused; the others are in.

    Examples:

        rta catalog import products products.csv

        rta catalog import users users.ndjson.gz --url https://rta.example --key KEY --json
    """
    target = _target(url, key, data_dir)
    headers = {"Content-Type": _type_of(file, form)}
    if file.suffix == ".gz":
        headers["Content-Encoding"] = "gzip"
    with _open(file) as (opened, size):
        status, body = target.send("POST", f"/v1/{things}/import", headers, _chunks(opened, size, str(things)))
    said = _read_answer(status, body)
    if as_json:
        typer.echo(json.dumps(said))
    else:
        typer.echo(", ".join(f"{said[name]:,} {name}" for name in ("created", "updated", "unchanged", "failed")))
        for error in said["errors"]:
            where = f" ({error['id']})" if error["id"] else ""
            field = f"`{error['field']}`: " if error["field"] else ""
            typer.echo(f"  row {error['row']}{where}: {field}{error['detail']}", err=True)
    if said["failed"]:
        raise typer.Exit(EXIT_DIFFERENCES)


@app.command("export")
def export(
    things: ThingsArgument,
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")] = Path("-"),
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write everything as NDJSON, one object a line.

    Example:  rta catalog export products products.ndjson
    """
    target = _target(url, key, data_dir)
    output = sys.stdout if str(file) == "-" else _private(file)
    cursor: str | None = None
    with output:
        while True:
            asked = {"limit": str(PAGE_ROWS), "sort": "created_at", **({"cursor": cursor} if cursor else {})}
            path = f"/v1/{things}?{urllib.parse.urlencode(asked)}"
            page = _read_answer(*target.send("GET", path, {}, None))
            for item in page["items"]:
                output.write(json.dumps(item, ensure_ascii=False) + "\n")
            cursor = page["next_cursor"]
            if cursor is None:
                return


def _private(file: Path) -> TextIO:
    """Open it for writing, readable to its owner alone: users are personal data. Raises SetupError."""
    if file.suffix in (".csv", ".gz"):
        raise SetupError(f"{file} would hold NDJSON.", "Name it .ndjson.", exit_code=2)
    try:
        return open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror}.", "Name another.", exit_code=2) from error


class _Target:
    """The API and the key for it."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = urllib.parse.urlsplit(url), key

    def send(self, method: str, path: str, headers: dict[str, str], body: Iterator[bytes] | None) -> tuple[int, bytes]:
        """Status and body; raises SetupError where nothing answers."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_SECONDS)
        try:
            try:
                named = {**headers, "Authorization": f"Bearer {self._key}"}
                connection.request(method, self._url.path.rstrip("/") + path, body, named)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the end: the answer tells why
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            remedy = "See whether the API runs: `rta status`, or name its --url."
            raise SetupError(f"{self._url.geturl()} does not answer: {error}", remedy) from error
        finally:
            connection.close()


def _target(url: str | None, key: str | None, data_dir: Path | None) -> _Target:
    running = None if url else Connections(data_dir=data_dir).running()
    if url is None and running is None:
        raise SetupError(f"Nothing runs from {folder_of(data_dir)}.", "Start `rta up`, or give --url and --key.")
    found = key or os.environ.get("RTA_KEY")
    if found is None and running is not None:
        from rtaplatform.local.datadir import keys_of

        found = keys_of(folder_of(data_dir)).get("admin_key")
    if not found:
        raise SetupError("No key is known.", "Give --key, or RTA_KEY in the environment.", exit_code=2)
    return _Target(url or (running.url if running else ""), found)


def _type_of(file: Path, form: Format | None) -> str:
    if form is not None:
        return _TYPES[f".{form}"]
    name = Path(file.stem) if file.suffix == ".gz" else file
    if name.suffix not in _TYPES:
        remedy = "Name it .csv, .ndjson or .jsonl (and .gz), or give --format."
        raise SetupError(f"What {file} holds cannot be told by its name.", remedy, exit_code=2)
    return _TYPES[name.suffix]


@contextmanager
def _open(file: Path) -> Iterator[tuple[IO[bytes], int | None]]:
    """The file and its size, where it has one."""
    if str(file) == "-":
        yield sys.stdin.buffer, None
        return
    try:
        opened = file.open("rb")
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}", "Check the name.", exit_code=2) from error
    with opened:
        yield opened, os.fstat(opened.fileno()).st_size


def _chunks(opened: IO[bytes], size: int | None, what: str) -> Iterator[bytes]:
    """The file as it is sent, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=size)
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk
            bar.advance(task, len(chunk))


def _read_answer(status: int, body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        said = {}
    if not isinstance(said, dict) or status >= 400:
        detail = said.get("detail", f"status {status}") if isinstance(said, dict) else f"status {status}"
        hint = said.get("hint") or "See the API's log." if isinstance(said, dict) else "See the API's log."
        raise SetupError(f"The API refused it: {detail}", str(hint), exit_code=3 if status >= 500 else 2)
    return said
