"""
The processes of an installation: how many there are, how they are, and why those that are missing are missing.

Called by ``health.judge``; a pod's own reasons come first, since they name the cause, then those of Kubernetes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ordinaut_cli import times
from ordinaut_cli.cluster.facts import (
    POOL,
    Facts,
    Object,
    component_of,
    condition,
    holds,
    is_running,
    moment,
    name_of,
    process_of,
)
from ordinaut_cli.findings import Finding, bad, note

REQUIRED: Final = ("operator", "worker")
"""Without these nothing runs; an installation may do without the api."""

RECENTLY: Final = timedelta(hours=1)

_MARGIN: Final = timedelta(seconds=5)
"""Added to the duration of a Lease: clocks of nodes differ."""

_WAITS: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons of a container that has not been started, which pass by themselves."""

_CRASHES: Final = frozenset({"CrashLoopBackOff", "RunContainerError", "StartError"})

_DEFINITIONS: Final = "kubectl get crd tasks.ordinaut.io pipelines.ordinaut.io tools.ordinaut.io"


@dataclass(frozen=True, slots=True)
class Process:
    """One of the Deployments."""

    name: str
    ready: int
    desired: int
    images: tuple[str, ...]
    restarts: int
    detail: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name,
            "ready": self.ready,
            "desired": self.desired,
            "images": list(self.images),
            "restarts": self.restarts,
            **({"detail": self.detail} if self.detail else {}),
        }


def judge(facts: Facts) -> tuple[list[Process], list[Finding]]:
    """Return the processes and what is wrong with them."""
    shown: list[Process] = []
    found: list[Finding] = list(_migration(facts))
    for component in facts.components:
        deployment = facts.deployment(component)
        if deployment is not None:
            shown.append(_process(facts, component, deployment))
            found += _of_component(facts, component, deployment)
        elif component in REQUIRED:
            found.append(
                bad(f"there is no Deployment of the {component}", f"kubectl -n {facts.namespace} get deployments")
            )
    return shown, [*found, *_leader(facts)]


def _process(facts: Facts, component: str, deployment: Object) -> Process:
    status = deployment.get("status") or {}
    containers = deployment["spec"]["template"]["spec"]["containers"]
    own = [one["image"] for one in containers if one["name"] == process_of(deployment)]
    return Process(
        name=component,
        ready=int(status.get("readyReplicas") or 0),
        desired=_desired(deployment),
        images=tuple(tag_of(image) for image in own or [one["image"] for one in containers]),
        restarts=sum(int(one.get("restartCount") or 0) for pod in facts.pods(component) for one in _containers(pod)),
        detail=_DETAILS[process_of(deployment)](facts, component),
    )


def tag_of(image: str) -> str:
    """Return what tells versions of an image apart: its tag, or the start of its digest."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag or digest[:19] or name


def _desired(deployment: Object) -> int:
    replicas = deployment["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _operator_detail(facts: Facts, _component: str) -> str:
    spec = _lease(facts)
    if not spec or not spec.get("holderIdentity"):
        return ""
    since = moment(spec.get("acquireTime"))
    held = f" for {times.span((facts.now - since).total_seconds())}" if since else ""
    return f"leader {pod_of(spec['holderIdentity'])}{held}"


def _worker_detail(facts: Facts, component: str) -> str:
    samples = facts.samples(component)
    slots, busy = samples.sum("ordinaut_worker_slots"), samples.sum("ordinaut_worker_slots_busy")
    leaving = [name_of(pod) for pod in facts.all_pods(component) if pod["metadata"].get("deletionTimestamp")]
    told = [] if slots is None else [f"{busy or 0:.0f} of {slots:.0f} slots busy"]
    return "; ".join([*told, *(f"{name} ends" for name in leaving)])


def _api_detail(facts: Facts, component: str) -> str:
    slow = facts.samples(component).quantile("ordinaut_http_request_duration_seconds", 0.99)
    return "" if slow is None else f"99 % of requests within {times.measured(slow)}"


_DETAILS: Final = {"operator": _operator_detail, "worker": _worker_detail, "api": _api_detail}


def _containers(pod: Object) -> list[Any]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


# -- what is wrong -----------------------------------------------------------------------------------------------------


def _of_component(facts: Facts, component: str, deployment: Object) -> Iterator[Finding]:
    own = [*_lacks(facts, component), *(one for pod in facts.pods(component) for one in _of_pod(facts, pod))]
    yield from own
    yield from (one for pod in facts.pods(component) for one in _restarts(facts, pod))
    name, space = name_of(deployment), facts.namespace
    ready, desired = int((deployment.get("status") or {}).get("readyReplicas") or 0), _desired(deployment)
    if desired == 0:
        yield from _none_wanted(facts, component, name)
    elif ready < desired and not own:
        failure = condition(deployment, "ReplicaFailure") or {}
        why = f": {failure['message']}" if failure.get("message") else ""
        text = f"{component}: {ready} of {desired} ready{why}"
        yield bad(text, f"kubectl -n {space} describe deployment {name}")
    progress = condition(deployment, "Progressing") or {}
    if progress.get("reason") == "ProgressDeadlineExceeded":
        yield bad(f"{component}: the rollout is stuck", f"kubectl -n {space} rollout status deployment/{name}")


def _none_wanted(facts: Facts, component: str, name: str) -> Iterator[Finding]:
    is_worker = component == "worker" or component.startswith(POOL)
    if is_worker and facts.others.get("scaledobjects"):
        return  # there are none as long as nothing is to be done
    scale = f"kubectl -n {facts.namespace} scale deployment/{name} --replicas=2"
    if is_worker:
        said = "no worker: nothing runs" if component == "worker" else f"{component}: no worker of this pool"
        yield bad(said, scale)
    elif component == "operator":
        yield bad("no operator: nothing fires, and no lost run is taken back", scale)
    else:
        yield bad("no api: requests fail", scale)


def _lacks(facts: Facts, component: str) -> Iterator[Finding]:
    """Yield what the processes themselves lack, each need once for all pods that say the same."""
    said: dict[tuple[str, str], list[str]] = {}
    for one, pod, need, why in facts.reasons():
        if one == component:
            said.setdefault((need, why), []).append(pod)
    count = len(facts.pods(component))
    for (need, why), pods in said.items():
        where = component if count == 1 else f"{len(pods)} of {count} {component}s"
        yield bad(f"{where}: {need}: {why}", _helps(facts, need, pods[0]))


def _helps(facts: Facts, need: str, pod: str) -> str:
    if need in {"watch", "definitions"}:
        return _DEFINITIONS
    if need == "database" and facts.others.get("jobs"):
        return f"kubectl -n {facts.namespace} get jobs,pods"
    return f"kubectl -n {facts.namespace} logs {pod} --tail=20"


def _of_pod(facts: Facts, pod: Object) -> Iterator[Finding]:
    """Yield what Kubernetes says about a pod that does not run."""
    name, space = name_of(pod), facts.namespace
    describe = f"kubectl -n {space} describe pod {name}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        yield bad(f"{name} is on no node: {scheduled.get('message') or scheduled.get('reason')}", describe)
        return
    waits = [(one["state"].get("waiting") or {}) for one in _containers(pod) if one.get("state")]
    for waiting in waits:
        reason = waiting.get("reason")
        if reason in _CRASHES:
            yield bad(f"{name}: {reason}{_last_end(pod)}", f"kubectl -n {space} logs {name} --previous --tail=20")
            return
        if reason and reason not in _WAITS:
            yield bad(f"{name}: {reason}: {waiting.get('message', '')}".rstrip(": "), describe)
            return
    heard = facts.heard.get(name)
    if is_running(pod) and not holds(pod, "Ready") and (heard is None or heard.reasons is None):
        yield bad(f"{name} is not ready", describe)


def _last_end(pod: Object) -> str:
    ends = [one for one in (_terminated(status) for status in _containers(pod)) if one]
    return f": it ended with status {ends[-1].get('exitCode')} ({ends[-1].get('reason')})" if ends else ""


def _terminated(status: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (status.get("lastState") or {}).get("terminated") or {}
    return found


def _restarts(facts: Facts, pod: Object) -> Iterator[Finding]:
    """Yield that a process, which is there again, ended a short while ago."""
    for status in _containers(pod):
        ended = _terminated(status)
        at = moment(ended.get("finishedAt"))
        if at is None or facts.now - at > RECENTLY or (status.get("state") or {}).get("waiting"):
            continue
        ago = times.span((facts.now - at).total_seconds())
        text = f"{name_of(pod)} was started again {ago} ago: {ended.get('reason')}, status {ended.get('exitCode')}"
        yield note(text, f"kubectl -n {facts.namespace} logs {name_of(pod)} --previous --tail=20")


# -- the Lease and the migration ---------------------------------------------------------------------------------------


def pod_of(holder: str) -> str:
    """Return the pod that an operator's name in the Lease belongs to; a random part follows it."""
    return holder.rpartition("_")[0] or holder


def _lease(facts: Facts) -> Mapping[str, Any]:
    found = facts.others.get("leases") or ()
    spec: Mapping[str, Any] = found[0].get("spec") or {} if found else {}
    return spec


def _leader(facts: Facts) -> Iterator[Finding]:
    operators = [pod for pod in facts.pods("operator") if holds(pod, "Ready")]
    spec = _lease(facts)
    if not operators or any(missed.what == "lease" for missed in facts.unseen):
        return
    renewed, duration = moment(spec.get("renewTime")), timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0))
    if not spec.get("holderIdentity"):
        why = "nobody holds the Lease"
    elif renewed is None or facts.now - renewed > duration + _MARGIN:
        ago = f" {times.span((facts.now - renewed).total_seconds())} ago" if renewed else ""
        why = f"{pod_of(spec['holderIdentity'])} renewed the Lease last{ago}"
    else:
        return
    command = f"kubectl -n {facts.namespace} logs {name_of(operators[0])} --tail=20"
    yield bad(f"no operator leads, so nobody writes status: {why}", command)


def _migration(facts: Facts) -> Iterator[Finding]:
    """Yield that the latest migration failed, or still runs."""
    jobs = [job for job in facts.others.get("jobs", ()) if component_of(job) == "migrate"]
    if not jobs:
        return
    latest = max(jobs, key=lambda job: str(job["metadata"].get("creationTimestamp") or ""))
    command = f"kubectl -n {facts.namespace} logs job/{name_of(latest)} --tail=20"
    if holds(latest, "Failed"):
        why = (condition(latest, "Failed") or {}).get("message", "")
        yield bad(f"the migration of the database failed: {why}".rstrip(": "), command)
    elif not holds(latest, "Complete"):
        yield note("the migration of the database is not over", command)
