"""What the platform is made of: `sbom.cdx.json`, a software bill of materials in CycloneDX 1.6, made from the locks.

`./rta lock` writes it. It lists what a running platform has: the Python packages of runtime.txt and java.txt, and
Kafka's jars. Licences are those that the installed packages state; one that is not installed here, being for another
system, and the jars, state none. It is committed, so that nobody has to install anything to read it.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from packaging.requirements import Requirement

import rtaplatform
from tests.tidy.sources import ROOT

PATH = ROOT / "sbom.cdx.json"
LOCKS = ("runtime", "java")
JARS = ROOT / "src" / "rtaplatform" / "local" / "servers" / "kafka.lock.toml"
# Of packages that bring a licence as a file, and do not name it in their facts; as that file says.
LICENCES_IN_FILES = {"crawler-user-agents": "MIT"}
LICENCE_CHARACTERS_MAX = 100  # of what a package states: some put all of the text there


def list_locked_packages() -> Iterator[tuple[str, str]]:
    """Name and version of every Python package of the locks."""
    for name in LOCKS:
        for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
            if line[:1].isalnum():
                requirement = Requirement(line.rstrip("\\ "))
                yield requirement.name, next(iter(requirement.specifier)).version


def list_locked_jars() -> Iterator[tuple[str, str, str, str]]:
    """Group, name, version and sha256 of each of Kafka's jars."""
    for item in tomllib.loads(JARS.read_text())["dependencies"]:
        yield item["groupId"], item["artifactId"], item["version"], item["sha256"]


def write_bill_of_materials() -> str:
    """The document, the same for the same locks."""
    parts = [_describe_package(name, version) for name, version in list_locked_packages()]
    parts += [_describe_jar(*jar) for jar in list_locked_jars()]
    parts.sort(key=lambda part: str(part["bom-ref"]))
    platform = {
        "type": "application", "bom-ref": "rtaplatform", "name": "rtaplatform", "version": rtaplatform.__version__,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }  # fmt: skip
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": platform},
        "components": parts,
        "dependencies": [{"ref": "rtaplatform", "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    return json.dumps(document, indent=1) + "\n"


def _describe_package(name: str, version: str) -> dict[str, Any]:
    return _describe_library(f"pkg:pypi/{name.lower()}@{version}", name, version) | _find_licences(name)


def _describe_jar(group: str, name: str, version: str, sha256: str) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": sha256}]
    return _describe_library(f"pkg:maven/{group}/{name}@{version}", name, version) | {"group": group, "hashes": hashes}


def _describe_library(url: str, name: str, version: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


def _find_licences(package: str) -> dict[str, Any]:
    if expression_in_files := LICENCES_IN_FILES.get(package):
        return {"licenses": [{"expression": expression_in_files}]}
    try:
        stated = metadata(package)
    except PackageNotFoundError:
        return {}
    if expression := stated["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    words = stated["License"] or ""
    if not words or len(words) > LICENCE_CHARACTERS_MAX or "\n" in words:
        classifiers = [line for line in stated.get_all("Classifier") or () if line.startswith("License :: ")]
        words = classifiers[0].rpartition(" :: ")[2] if classifiers else ""
    return {"licenses": [{"license": {"name": words}}]} if words else {}


def main() -> int:
    PATH.write_text(write_bill_of_materials())
    return 0


if __name__ == "__main__":
    sys.exit(main())
