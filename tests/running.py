"""Ordinaut's own processes, started for a test as a Deployment starts them: by module, told by the environment."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster.processes import ProcessGroup, free_port


@dataclass(frozen=True)
class Running:
    """A started process and its probe port."""

    name: str
    process: subprocess.Popen[bytes]
    probe_port: int
    group: ProcessGroup

    def readiness(self) -> dict[str, Any]:
        """Return the body of ``/readyz``; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probe_port}/readyz", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.load(error))
        except OSError:
            return {}

    def metric(self, sample: str) -> float:
        """Return a sample of ``/metrics``, named with its labels as the text format writes it; 0 if it is not there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.probe_port}/metrics", timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{sample} "):
                    return float(line.rpartition(" ")[2])
        return 0.0

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, by its own pid."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it without any chance to say good-bye."""
        self.process.kill()
        self.process.wait()

    def log(self, *, lines: int = 200) -> str:
        """Return what it has logged lately."""
        return self.group.log_tail(self.name, lines=lines)


class Processes:
    """Starts processes for one test and ends them with it."""

    def __init__(self, group: ProcessGroup, *, database: str, redis: str) -> None:
        self._group = group
        self.environment = {
            "ORDINAUT_DATABASE_URL": database,
            "ORDINAUT_REDIS_URL": redis,
            "ORDINAUT_PROBE_HOST": "127.0.0.1",
        }
        """What every process is told; a test may add to it."""
        self._started: list[Running] = []

    def start(self, module: str, *, wait: bool = True, **settings: object) -> Running:
        """
        Start ``python -m ordinaut_<module>`` with settings such as ``lease_seconds=2``; wait until it is ready.

        A module with a dot in its name is a test's own and started as it is called.
        """
        port = free_port()
        environment = self.environment | {f"ORDINAUT_{name.upper()}": str(value) for name, value in settings.items()}
        name = f"{module}-{len(self._started)}"
        pairs = [f"{key}={value}" for key, value in (environment | {"ORDINAUT_PROBE_PORT": str(port)}).items()]
        process = self._group.start(
            name, ["env", *pairs, sys.executable, "-m", module if "." in module else f"ordinaut_{module}"]
        )
        running = Running(name, process, port, self._group)
        self._started.append(running)
        if wait:
            until(
                lambda: running.readiness().get("status") == "ready",
                what=lambda: f"{name} ready; log:\n{running.log()}",
            )
        return running

    def kill(self) -> None:
        """End all of them at once, as a machine that is lost."""
        for one in self._started:
            one.kill()

    def logs(self) -> str:
        """Return what all of them have logged lately."""
        return "\n".join(f"--- {one.name}\n{one.log()}" for one in self._started)


@contextmanager
def processes(*, database: str, redis: str) -> Iterator[Processes]:
    """Yield a starter of processes; all of them are gone afterwards, and their logs shown if the test failed."""
    group = ProcessGroup("ordinaut-test")
    started = Processes(group, database=database, redis=redis)
    try:
        yield started
    except BaseException:
        print(started.logs())
        raise
    finally:
        group.close()


def until(condition: Callable[[], object], *, what: Callable[[], str] | str, seconds: float = 60) -> Any:
    """Return what ``condition`` returns once it is true; fail with ``what`` was waited for after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
    return result
