"""
The life of a pod: its files, its containers one after the other or together, its status, and its end in order.

A `node.Node` starts one `PodLife` for each pod that is bound to it, in a thread of its own, and tells it of each change
of the object. The life ends when the pod is deleted, after `preStop` and SIGTERM and within the grace period, or, for
pods of Jobs, stays as it ended.
"""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import httpx2

from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.kubelet import volumes
from tests.cluster.kubelet.containers import Container, Ended, now
from tests.cluster.kubelet.environment import environment, expanded
from tests.cluster.kubelet.images import Images, NoImage
from tests.cluster.kubelet.objects import NotThere, Object, Objects
from tests.cluster.kubelet.probes import Probe, probe
from tests.cluster.processes import ProcessGroup

_EVERY = 0.05  # seconds between looks at the processes
_AGAIN = 0.5  # seconds until something that was not there is looked for once more


class PodLife(threading.Thread):
    """One pod on its node."""

    def __init__(
        self,
        pod: Object,
        *,
        address: str,
        objects: Objects,
        images: Images,
        group: ProcessGroup,
        told: Mapping[str, str],
        server: str,
        authority: Path,
    ) -> None:
        metadata = pod["metadata"]
        super().__init__(name=metadata["name"], daemon=True)
        self.pod = pod
        self.address = address
        self.label = f"{metadata['namespace']}.{metadata['name']}"
        self.left: list[Ended] = []
        """How its containers ended, once it has been deleted."""
        self._objects, self._images, self._group = objects, images, group
        self._told = told
        self._server, self._authority = server, authority
        self.directory = group.directory / f"{self.label}.{metadata['uid']}"
        self.directory.mkdir()
        self._volumes: dict[str, Path] | None = None
        self._given: dict[str, dict[str, str]] = {}
        self._halt = threading.Event()
        policy = pod["spec"].get("restartPolicy", "Always")
        self._first = self._containers(
            pod["spec"].get("initContainers", ()), "OnFailure" if policy != "Never" else policy
        )
        self._main = self._containers(pod["spec"]["containers"], policy)
        self._begun = now()
        self._conditions: dict[str, tuple[str, str]] = {}
        self._written: Object = {}
        self._look_again = 0.0

    # -- for the node --------------------------------------------------------------------------------------------------

    def observe(self, pod: Object) -> None:
        """Take note of how the API server has the pod now."""
        self.pod = pod

    def halt(self) -> None:
        """End it at once: the test is over, or the pod is gone without having been asked."""
        self._halt.set()

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return bool(self._main) and all(one.ready for one in self._main) and not self._leaving

    @property
    def processes(self) -> Iterable[Container]:
        """Its containers."""
        return [*self._first, *self._main]

    def log(self, *, lines: int = 60) -> str:
        """Return the ends of what its containers wrote."""
        names = [f"{self.label}.{one.declared['name']}" for one in self.processes]
        return "\n".join(f"--- {name}\n{self._group.log_tail(name, lines=lines)}" for name in names)

    # -- its life ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Live until deleted or halted."""
        while not self._halt.wait(_EVERY):
            if self._leaving:
                self._end()
                return
            with contextlib.suppress(httpx2.HTTPError):  # the API server is away; processes go on meanwhile
                self._look()
                self._write()
        for one in self.processes:
            one.kill()

    @property
    def _leaving(self) -> bool:
        return "deletionTimestamp" in self.pod["metadata"]

    def _look(self) -> None:
        if self._phase() in {"Succeeded", "Failed"} or time.monotonic() < self._look_again:
            return
        for one in self._first:
            if not (one.finished and one.ended and one.ended.exit_code == 0):
                self._let(one)
                return
        for one in self._main:
            self._let(one)

    def _let(self, container: Container) -> None:
        """Look after a container; what it lacks is said in its status and looked for again."""
        try:
            container.look()
        except NotThere as error:
            container.wait_for(reason="CreateContainerConfigError", message=str(error))
            self._look_again = time.monotonic() + _AGAIN
        except NoImage as error:
            container.wait_for(reason="ErrImagePull", message=str(error))
            self._look_again = time.monotonic() + _AGAIN

    def _end(self) -> None:
        deadline = time.monotonic() + float(self.pod["metadata"].get("deletionGracePeriodSeconds", 30))
        with contextlib.suppress(httpx2.HTTPError):
            self._write()
        for one in self._main:
            if one.running:
                self._before_stop(one, deadline)
        stopping = [threading.Thread(target=one.stop, kwargs={"deadline": deadline}) for one in self.processes]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        while not self._halt.is_set():
            try:
                self._write()
                self._objects.remove(self.pod)
            except httpx2.HTTPError:
                self._halt.wait(_AGAIN)
            else:
                break
        self.left = [one.ended for one in self.processes if one.ended]

    def _before_stop(self, container: Container, deadline: float) -> None:
        hook = container.declared.get("lifecycle", {}).get("preStop")
        if hook is None:
            return
        left = deadline - time.monotonic()
        if "sleep" in hook:
            self._halt.wait(min(left, float(hook["sleep"]["seconds"])))
        else:
            command = self._images.pull(container.declared["image"]).command(hook["exec"]["command"])
            told = self._given[container.declared["name"]]
            process = self._group.start(f"{self.label}.preStop", command, environment=told, directory=self.directory)
            try:
                process.wait(left)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # -- its containers ------------------------------------------------------------------------------------------------

    def _containers(self, declared: Iterable[Object], policy: str) -> list[Container]:
        return [self._container(one, policy) for one in declared]

    def _container(self, declared: Object, policy: str) -> Container:
        def asked(kind: str) -> Probe | None:
            return probe(kind, container=declared, address=self.address)

        return Container(
            declared,
            identity=f"{self.label}.{declared['name']}",
            restart_policy=policy,
            start=lambda: self._start_process(declared),
            probe=asked,
        )

    def _start_process(self, declared: Object) -> "subprocess.Popen[bytes]":
        environment_ = self._given[declared["name"]] = self._environment(declared)
        mounts = volumes.mounts(declared, pod=self.pod, volumes=self._volumes or {})
        command = [*declared.get("command", ()), *declared.get("args", ())]
        command = [mounts.rewritten(expanded(word, environment_)) for word in command]
        return self._group.start(
            f"{self.label}.{declared['name']}",
            self._images.pull(declared["image"]).command(command),
            environment=environment_,
            directory=self.directory,
        )

    def _environment(self, declared: Object) -> dict[str, str]:
        image = self._images.pull(declared["image"])
        if self._volumes is None:
            self._volumes = volumes.write(
                self.pod, directory=self.directory / "volumes", address=self.address, objects=self._objects
            )
        mounts = volumes.mounts(declared, pod=self.pod, volumes=self._volumes)
        given = environment(declared, pod=self.pod, address=self.address, objects=self._objects)
        ours = {"HOME": str(self.directory), "TMPDIR": str(mounts.scratch or self.directory)}
        if volumes.has_token(declared):
            ours["KUBECONFIG"] = str(self._kubeconfig())
        # A pod listens on all of its addresses, which are one here and everybody's there.
        listens = {"ORDINAUT_PROBE_HOST": self.address, "ORDINAUT_API_HOST": self.address}
        rewritten = {name: mounts.rewritten(value) for name, value in given.items()}
        return {**image.environment, **self._told, **ours, **rewritten, **listens}

    def _kubeconfig(self) -> Path:
        """Write the file from which a process that runs in no container learns who it is, with a token of this pod."""
        user = {"token": self._objects.token(self.pod)}
        return write_kubeconfig(
            self.directory / "kubeconfig",
            url=self._server,
            authority=self._authority,
            user=user,
            namespace=self.pod["metadata"]["namespace"],
        )

    # -- its status ----------------------------------------------------------------------------------------------------

    def _phase(self) -> str:
        failed = [one for one in self._first if one.finished and one.ended and one.ended.exit_code != 0]
        if failed:
            return "Failed"
        if self._main and all(one.finished for one in self._main):
            return "Succeeded" if all(one.ended and one.ended.exit_code == 0 for one in self._main) else "Failed"
        begun = any(one.running or one.ended for one in self._main)
        return "Running" if begun else "Pending"

    def _write(self) -> None:
        """Write the status, if it has changed."""
        phase = self._phase()
        initialised = all(one.finished and one.ended and one.ended.exit_code == 0 for one in self._first)
        states = {
            "PodScheduled": True,
            "Initialized": initialised,
            "ContainersReady": bool(self._main) and all(one.ready for one in self._main),
            "Ready": self.ready,
        }
        status = {
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._begun,
            "conditions": [self._condition(kind, "True" if true else "False") for kind, true in states.items()],
            "initContainerStatuses": [one.status() for one in self._first],
            "containerStatuses": [one.status() for one in self._main],
        }
        if status != self._written:
            self._objects.write_status(self.pod, status)
            self._written = status

    def _condition(self, kind: str, status: str) -> Object:
        if self._conditions.get(kind, ("",))[0] != status:
            self._conditions[kind] = (status, now())
        return {"type": kind, "status": status, "lastTransitionTime": self._conditions[kind][1]}
