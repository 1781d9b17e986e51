"""The state directory: who holds it, where its sockets lie, and which user the embedded servers run as.

In: the `state` setting. Out: directories with the right owner and mode, and locks that one process holds at a time.
After a crash nothing needs clearing: a lock is a flock, which the kernel drops together with its holder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import time
from dataclasses import dataclass
from pathlib import Path

from schema.errors import ConfigError

# sun_path holds 107 bytes on Linux and 103 on macOS; the longest name we put into the directory is Postgres' own.
SOCKET_DIR_BYTES_MAX = 103 - len("/.s.PGSQL.5432")


@dataclass
class Claim:
    """A lock on the state directory, held until `release` or until this process is gone."""

    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)


def claim(state: Path, what: str) -> Claim:
    """Hold `what` of this state directory. Raises ConfigError, naming the holder, when someone else does."""
    path = state / f"{what}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(20):  # holder() below takes a lock for an instant
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return Claim(descriptor)
    pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
    os.close(descriptor)
    raise ConfigError(f"another tripstream is already running on {state}, pid {pid}; stop it or set TRIPSTREAM_STATE")


def holder(state: Path, what: str) -> int | None:
    """The pid of the process that holds `what`, or None when nobody does."""
    try:
        descriptor = os.open(state / f"{what}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # never started, or somebody else's
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).strip()
        return int(pid) if pid.isdigit() else -1
    finally:
        os.close(descriptor)
    return None


def server_user() -> pwd.struct_passwd | None:
    """Whom the servers run as when we are root (Postgres refuses to be); None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ConfigError(
        "running as root needs a user called postgres or nobody for the servers; "
        "create one, or set DATABASE_URL and REDIS_URL"
    )


def prepare(state: Path) -> Path:
    """Make the state directory, and hand it back as an absolute path that the servers can reach."""
    user = server_user()
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = state.resolve()
        if user is not None:
            state.chmod(0o711)  # the servers pass through it to their own 0700 directories
    except OSError as error:
        raise ConfigError(f"cannot use {state}: {error.strerror}; set TRIPSTREAM_STATE") from None
    if not os.access(state, os.W_OK | os.X_OK):
        raise ConfigError(f"{state} belongs to another user; set TRIPSTREAM_STATE")
    blocked = user and next((p for p in state.parents if not _may_pass(p, user)), None)
    if user and blocked:
        raise ConfigError(
            f"the servers run as user {user.pw_name}, who may not pass {blocked}; set TRIPSTREAM_STATE to a "
            "directory outside it"
        )
    return state


def socket_dir(state: Path) -> Path:
    """Where this state directory's sockets lie: inside it, unless the path is too long for a socket."""
    inside = state / "run"
    if len(os.fsencode(inside)) <= SOCKET_DIR_BYTES_MAX:
        return inside
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    return Path("/tmp") / f"tripstream-{os.geteuid()}-{digest}"  # noqa: S108 owner and mode are checked


def own_dir(path: Path) -> Path:
    """Make a 0700 directory for the servers. Raises ConfigError when somebody else's is in its place."""
    user = server_user()
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    owners = {os.geteuid(), user.pw_uid if user else os.geteuid()}
    if path.is_symlink() or not path.is_dir() or found.st_uid not in owners:
        raise ConfigError(f"{path} is not a directory of ours; remove it or set TRIPSTREAM_STATE")
    path.chmod(0o700)
    if user:
        os.chown(path, user.pw_uid, user.pw_gid)
    return path


def _may_pass(directory: Path, user: pwd.struct_passwd) -> bool:
    found = directory.stat()
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == user.pw_gid else 0o001))
