"""
Finds the installations in a cluster and gathers what is known of each, as much of it as the caller may see.

``status`` and ``report`` call it with an :class:`~ordinaut_cli.cluster.apiserver.ApiServer`; out come
:class:`~ordinaut_cli.cluster.facts.Facts`. Everything is asked at once: the answer should be there in a second or two.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from ordinaut_cli.cluster.apiserver import ApiServer, NotAllowed, NotThere, Object, Unseen
from ordinaut_cli.cluster.facts import (
    COMPONENTS,
    DEFINITIONS,
    INSTANCE_LABEL,
    NAME,
    Facts,
    Heard,
    Missed,
    Trouble,
    component_of,
    is_running,
    labels_of,
    name_of,
    port_of,
    process_of,
    variable,
    watched,
)
from ordinaut_cli.cluster.samples import Samples
from ordinaut_cli.errors import CANNOT_TELL, CommandError

POD_WITHIN: Final = 2.0
"""Seconds for a process to answer; one that does not is told of."""

KINDS: Final = {
    "pods": "/api/v1",
    "jobs": "/apis/batch/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "scaledobjects": "/apis/keda.sh/v1alpha1",
    "podmonitors": "/apis/monitoring.coreos.com/v1",
    "servicemonitors": "/apis/monitoring.coreos.com/v1",
    "prometheusrules": "/apis/monitoring.coreos.com/v1",
}
"""What tells how an installation is, by its labels, and where the API server has it."""

DEFAULT_LEASE: Final = "ordinaut-operator"
MAX_TROUBLES: Final = 5
_SCANNED: Final = 500
"""Tasks that are looked through for those that are not ready; there may be a hundred thousand."""

_RESOURCES: Final = "/apis/ordinaut.io/v1alpha1"


@dataclass(frozen=True, slots=True)
class Found:
    """An installation, by its Deployments."""

    namespace: str
    instance: str
    deployments: Sequence[Object]


async def find(api: ApiServer, *, namespace: str | None, at_home: Callable[[], str]) -> list[Found]:
    """
    Return the installations in a namespace, or in all of them.

    Who may not look everywhere may be allowed to look where they work: ``at_home`` says where that is. Raises
    `CommandError` with status 2 if nothing may be seen, or nothing is there.
    """
    try:
        try:
            deployments = await _deployments(api, namespace)
        except NotAllowed:
            namespace = namespace or at_home()
            deployments = await _deployments(api, namespace)
    except NotAllowed as error:
        raise CommandError(
            f"cannot look for the installation: {error}",
            "name its namespace with -n if you may list deployments there; docs/plugin.md tells what rights it takes",
            exit_code=CANNOT_TELL,
        ) from None
    except Unseen as error:
        raise CommandError(f"cannot ask the API server: {error}", exit_code=CANNOT_TELL) from None
    if found := grouped(deployments):
        return found
    where = f"namespace {namespace}" if namespace else "this cluster"
    raise CommandError(
        f"no installation of Ordinaut is in {where}: no Deployment has the label {NAME}",
        "name its namespace with -n, or another cluster with --context",
        exit_code=CANNOT_TELL,
    )


async def _deployments(api: ApiServer, namespace: str | None) -> list[dict[str, Any]]:
    return await api.items(_path("/apis/apps/v1", "deployments", namespace), labelSelector=NAME)


def grouped(deployments: Iterable[Object]) -> list[Found]:
    """Return the installations that Deployments make up, in the order of their names. Pure."""
    groups: dict[tuple[str, str], list[Object]] = {}
    for one in deployments:
        if process_of(one) in COMPONENTS:  # not the stores of a trial
            key = (str(one["metadata"]["namespace"]), labels_of(one).get(INSTANCE_LABEL, ""))
            groups.setdefault(key, []).append(one)
    return [Found(*key, found) for key, found in sorted(groups.items())]


class _Sight:
    """What the caller may see: asks, and remembers what could not be seen."""

    def __init__(self) -> None:
        self.missed: list[Missed] = []

    async def one(self, what: str, work: Awaitable[Any]) -> Any:
        """Return what was asked for, None if it could not be seen or is not there."""
        try:
            return await work
        except NotThere:
            return None
        except Unseen as error:
            self.missed.append(Missed(what, str(error)))
            return None

    async def all(self, wanted: Mapping[str, Awaitable[Any]]) -> dict[str, Any]:
        """Return those of several things that could be seen, by their names; asks for all at once."""
        answers = await asyncio.gather(*(self.one(what, work) for what, work in wanted.items()))
        return {what: answer for what, answer in zip(wanted, answers, strict=True) if answer is not None}


async def gather(api: ApiServer, found: Found) -> Facts:
    """Return all that may be seen of an installation."""
    sight, space = _Sight(), found.namespace
    selector = NAME + (f",{INSTANCE_LABEL}={found.instance}" if found.instance else "")
    operator = next((one for one in found.deployments if component_of(one) == "operator"), None)
    lease = variable(operator, "ORDINAUT_LEASE_NAME") or DEFAULT_LEASE
    served = await api.served(KINDS)
    seen = await sight.all(
        {
            **{kind: api.items(_path(base, kind, space), labelSelector=selector) for kind, base in served.items()},
            **{_crd(plural): api.get(_definition(plural)) for plural in DEFINITIONS},
            "lease": api.get(f"{_path('/apis/coordination.k8s.io/v1', 'leases', space)}/{lease}"),
        }
    )
    others = {kind: seen[kind] for kind in served if kind in seen}
    if not any(one.what == _crd(plural) for one in sight.missed for plural in DEFINITIONS):
        others["customresourcedefinitions"] = [seen[_crd(one)] for one in DEFINITIONS if _crd(one) in seen]
    if "lease" in seen:
        others["leases"] = [seen["lease"]]
    heard = await _hear(api, others.get("pods", ()), namespace=space, missed=sight.missed)
    return Facts(
        namespace=space,
        instance=found.instance,
        deployments=found.deployments,
        now=api.now,
        others=others,
        heard=heard,
        troubles=await sight.one("tasks that are not ready", _troubles(api, heard, watched(operator))) or [],
        unseen=sorted(sight.missed),
    )


def _crd(plural: str) -> str:
    return f"definition of {plural}"


def _path(base: str, plural: str, namespace: str | None) -> str:
    return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"


def _definition(plural: str) -> str:
    return f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.ordinaut.io"


async def _hear(api: ApiServer, pods: Iterable[Object], *, namespace: str, missed: list[Missed]) -> dict[str, Heard]:
    """Ask the process in each pod how it is; that nobody may ask is told once."""
    running = [pod for pod in pods if is_running(pod) and process_of(pod) in COMPONENTS]

    async def ask(pod: Object) -> tuple[str, Heard, Unseen | None]:
        name, port = name_of(pod), port_of(pod)
        try:
            (status, readiness), (_, text) = await asyncio.gather(
                api.of_pod(namespace, name, port, "readyz", within=POD_WITHIN),
                api.of_pod(namespace, name, port, "metrics", within=POD_WITHIN),
            )
            return name, Heard(_reasons(status, readiness), Samples.parse(text), text), None
        except Unseen as error:
            return name, Heard(), error
        except (ValueError, KeyError, TypeError) as error:
            return name, Heard(), Unseen(f"it does not answer like a process of Ordinaut: {error}")

    heard: dict[str, Heard] = {}
    denied = False
    for name, one, error in await asyncio.gather(*map(ask, running)):
        heard[name] = one
        if isinstance(error, NotAllowed):
            if not denied:
                missed.append(Missed("readiness and metrics of the processes", str(error)))
            denied = True
        elif error is not None:
            missed.append(Missed(f"readiness and metrics of {name}", str(error)))
    return heard


def _reasons(status: int, text: str) -> dict[str, str]:
    """Return why a process is not ready, by need."""
    body = orjson.loads(text)
    if status == HTTPStatus.OK:
        return {}
    return {str(need): str(why) for need, why in dict(body["reasons"]).items()}


async def _troubles(api: ApiServer, heard: dict[str, Heard], namespaces: Sequence[str]) -> list[Trouble]:
    """Return some of the Tasks that are not ready; none where there are many and the operator counts none."""
    samples = Samples.joined(one.samples for one in heard.values() if one.samples)
    counted = samples.max("ordinaut_tasks", state="not_ready")
    if counted == 0 and (samples.sum("ordinaut_tasks") or 0) > _SCANNED:
        return []  # what is counted is up to a minute old; where there are few, a look is cheap
    lists = await asyncio.gather(
        *(api.items(path, limit=str(_SCANNED)) for path in resource_paths("tasks", namespaces))
    )
    return [one for tasks in lists for one in troubles(tasks)][:MAX_TROUBLES]


def resource_paths(plural: str, namespaces: Sequence[str]) -> list[str]:
    """Return where our resources are, in the watched namespaces or in all of them."""
    return [_path(_RESOURCES, plural, one) for one in namespaces] or [_path(_RESOURCES, plural, None)]


def troubles(tasks: Iterable[Object]) -> Iterable[Trouble]:
    """Yield the Tasks that are not ready. Pure."""
    for task in tasks:
        for one in (task.get("status") or {}).get("conditions") or ():
            if one["type"] == "Ready" and one["status"] == "False":
                yield Trouble(task["metadata"]["namespace"], name_of(task), one["reason"], one.get("message", ""))
