"""`rta api --only`: each half serves its routes, and the two together serve all."""

from __future__ import annotations

import pytest
from litestar import Litestar

from rtaplatform.serve.openapi.document import make_document
from rtaplatform.settings import ApiHalf
from tests.unit.serve.parts_of_tests import Site


def list_paths(app: Litestar) -> set[str]:
    return {route.path for route in app.routes}


@pytest.fixture(scope="module")
def paths() -> dict[ApiHalf | None, set[str]]:
    return {half: list_paths(Site(only=half).app) for half in (None, *ApiHalf)}


def test_the_halves_serve_all_routes_and_share_only_those_of_operators(paths: dict[ApiHalf | None, set[str]]) -> None:
    assert paths[ApiHalf.COLLECT] | paths[ApiHalf.QUERY] == paths[None]
    shared = paths[ApiHalf.COLLECT] & paths[ApiHalf.QUERY]
    assert {"/health/live", "/health/ready", "/metrics"} <= shared
    assert not [path for path in shared if path.startswith("/v1/")]


def test_each_half_has_the_routes_of_its_name(paths: dict[ApiHalf | None, set[str]]) -> None:
    assert {"/v1/track", "/v1/batch"} <= paths[ApiHalf.COLLECT]
    assert {"/v1/query", "/v1/live", "/v1/products/popular"} <= paths[ApiHalf.QUERY]


@pytest.mark.parametrize("half", ApiHalf)
def test_the_document_of_a_half_describes_its_routes_alone(half: ApiHalf) -> None:
    document = make_document(Site(only=half).app)
    assert ("/v1/track" in document["paths"]) is (half is ApiHalf.COLLECT)
