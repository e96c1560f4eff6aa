"""`/v1/projects`: create a project with its keys, read and change the key's own project.   Stage 6 of 6."""

from __future__ import annotations

import asyncio
import contextlib

from litestar import Response, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rtaplatform.catalog.entities.etags import make_etag
from rtaplatform.catalog.entities.fields import read_object, require_object
from rtaplatform.catalog.keys.key_format import ADMIN, CATALOG_READ
from rtaplatform.catalog.projects import project_admin
from rtaplatform.catalog.projects.project_admin import PROJECT_FIELDS, Project, render_project
from rtaplatform.core.errors import NotFound, PlatformError
from rtaplatform.serve.catalog import project_docs as docs
from rtaplatform.serve.catalog.catalog_http import (
    PATCH_TYPES,
    answer,
    answer_list,
    answer_read,
    decode_id,
    find_condition,
    read_json,
    run,
    write_location,
)
from rtaplatform.serve.http.access import get_access
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies, require_catalog_services
from rtaplatform.serve.http.limits import ALL_PROJECTS, PROJECT_CHANGES, PROJECTS
from rtaplatform.serve.http.parameters import read_parameters

TAGS = ["projects"]
PUBLISH_SECONDS_MAX = 5.0


@get(
    "/v1/projects", opt={"scope": CATALOG_READ, "csv": True, "docs": docs.LIST_PROJECTS}, tags=TAGS,
    summary="The key's project",
)  # fmt: skip
async def list_projects(request: AnyRequest) -> Response[bytes]:
    """One item: a key belongs to one project."""
    read_parameters(request, ("format",))
    project_id = get_access(request).project_id
    row = await run(request, lambda connection: project_admin.read(connection, project_id))
    return answer_list(request, [render_project(row)], Project.__struct_fields__)


@post("/v1/projects", opt={"scope": ADMIN, "docs": docs.CREATE_PROJECT}, tags=TAGS, summary="Make a project")
async def create_project(request: AnyRequest) -> Response[bytes]:
    """`keys` are the new project's own: they are shown now and never again. Its events count from now on."""
    read_parameters(request, ())
    values = read_object(await read_json(request), PROJECT_FIELDS)
    limits = find_dependencies(request).limits
    # Every new project concerns all shards and workers. Failed attempts count too, so that nobody can probe for slugs.
    await limits.take(PROJECTS, get_access(request).project_id)
    await limits.take(ALL_PROJECTS, "all")
    row, keys = await run(request, lambda connection: project_admin.create(connection, values, limits.projects_max))
    await _publish(request)
    content = {"project": render_project(row), "keys": keys}
    return answer(content, 201, ETag=make_etag(row.version), Location=write_location("projects", row.id))


@get(
    "/v1/projects/{id:str}", opt={"scope": CATALOG_READ, "docs": docs.READ_PROJECT}, tags=TAGS, summary="One project",
)  # fmt: skip
async def read_project(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
    read_parameters(request, ())
    project_id = _require_own(request, id)
    row = await run(request, lambda connection: project_admin.read(connection, project_id))
    return answer_read(request, render_project(row), row.version)


@patch(
    "/v1/projects/{id:str}", opt={"scope": ADMIN, "docs": docs.PATCH_PROJECT}, tags=TAGS, summary="Change a project",
    operation_id="changeProject",
)  # fmt: skip
async def patch_project(request: AnyRequest, id: FromPath[str]) -> Response[bytes]:
    """Slug, zone and currency stay: what has been counted depends on them."""
    read_parameters(request, ())
    project_id, condition = _require_own(request, id), find_condition(request)
    patch_values = require_object(await read_json(request, PATCH_TYPES), list(PROJECT_FIELDS))
    await find_dependencies(request).limits.take(PROJECT_CHANGES, project_id)
    row = await run(request, lambda connection: project_admin.patch(connection, project_id, patch_values, condition))
    await _publish(request)
    return answer(render_project(row), ETag=make_etag(row.version))


route_handlers: list[HTTPRouteHandler] = [list_projects, create_project, read_project, patch_project]


def _require_own(request: AnyRequest, segment: str) -> str:
    """Return the id if it is that of the key's project. Raises NotFound for any other."""
    id = decode_id(segment)
    if id != get_access(request).project_id:
        raise NotFound("There is no project with this id.", field="id")
    return id


async def _publish(request: AnyRequest) -> None:
    """Publish the projects to the shards now. If Redis is unavailable, the background task does it later."""
    publish = require_catalog_services(request).publish_projects
    # The project exists, and its keys are shown only in this response: an error of Redis must not prevent it.
    with contextlib.suppress(PlatformError, TimeoutError):
        await asyncio.wait_for(publish(), PUBLISH_SECONDS_MAX)
