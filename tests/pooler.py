"""
PgBouncer for tests: found on any Debian, Ubuntu or machine that has it, and run before a test's database.

It is looked for on `PATH`, then in the cache, `~/.cache/ordinaut/pgbouncer`. What is missing is taken from the packages
of the machine's own distribution, by `apt-get download` with lists of its own, so that nothing is installed and no
rights are needed. apt checks what it takes by the distribution's signatures; a version of our own choosing would be
gone from the mirrors with the next security update, so any from :data:`OLDEST` on will do.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import conninfo

from tests.cluster import binaries
from tests.cluster.errors import MissingProgramError
from tests.cluster.processes import ProcessGroup, free_port
from tests.running import until

OLDEST = (1, 18)

_TIMEOUT = 120.0
"""Seconds for each call of apt."""


@dataclass(frozen=True)
class Program:
    """PgBouncer, and what it needs in its environment to find the libraries beside it."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def version(self) -> tuple[int, ...]:
        """Return its version; empty if it does not run."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = [self.path, "--version"]
            said = subprocess.run(
                command, env={**os.environ, **self.environment}, capture_output=True, check=True, text=True, timeout=30
            )
            if found := re.search(r"PgBouncer (\d+)\.(\d+)", said.stdout):
                return int(found[1]), int(found[2])
        return ()


def provide() -> Program:
    """Return a PgBouncer that runs; raises `MissingProgramError` with the reason where none can be had."""
    if (path := shutil.which("pgbouncer")) and (found := Program(Path(path))).version() >= OLDEST:
        return found
    cache = binaries.cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / "pgbouncer"
    with binaries.locked(cache / "pgbouncer.lock"):
        if (unpacked := _unpacked(folder)).version() < OLDEST:
            _download(folder)
            unpacked = _unpacked(folder)
    if unpacked.version() < OLDEST:
        raise MissingProgramError(f"no pgbouncer for the tests: the one in {folder} does not run, or is too old")
    return unpacked


def _unpacked(folder: Path) -> Program:
    libraries = sorted({str(path.parent) for path in folder.glob("usr/lib/**/*.so.*")})
    return Program(folder / "usr" / "sbin" / "pgbouncer", {"LD_LIBRARY_PATH": ":".join(libraries)})


def _download(folder: Path) -> None:
    """Unpack the distribution's package, and the libraries that it depends on, into the folder."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise MissingProgramError("no pgbouncer for the tests: install it (there is no apt-get here to take it from)")
    scratch = folder.with_name("pgbouncer-download")
    shutil.rmtree(scratch, ignore_errors=True)
    unpacked = scratch / "root"
    for part in (unpacked, scratch / "lists" / "partial", scratch / "cache" / "archives" / "partial"):
        part.mkdir(parents=True)
    try:
        apt = [
            "-o",
            f"Dir::State::Lists={scratch}/lists",
            "-o",
            f"Dir::Cache={scratch}/cache",
            "-o",
            "Debug::NoLocking=1",
        ]
        _run(["apt-get", *apt, "-o", "APT::Sandbox::User=root", "update"], scratch)
        depends = _run(["apt-cache", *apt, "depends", "--important", "pgbouncer"], scratch)
        libraries = re.findall(r"^ +Depends: (lib(?!c6)\S+)$", depends, re.MULTILINE)
        _run(["apt-get", *apt, "-o", "APT::Sandbox::User=root", "download", "pgbouncer", *libraries], scratch)
        for package in scratch.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(package), str(unpacked)], scratch)
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(command: Sequence[str], directory: Path) -> str:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, check=True, text=True, timeout=_TIMEOUT)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it did not say why"])[-1]
        raise MissingProgramError(f"no pgbouncer for the tests: {command[0]}: {last}") from None
    except subprocess.TimeoutExpired:
        raise MissingProgramError(f"no pgbouncer for the tests: {command[0]} took over {_TIMEOUT:g} s") from None
    return done.stdout


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer: the address of the database through it, and what it has logged."""

    url: str
    group: ProcessGroup

    def log(self) -> str:
        """Return the end of its log."""
        return self.group.log_tail("pgbouncer", lines=60)


@contextlib.contextmanager
def pooler(database: str, *, settings: str) -> Iterator[Pooler]:
    """Run a PgBouncer before a database, with these further lines of its section ``pgbouncer``."""
    program = provide()
    parts = conninfo.conninfo_to_dict(database)
    user, port = str(parts.get("user") or "postgres"), free_port()
    group = ProcessGroup("ordinaut-pgbouncer")
    try:
        group.directory.chmod(0o755)
        (group.directory / "users.txt").write_text(f'"{user}" "{parts.get("password") or ""}"\n')
        (group.directory / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={parts['host']} port={parts.get('port') or 5432}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {group.directory}/users.txt\n"
            f"{_unprivileged(str(parts['host']))}{settings}\n"
        )
        group.start(
            "pgbouncer",
            [program.path, group.directory / "pgbouncer.ini"],
            environment={**os.environ, **program.environment},
        )
        running = Pooler(f"postgresql://{user}@127.0.0.1:{port}/{parts['dbname']}", group)
        until(lambda: "process up" in running.log(), what=lambda: f"pgbouncer up; log:\n{running.log()}")
        yield running
    finally:
        group.close()


def _unprivileged(host: str) -> str:
    """Return the line that makes it give up being root, as it insists on, for somebody who may reach the server."""
    if os.geteuid() != 0:
        return ""
    return f"user = {Path(host).owner() if host.startswith('/') else 'nobody'}\n"
