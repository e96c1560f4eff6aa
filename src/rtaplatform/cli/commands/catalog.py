"""`rta catalog`: import users and products from a file, and export them to one, through the API."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, cast

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, JsonOption, find_folder
from rtaplatform.core.errors import SetupError

app = typer.Typer(no_args_is_help=True, help="Import and export users and products.")
CHUNK_BYTES = 256 * 1024
TIMEOUT_SECONDS = 120.0
PAGE_ROWS = 500
EXIT_DIFFERENCES = 4
_NEXT = re.compile(r'<([^>]*)>; rel="next"')


class EntityChoice(StrEnum):
    """The entities of the catalog."""

    USERS = "users"
    PRODUCTS = "products"


class Format(StrEnum):
    """The format of a file."""

    CSV = "csv"
    NDJSON = "ndjson"


_FORMATS = {".csv": Format.CSV, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON}
_TYPES = {Format.CSV: "text/csv", Format.NDJSON: "application/x-ndjson"}

EntityArgument = Annotated[EntityChoice, typer.Argument(help="users or products.")]
UrlOption = Annotated[str | None, typer.Option(metavar="URL", help="The API; else that of the running `rta up`.")]
KeyOption = Annotated[
    str | None, typer.Option(metavar="KEY", help="An admin key; else RTA_KEY, else that of the instance.")
]
FormatOption = Annotated[Format | None, typer.Option("--format", help="Else by the file's name.")]
ProjectOption = Annotated[
    str | None, typer.Option(metavar="SLUG", help="Their project: exit code 2 if the key opens another one.")
]


@app.command("import")
def import_rows(
    entity: EntityArgument,
    file: Annotated[Path, typer.Argument(help="NDJSON or CSV, gzipped or not; - reads standard input.")],
    form: FormatOption = None,
    project: ProjectOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create users or products that do not exist; of those that do, change only the fields that the file has.

    Exit code 4 means that rows were refused. All others are imported.

    Examples:

        rta catalog import products products.csv

        rta catalog import users users.ndjson.gz --url https://rta.example --key KEY --json
    """
    target, form = _find_target(url, key, data_dir), form or _choose_format(file)
    target.require_project(project)
    headers = {"Content-Type": _TYPES[form]}
    if file.suffix == ".gz":
        headers["Content-Encoding"] = "gzip"
    with _open(file) as (content, size):
        result = _read_answer(
            *target.send("POST", f"/v1/{entity}/import", headers, _read_chunks(content, size, str(entity)))[:2]
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        typer.echo(", ".join(f"{result[name]:,} {name}" for name in ("created", "updated", "unchanged", "failed")))
        for error in result["errors"]:
            typer.echo(f"  {_describe_refusal(error)}", err=True)
    if result["failed"]:
        raise typer.Exit(EXIT_DIFFERENCES)


def _describe_refusal(error: dict[str, Any]) -> str:
    """A line for a refused row: its number, the reason, and the wrong value."""
    row_id = f" ({error['id']})" if error["id"] else ""
    field = f"`{error['field']}`: " if error["field"] else ""
    value = f" It has {error['value']!r}." if error.get("value") else ""
    return f"row {error['row']}{row_id}: {field}{error['detail']}{value}"


@app.command("export")
def export(
    entity: EntityArgument,
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")] = Path("-"),
    form: FormatOption = None,
    project: ProjectOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write all rows as NDJSON, one object per line, or as CSV. `import` reads both. Only you may read the file.

    Examples:

        rta catalog export products products.ndjson

        rta catalog export users users.csv.gz
    """
    form = form or (Format.NDJSON if str(file) == "-" else _choose_format(file))
    target = _find_target(url, key, data_dir)
    target.require_project(project)
    with _open_private(file) as output:
        for page in _read_csv_pages(target, entity) if form is Format.CSV else _read_json_pages(target, entity):
            output.write(page)


def _read_json_pages(target: _CatalogApi, entity: EntityChoice) -> Iterator[bytes]:
    cursor: str | None = None
    while True:
        page = _read_answer(*target.send("GET", _write_page_path(entity, cursor), {}, None)[:2])
        yield "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in page["items"]).encode()
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _read_csv_pages(target: _CatalogApi, entity: EntityChoice) -> Iterator[bytes]:
    """The pages of the API, with the header only once."""
    path: str | None = _write_page_path(entity, None)
    is_first = True
    while path is not None:
        status, body, response_headers = target.send("GET", path, {"Accept": "text/csv"}, None)
        if status != 200:
            _read_answer(status, body)
        yield body if is_first else body.partition(b"\r\n")[2]
        next_page = _NEXT.search(response_headers.get("link", ""))
        path, is_first = next_page[1] if next_page else None, False


def _write_page_path(entity: EntityChoice, cursor: str | None) -> str:
    parameters = {"limit": str(PAGE_ROWS), "sort": "created_at", **({"cursor": cursor} if cursor else {})}
    return f"/v1/{entity}?{urllib.parse.urlencode(parameters)}"


@contextmanager
def _open_private(file: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that only its owner may read: users are personal data. Raises SetupError."""
    if str(file) == "-":
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)  # the file may have existed before
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror}.", "Name another.", exit_code=2) from error
    with open(descriptor, "wb") as output:
        if file.suffix != ".gz":
            yield output
            return
        with gzip.open(output, "wb") as zip_file:
            yield cast(IO[bytes], zip_file)


class _CatalogApi:
    """The API and the key for it."""

    def __init__(self, url: str, key: str, *, is_key_given: bool) -> None:
        self._url, self._key, self._is_key_given = urllib.parse.urlsplit(url), key, is_key_given

    def require_project(self, project: str | None) -> None:
        """Raise SetupError if the key opens another project. If no project was named, print the one that it opens.

        A key that can only write does not tell its project, so a named project cannot be checked then.
        """
        status, body, _ = self.send("GET", "/v1/projects", {}, None)
        if status == 403 and project is None:
            return
        key_project = _read_answer(status, body)["items"][0]["slug"]
        if project is not None and project != key_project:
            remedy = f"Give a key of `{project}`: --key, or RTA_KEY in the environment."
            raise SetupError(f"The key is one of the project `{key_project}`, not of `{project}`.", remedy, exit_code=2)
        if project is None and not self._is_key_given:
            typer.echo(
                f"Project `{key_project}`: no key was given, so this is the project of the running instance.", err=True
            )

    def send(
        self, method: str, path: str, headers: dict[str, str], body: Iterator[bytes] | None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send a request. Returns status, body and headers (in lower case). Raises SetupError if nothing answers."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_SECONDS)
        try:
            try:
                all_headers = {**headers, "Authorization": f"Bearer {self._key}"}
                connection.request(method, self._url.path.rstrip("/") + path, body, all_headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the end; the answer has the reason
            response = connection.getresponse()
            response_headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, response.read(), response_headers
        except (OSError, http.client.HTTPException) as error:
            remedy = "See whether the API runs: `rta status`, or name its --url."
            raise SetupError(f"{self._url.geturl()} does not answer: {error}", remedy) from error
        finally:
            connection.close()


def _find_target(url: str | None, key: str | None, data_dir: Path | None) -> _CatalogApi:
    instance = None if url else Connections(data_dir=data_dir).find_running()
    if url is None and instance is None:
        raise SetupError(f"Nothing runs from {find_folder(data_dir)}.", "Start `rta up`, or give --url and --key.")
    found_key = key or os.environ.get("RTA_KEY")
    if found_key is None and instance is not None:
        from rtaplatform.local.data.data_dir import read_demo_keys

        found_key = read_demo_keys(find_folder(data_dir)).get("admin_key")
    if not found_key:
        raise SetupError("No key is known.", "Give --key, or RTA_KEY in the environment.", exit_code=2)
    is_key_given = bool(key or os.environ.get("RTA_KEY"))
    return _CatalogApi(url or (instance.url if instance else ""), found_key, is_key_given=is_key_given)


def _choose_format(file: Path) -> Format:
    name = Path(file.stem) if file.suffix == ".gz" else file
    if name.suffix not in _FORMATS:
        remedy = "Name it .csv, .ndjson or .jsonl (and .gz), or give --format."
        raise SetupError(f"The format of {file} cannot be told from its name.", remedy, exit_code=2)
    return _FORMATS[name.suffix]


@contextmanager
def _open(file: Path) -> Iterator[tuple[IO[bytes], int | None]]:
    """The file, and its size if it has one."""
    if str(file) == "-":
        yield sys.stdin.buffer, None
        return
    try:
        content = file.open("rb")
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}", "Check the name.", exit_code=2) from error
    with content:
        yield content, os.fstat(content.fileno()).st_size


def _read_chunks(content: IO[bytes], size: int | None, title: str) -> Iterator[bytes]:
    """The chunks of the file, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=size)
        while chunk := content.read(CHUNK_BYTES):
            yield chunk
            bar.advance(task, len(chunk))


def _read_answer(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if not isinstance(answer, dict) or status >= 400:
        detail = answer.get("detail", f"status {status}") if isinstance(answer, dict) else f"status {status}"
        hint = answer.get("hint") or "See the API's log." if isinstance(answer, dict) else "See the API's log."
        raise SetupError(f"The API refused it: {detail}", str(hint), exit_code=3 if status >= 500 else 2)
    return answer
