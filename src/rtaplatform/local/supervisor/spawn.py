"""Prepare a child process and execute its program: `python -I -S spawn.py PARENT IDENTITY PROGRAM ARGUMENT …`.

This is a separate script, because no Python code may run between fork and exec in a process with threads. It starts a
new session (so that Ctrl-C reaches only the supervisor), drops root if asked, has the kernel kill the child when its
parent ends, and executes PROGRAM. The order matters: a change of uid would cancel the kill.

IDENTITY is one of
    same                the user of the supervisor
    UID:GID             that user, with CAP_DAC_OVERRIDE only: folders above the data directory may stay closed
    UID:GID:namespace   a user namespace that shows that user inside, and is the supervisor's user outside
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT = 1, 8, 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWUSER = 0x10000000


def main(arguments: list[str]) -> None:
    """Take the steps above. Ends with status 127 if the program cannot be executed."""
    parent, identity, program = int(arguments[0]), arguments[1], arguments[2:]
    if os.getsid(0) != os.getpid():
        os.setsid()
    os.umask(0o077)
    take_identity(identity)
    die_with(parent)
    try:
        os.execv(program[0], program)  # noqa: S606  # the supervisor wrote the argument list
    except OSError as error:
        sys.stderr.write(f"cannot execute {program[0]}: {error.strerror}\n")
        sys.exit(127)


def take_identity(identity: str) -> None:
    if identity == "same":
        return
    uid, gid, *method = identity.split(":")
    if method == ["namespace"]:
        enter_namespace(int(uid), int(gid))
    else:
        drop_root(int(uid), int(gid))


def drop_root(uid: int, gid: int) -> None:
    """Become `uid` with CAP_DAC_OVERRIDE and no other capability."""
    _check(_load_libc().prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    bit = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _check(_load_libc().capset(header, sets), "capset")
    _check(_load_libc().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "prctl(PR_CAP_AMBIENT)")


def enter_namespace(uid: int, gid: int) -> None:
    """Appear as `uid` inside a user namespace, which maps it to the current user outside."""
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    _check(_load_libc().unshare(CLONE_NEWUSER), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outside_uid} 1"),
        ("gid_map", f"{gid} {outside_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends. Exits at once if `parent` has ended already."""
    _check(_load_libc().prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGKILL)


def _load_libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{call} was refused")


if __name__ == "__main__":
    main(sys.argv[1:])
