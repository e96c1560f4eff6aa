"""What tests of the catalog over HTTP share: a site on the session's PostgreSQL, and a client with the admin key."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from rtaplatform.local.servers.postgres import Postgres
from tests.integration.catalog_site import Site, open_site
from tests.integration.servers import Running


@pytest.fixture
async def site(postgres_server: Running[Postgres]) -> AsyncIterator[Site]:
    async with open_site(postgres_server.server) as new_site:
        yield new_site


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with site.make_client() as new_client:
        yield new_client
