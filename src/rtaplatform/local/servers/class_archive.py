"""Kafka's classes, parsed once: Java's class-data archive halves the start and saves a fifth of the memory.

The first start lists the classes it loads; when all is ready, a child of low priority makes the archive of them; later
starts with the same Java and jars use it. Java passes over an archive that does not fit, so it can never do harm.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from rtaplatform.local.servers.java import Java

CLASS_LIST = "classes.lst"
_LIST_IN_USE = "classes.making"


@dataclass(frozen=True)
class ClassArchive:
    """The archive for one Java and one class path."""

    folder: Path
    java: Java
    class_path: str

    @property
    def path(self) -> Path:
        identity = f"{self.java.program}\n{self.java.banner}\n{self.class_path}"
        return self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.jsa"

    def flags(self) -> tuple[str, ...]:
        """For a start of the server: use the archive, or list the classes for it."""
        if self.path.exists():
            return (f"-XX:SharedArchiveFile={self.path}", "-Xshare:auto")
        return (f"-XX:DumpLoadedClassList={CLASS_LIST}",)

    def making(self, folder: Path, java_flags: tuple[str, ...]) -> tuple[str, ...]:
        """The command that makes it from the list in the server's folder, with the server's own flags."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # A copy of the whole lines: the server still writes to its list, and begins it anew when it is restarted.
        listed = (folder / CLASS_LIST).read_bytes()
        (folder / _LIST_IN_USE).write_bytes(listed[: listed.rfind(b"\n") + 1])
        nice = shutil.which("nice")
        politely = (nice, "-n", "19") if nice else ()
        options = (
            "-Xshare:dump",
            f"-XX:SharedClassListFile={_LIST_IN_USE}",
            f"-XX:SharedArchiveFile={self._unfinished}",
        )
        return (*politely, str(self.java.program), *java_flags, *options, "-cp", self.class_path)

    def made(self, folder: Path) -> None:
        """Put a finished archive in its place, and drop the list it was made from."""
        if self._unfinished.exists():
            self._unfinished.replace(self.path)
        for name in (CLASS_LIST, _LIST_IN_USE):
            (folder / name).unlink(missing_ok=True)

    @property
    def _unfinished(self) -> Path:
        return self.path.with_suffix(".new")
