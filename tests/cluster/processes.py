"""
Runs server processes that never outlive the tests, however those end: normally, by a failure, or by SIGKILL.

`ControlPlane` starts its programs through a `ProcessGroup` and ends them with `close`. Where no Python code runs any
more, the group's leader does the same: a shell that waits for the end of a pipe held by this process, then deletes
the group's directory and kills the group. Logs are in `<directory>/<name>.log` until then.
"""

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# `kill 0` reaches the shell's own group only: it leads one of its own, which the other processes join. Signals are
# ignored since the kernel sends SIGHUP to a group that is left behind with a stopped member.
_GUARD = 'trap "" HUP INT TERM; cat >/dev/null; rm -rf "$1"; kill -KILL 0'

# Below the range that systems hand out to outgoing connections: a server that is down for a while keeps its port free,
# and a client that keeps trying the port cannot be given that same port and end up connected to itself.
_PORTS = range(20_000, 32_000)


class ProcessGroup:
    """Processes with a temporary directory, all gone after `close`."""

    def __init__(self, prefix: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", self.directory], stdin=subprocess.PIPE, process_group=0
        )
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """
        Start a program in the group; its output is appended to `<name>.log`.

        It gets exactly the environment that is given, else that of the tests, and works in `directory`, else theirs.
        """
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=self._guard.pid,
                env=environment,
                cwd=directory,
            )
        self._processes.append(process)
        return process

    def log_tail(self, name: str, *, lines: int = 40) -> str:
        """The last lines that a program wrote, or nothing if it has not been started."""
        try:
            return "\n".join((self.directory / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        """Kill every process and delete the directory; returns when all are gone."""
        for process in self._processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        with self._guard:
            self._guard.kill()


def free_port() -> int:
    """A port of the loopback interface that is free now and will not be taken by an outgoing connection."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port on 127.0.0.1 among 100 tried in {_PORTS.start}-{_PORTS.stop}")
