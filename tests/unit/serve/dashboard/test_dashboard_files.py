"""The dashboard's files: one shell for page paths, assets that browsers keep, and nothing else."""

from __future__ import annotations

import gzip
from itertools import product
from pathlib import Path

import pytest

from rtaplatform.serve.dashboard.dashboard_files import DashboardFiles, read_folder
from rtaplatform.settings import ApiHalf
from tests.unit.serve.parts_of_tests import Reply, Site

SCRIPT = b"console.log('a script that is long enough to be worth compressing');" * 20
PAGES = (
    "/", "/overview", "/products", "/products/p-9", "/engagement", "/explore", "/feed", "/catalog/products",
    "/catalog/users/u-4", "/settings", "/settings/keys",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(b"<!doctype html><title>RTA</title>")
    (tmp_path / "assets" / "app-B67aJAE2.js").write_bytes(SCRIPT)
    (tmp_path / "assets" / "notes.txt").write_bytes(b"not served")
    (tmp_path / "built.json").write_bytes(b"{}")
    return tmp_path


@pytest.fixture
def site(folder: Path) -> Site:
    site = Site()
    site.app.state["dashboard"] = read_folder(folder)
    return site


async def get(site: Site, path: str, query: bytes = b"", **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.ask_raw("GET", path, query, key=None, headers=names)


@pytest.mark.parametrize("path", PAGES)
async def test_page_paths_give_the_shell_with_its_headers(site: Site, path: str) -> None:
    reply = await get(site, path, b"from=-24h&anything=%ff")
    assert (reply.status, reply.body) == (200, b"<!doctype html><title>RTA</title>")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert (reply.headers["cache-control"], reply.headers["vary"]) == ("no-cache", "Accept-Encoding")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy


@pytest.mark.parametrize(("query", "address"), [(b"", "/?wall=1"), (b"hide=money&q=%20", "/?wall=1&hide=money&q=%20")])
async def test_the_walls_own_path_leads_to_the_overviews_form(site: Site, query: bytes, address: str) -> None:
    reply = await get(site, "/wall", query)
    assert (reply.status, reply.headers["location"]) == (302, address)


async def test_assets_are_kept_for_ever_and_may_be_compressed(site: Site) -> None:
    path = "/assets/app-B67aJAE2.js"
    plain, compressed = await get(site, path), await get(site, path, accept_encoding="br, gzip")
    assert (plain.status, plain.body) == (200, SCRIPT)
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert compressed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == SCRIPT
    assert plain.headers["etag"] != compressed.headers["etag"]
    again = await get(site, path, if_none_match=plain.headers["etag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["/assets/app-old.js", "/assets/notes.txt", "/assets/..%2fbuilt.json", "/built.json", "/index.html", "/nowhere"],
)
async def test_any_other_path_is_a_problem_and_never_the_shell(site: Site, path: str) -> None:
    reply = await get(site, path)
    assert (reply.status, reply.json["code"]) == (404, "unknown-route")


async def test_without_a_build_and_at_a_collecting_process_there_are_no_pages(folder: Path) -> None:
    without, collecting = Site(), Site(only=ApiHalf.COLLECT)
    without.app.state["dashboard"] = DashboardFiles()
    collecting.app.state["dashboard"] = read_folder(folder)
    for site, path in product((without, collecting), ("/overview", "/wall")):
        reply = await get(site, path)
        assert (reply.status, reply.json["code"]) == (404, "unknown-route")


def test_the_build_has_another_name_when_a_file_changes(folder: Path) -> None:
    first = read_folder(folder).build
    assert read_folder(folder).build == first
    (folder / "assets" / "app-B67aJAE2.js").rename(folder / "assets" / "app-Zz3.js")
    assert read_folder(folder).build != first
