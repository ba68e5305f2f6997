"""
A container: one command, started, watched, asked by its probes, started again when it ends, and stopped.

`pods` makes one for each container of a pod and calls `look` several times a second from the pod's own thread.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.cluster.kubelet.objects import Object
from tests.cluster.kubelet.probes import Probe

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds before a container that has ended is started again; a kubelet begins with ten."""

Start = Callable[[], "subprocess.Popen[bytes]"]


@dataclass(frozen=True)
class Ended:
    """How a container's process ended; `killed` says that it did not end in time by itself."""

    exit_code: int
    started: str
    finished: str
    killed: bool = False

    def state(self, *, container_id: str) -> Object:
        """Return it as Kubernetes writes it."""
        reason = "Completed" if self.exit_code == 0 else "Error"
        times = {"startedAt": self.started, "finishedAt": self.finished}
        return {"terminated": {"exitCode": self.exit_code, "reason": reason, "containerID": container_id, **times}}


class Container:
    """One container of a pod; not started before the first `look`."""

    def __init__(
        self,
        declared: Object,
        *,
        identity: str,
        restart_policy: str,
        start: Start,
        probe: Callable[[str], Probe | None],
    ) -> None:
        self.declared = declared
        self.ended: Ended | None = None
        """How its last process ended, as long as no other one runs."""
        self._identity = f"process://{identity}"
        self._restart_policy = restart_policy
        self._start = start
        self._probe = probe
        self._probes: dict[str, Probe | None] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._started = ""
        self._waits_for: tuple[str, str] | None = None
        self._last: Ended | None = None
        self._restarts = -1
        self._pause, self._again = _FIRST_PAUSE, 0.0

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def finished(self) -> bool:
        """Whether it has ended for good."""
        return self.ended is not None and not self._to_be_restarted(self.ended)

    @property
    def started(self) -> bool:
        """Whether it has come up."""
        return self.running and _passed(self._probes.get("startupProbe"))

    @property
    def ready(self) -> bool:
        """Whether it says that it can do its job."""
        return self.started and _passed(self._probes.get("readinessProbe"))

    def status(self) -> Object:
        """Return its part of the pod's status."""
        last = {} if self._last is None else self._last.state(container_id=self._identity)
        return {
            "name": self.declared["name"],
            "image": self.declared["image"],
            "imageID": self.declared["image"],
            "containerID": self._identity,
            "ready": self.ready,
            "started": self.started,
            "restartCount": max(self._restarts, 0),
            "state": self._state(),
            "lastState": last,
        }

    def _state(self) -> Object:
        if self._waits_for is not None:
            reason, message = self._waits_for
            return {"waiting": {"reason": reason, "message": message}}
        if self.ended is not None:
            return self.ended.state(container_id=self._identity)
        return {"running": {"startedAt": self._started}} if self._started else {"waiting": {"reason": "Starting"}}

    # -- what is done with it ------------------------------------------------------------------------------------------

    def wait_for(self, *, reason: str, message: str) -> None:
        """Say why it can't be started yet."""
        self._waits_for = (reason, message)

    def look(self) -> None:
        """Start it if it should run, take note of its end, ask its probes."""
        if self._process is not None and self._process.poll() is not None:
            self._note_end()
        if self._process is None:
            if (self.ended is None or self._to_be_restarted(self.ended)) and time.monotonic() >= self._again:
                self._begin()
            return
        self._ask()

    def stop(self, *, deadline: float) -> None:
        """Ask its process to end, wait for it until a moment of the monotonic clock, then kill it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            return
        self._note_end()

    def crash(self) -> None:
        """Kill its process and leave it to `look` to find out."""
        if (process := self._process) is not None:
            process.kill()

    def kill(self) -> None:
        """End its process without asking it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._note_end(killed=True)

    def _begin(self) -> None:
        if self.ended is not None:
            self._last, self.ended = self.ended, None
        self._process = self._start()
        self._waits_for = None
        self._restarts += 1
        self._started = now()
        self._probes = {kind: self._probe(kind) for kind in ("startupProbe", "livenessProbe", "readinessProbe")}

    def _note_end(self, *, killed: bool = False) -> None:
        assert self._process is not None
        code = self._process.returncode
        # What a signal has ended has the exit code of a shell's.
        self.ended = Ended(code if code >= 0 else 128 - code, self._started, now(), killed)
        self._process = None
        self._again = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _ask(self) -> None:
        startup, liveness, readiness = (self._probes[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness"))
        if startup is not None and not startup.passed:
            startup.ask()
            asked = [startup]
        else:
            asked = [one for one in (liveness, readiness) if one is not None]
            for one in asked:
                one.ask()
        if any(one.failed for one in asked if one is not readiness):
            self.stop(deadline=time.monotonic() + 30)

    def _to_be_restarted(self, ended: Ended) -> bool:
        return self._restart_policy == "Always" or (self._restart_policy == "OnFailure" and ended.exit_code != 0)


def now() -> str:
    """Return the time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _passed(probe: Probe | None) -> bool:
    return probe is None or probe.passed
