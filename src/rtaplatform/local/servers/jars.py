"""Kafka's jars: exactly those of the committed lock, fetched once, and checked against their sha256 at every use.

A jar is fetched into a temporary folder and moved into the cache if its checksum is right. So two processes at once, an
interrupted download or a damaged cache never cause a wrong file to be used.
`python -m rtaplatform.local.servers.jars VERSION` renews the lock.
"""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from jgo.env import LockedDependency, LockFile
from jgo.maven import Artifact, MavenContext

from rtaplatform.core.errors import SetupError
from rtaplatform.local.supervisor.embedded_server import Say

LOCK = Path(__file__).with_name("kafka.lock.toml")
# Kafka logs through SLF4J and leaves the choice of its back end to the distribution.
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3"
_FETCHES_AT_ONCE = 6
_TIMEOUT_SECONDS = 30


def fetch_class_path(cache: Path, say: Say, *, repository_url: str | None = None, lock_file: Path = LOCK) -> list[Path]:
    """The jars of the lock, in its order. Raises SetupError if one cannot be fetched."""
    repository = cache / "jars"
    lock = LockFile.load(lock_file)
    missing_items = [item for item in lock.dependencies if not _is_intact(item, repository)]
    if missing_items:
        say(f"Fetching Kafka: {len(missing_items)} jars, about 45 MB, once")
        _fetch_all(missing_items, repository, repository_url)
    return [_find_path(item, repository) for item in lock.dependencies]


def count_missing_jars(cache: Path) -> int:
    """The number of jars that are not in the cache or are damaged."""
    return sum(not _is_intact(item, cache / "jars") for item in LockFile.load(LOCK).dependencies)


def renew_lock(version: str) -> None:
    """Resolve Kafka's jars again, from the repository, and write the lock."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=_TIMEOUT_SECONDS)
        # Kafka is resolved alone: with a second root, the resolver would prefer that root's versions.
        roots, dependencies = context.resolver.resolve(
            [context.create_dependency(f"org.apache.kafka:kafka_2.13:{version}")]
        )
        lock = LockFile.from_resolved_dependencies([*roots, *dependencies, context.create_dependency(LOGGING)])
    lock.environment_name = f"kafka-{version}"
    lock.save(LOCK)


def trust_system_certificates(environment: MutableMapping[str, str]) -> None:
    """Have requests trust the machine's certificates (a company's proxy has its own), unless variables name others."""
    if not any(environment.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")):
        paths = ssl.get_default_verify_paths()
        folder = paths.capath if paths.capath and any(Path(paths.capath).iterdir()) else None
        if paths.cafile or folder:
            environment["REQUESTS_CA_BUNDLE"] = str(paths.cafile or folder)


def _fetch_all(items: list[LockedDependency], repository: Path, repository_url: str | None) -> None:
    repository.mkdir(parents=True, exist_ok=True)
    trust_system_certificates(os.environ)
    remotes = {"given": repository_url.rstrip("/")} if repository_url else None
    with tempfile.TemporaryDirectory(dir=repository, prefix=".fetch-") as folder:
        context = MavenContext(repo_cache=Path(folder), remote_repos=remotes, timeout=_TIMEOUT_SECONDS)
        try:
            with ThreadPoolExecutor(_FETCHES_AT_ONCE) as pool:
                list(pool.map(lambda item: _fetch(item, context, repository), items))
        except (requests.RequestException, RuntimeError, OSError) as error:
            raise SetupError(
                f"Kafka's jars cannot be fetched: {error}",
                "Check the network or proxy (HTTPS_PROXY), name a Maven repository with RTA_MAVEN_URL, "
                "or use a Kafka of your own: --kafka HOST:PORT.",
            ) from error


def _fetch(item: LockedDependency, context: MavenContext, repository: Path) -> None:
    _describe_artifact(item, context).resolve()
    if not _is_intact(item, context.repo_cache):
        raise RuntimeError(f"{item.artifactId}-{item.version}.jar differs from its checksum in the lock")
    target = _find_path(item, repository)
    target.parent.mkdir(parents=True, exist_ok=True)
    _find_path(item, context.repo_cache).replace(target)


def _is_intact(item: LockedDependency, repository: Path) -> bool:
    return bool(item.sha256) and LockFile([item]).verify_checksums(repository) == []


def _describe_artifact(item: LockedDependency, context: MavenContext) -> Artifact:
    return context.project(item.groupId, item.artifactId).at_version(item.version).artifact("", "jar")


def _find_path(item: LockedDependency, repository: Path) -> Path:
    folder = repository.joinpath(*item.groupId.split("."), item.artifactId, item.version)
    return folder / f"{item.artifactId}-{item.version}.jar"


if __name__ == "__main__":
    renew_lock(sys.argv[1])
