"""
The steps of an installation's life: install, run a task, upgrade, uninstall; each checks what it has done.

`__main__` takes them one after the other on a cluster of kind, ``tests/chart`` against an API server of its own. They
use helm and kubectl as the documentation has it, nothing else.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2e.programs import StepFailed, run
from ordinaut.resources.manifest import GROUP, KINDS
from ordinaut.states import ENDED_RUN_PHASES

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "helm" / "ordinaut"
EXAMPLE: Final = ROOT / "examples" / "hello"

DEFINITIONS: Final = tuple(f"{kind.lower()}s.{GROUP}" for kind in KINDS)
"""Names of the CustomResourceDefinitions."""

RUN_WITHIN: Final = 180.0
"""Seconds until a run that is due each minute has succeeded."""

GONE_WITHIN: Final = 180.0
"""Seconds until nothing is left of a release."""

_PAUSE: Final = 1.0
_ENDS: Final = {phase.value for phase in ENDED_RUN_PHASES}


@dataclass(frozen=True, slots=True)
class Installation:
    """
    A release in a namespace, and the programs that work with it.

    ``timeout`` is what helm and kubectl wait at most, in their own notation.
    """

    kubeconfig: Path
    namespace: str = "ordinaut"
    release: str = "ordinaut"
    chart: Path = CHART
    helm: Path | str = "helm"
    kubectl: Path | str = "kubectl"
    timeout: str = "5m"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def with_helm(self, *arguments: str | Path) -> str:
        """Run helm in the namespace of the release."""
        return self._run([self.helm, *arguments, "--namespace", self.namespace])

    def with_kubectl(self, *arguments: str | Path, namespace: str | None = None) -> str:
        """Run kubectl, in the namespace of the release or another one."""
        return self._run([self.kubectl, *arguments, "--namespace", namespace or self.namespace])

    def _run(self, command: Sequence[str | Path]) -> str:
        return run(command, environment={**self.environment, "KUBECONFIG": str(self.kubeconfig)})


def install(it: Installation, *values: str | Path) -> None:
    """Install the chart, or upgrade the release that is there; ``values`` are files or ``key=value``."""
    it.with_helm(
        "upgrade", "--install", it.release, it.chart, "--create-namespace", "--wait", "--timeout", it.timeout,
        *_given(values),
    )  # fmt: skip
    _all_ready(it)


def _given(values: Sequence[str | Path]) -> list[str | Path]:
    return [part for one in values for part in (("--values", one) if isinstance(one, Path) else ("--set", one))]


def _all_ready(it: Installation) -> None:
    found = json.loads(it.with_kubectl("get", "deployments", "--selector", _selector(it), "--output=json"))
    if not found["items"]:
        raise StepFailed(f"the release {it.release} has no Deployments")
    for one in found["items"]:
        wanted, ready = one["spec"].get("replicas", 1), one["status"].get("readyReplicas", 0)
        if ready < wanted:
            raise StepFailed(f"Deployment {one['metadata']['name']}: {ready} of {wanted} pods are ready")


def health(it: Installation) -> None:
    """Have the chart's own test ask the api for its health."""
    it.with_helm("test", it.release, "--timeout", it.timeout)


def example(it: Installation, *, manifests: Path = EXAMPLE, namespace: str = "default") -> None:
    """Apply the example's Task ``hello`` and wait until one more run, started by its schedule, has succeeded."""
    it.with_kubectl("apply", "--filename", manifests, namespace=namespace)
    before = _status(it, namespace=namespace).get("lastRun", {})

    def succeeded() -> bool:
        run = _status(it, namespace=namespace).get("lastRun", {})
        if run.get("id") == before.get("id") or run["phase"] not in _ENDS:
            return False
        if run["phase"] != "Succeeded":
            raise StepFailed(f"run {run['id']} of the example: {run['phase']}: {run.get('message', 'no message')}")
        return True

    def late() -> str:
        conditions = _status(it, namespace=namespace).get("conditions", [])
        said = "; ".join(f"{one['type']}: {one['message']}" for one in conditions)
        return f"no run of the example has succeeded ({said or 'it has no status'})"

    _until(succeeded, within=RUN_WITHIN, what=late)


def _status(it: Installation, *, namespace: str) -> dict[str, Any]:
    found = json.loads(it.with_kubectl("get", "task.ordinaut.io/hello", "--output=json", namespace=namespace))
    status: dict[str, Any] = found.get("status", {})
    return status


def _until(condition: Callable[[], bool], *, within: float, what: str | Callable[[], str]) -> None:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise StepFailed(f"{what if isinstance(what, str) else what()} within {within:.0f} s")
        time.sleep(_PAUSE)


def uninstall(it: Installation, *, stays: Sequence[str] = ()) -> None:
    """
    Uninstall the release, and make sure that nothing of it stays but the definitions of its kinds.

    ``stays`` is what may stay beside them, as ``kind/name``: the volume of a trial database.
    """
    it.with_helm("uninstall", it.release, "--wait", "--timeout", it.timeout)

    def left() -> list[str]:
        return [one for one in leftovers(it) if one not in stays]

    # Pods take their grace to end, and what they belong to goes after them.
    _until(lambda: not left(), within=GONE_WITHIN, what=lambda: f"not gone: {', '.join(left())}")
    it.with_kubectl("get", "customresourcedefinitions", *DEFINITIONS)


def leftovers(it: Installation) -> list[str]:
    """Return what is left of a release, as ``kind/name``, besides the definitions of its kinds."""
    cluster, namespaced = (
        it.with_kubectl("api-resources", f"--namespaced={there}", "--verbs=list", "--output=name").split()
        for there in ("false", "true")
    )
    found = []
    for kinds, scope in ((cluster, []), (namespaced, ["--all-namespaces"])):
        wanted = ",".join(sorted(set(kinds) - {"events", "events.events.k8s.io", "componentstatuses"}))
        found += it.with_kubectl(
            "get", wanted, "--selector", _selector(it), "--output=name", "--ignore-not-found", *scope
        ).split()
    return sorted(one for one in set(found) if not one.endswith(DEFINITIONS))


def _selector(it: Installation) -> str:
    return f"app.kubernetes.io/instance={it.release}"


def forget_definitions(it: Installation) -> None:
    """Delete the definitions of the kinds, and so all Tasks, Pipelines and Tools."""
    it.with_kubectl("delete", "customresourcedefinitions", *DEFINITIONS, "--ignore-not-found", "--timeout", it.timeout)
