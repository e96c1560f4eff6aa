"""Small disks that can be full: file systems in memory, whose size is cut to what is on them.

They are mounted in a mount namespace of this process and its children, so none outlives them, however they end.
Needs root. Call from the main thread: the namespace is a thread's, and children have that of their maker.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNS = 0x00020000
ROOMY = "50%"  # of the memory: as good as without a limit
LEFT_BYTES = 256 << 10


def can_mount() -> bool:
    """Whether this user may mount a file system in a namespace of its own."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False
        )
    return process.returncode == 0


def enter_namespace() -> None:
    """From here on, mounts of this thread and its children are theirs alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare was refused")
    _run("mount", "--make-rprivate", "/")


@dataclass(frozen=True)
class Disk:
    """A file system of its own, at `folder`."""

    folder: Path

    @classmethod
    def mount(cls, folder: Path) -> Disk:
        folder.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"mode=700,size={ROOMY}", "none", str(folder))
        return cls(folder)

    def fill(self) -> None:
        """Leave next to no room: writes fail from here on, as on a full disk."""
        at = os.statvfs(self.folder)
        used = (at.f_blocks - at.f_bfree) * at.f_frsize
        self._resize(str(used + LEFT_BYTES))

    def free(self) -> None:
        self._resize(ROOMY)

    def unmount(self) -> None:
        _run("umount", "--lazy", str(self.folder))

    def _resize(self, size: str) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self.folder))


def _run(*command: str) -> None:
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, f"{' '.join(command)}: {process.stderr.strip()}"
