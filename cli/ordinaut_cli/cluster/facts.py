"""
What is known of an installation: the objects of its namespace, and what its processes say about themselves.

``installation`` gathers it, ``health`` judges it, ``report`` writes it down. Whatever could not be read is in
``unseen``, with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from ordinaut_cli.cluster.samples import Samples

Object = Mapping[str, Any]

NAME: Final = "app.kubernetes.io/name=ordinaut"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
COMPONENTS: Final = ("operator", "worker", "api")
POOL: Final = "worker-"
"""What the component of a further Deployment of workers begins with."""
"""The processes, in the order in which they are shown."""

DEFINITIONS: Final = ("tasks", "pipelines", "tools", "hooks")

_PROBE_PORT: Final = 9090


@dataclass(frozen=True, slots=True)
class Heard:
    """What the process in one pod says: why it is not ready by need, or None where nobody answered; its metrics."""

    reasons: Mapping[str, str] | None = None
    samples: Samples | None = None
    text: str = ""
    """The metrics as they were read."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A Task that is not ready."""

    namespace: str
    name: str
    reason: str
    message: str


class Missed(NamedTuple):
    """Something that could not be seen, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Facts:
    """An installation."""

    namespace: str
    instance: str
    deployments: Sequence[Object]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    others: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    """Objects of other kinds, by the plural that the API server has for them; a kind that was not seen is missing."""
    heard: Mapping[str, Heard] = field(default_factory=dict)
    """By the names of pods."""
    troubles: Sequence[Trouble] = ()
    unseen: Sequence["Missed"] = ()

    @property
    def components(self) -> tuple[str, ...]:
        """All components: the usual ones, and pools of workers behind the workers."""
        pools = sorted(one for item in self.deployments if (one := component_of(item)).startswith(POOL))
        return ("operator", "worker", *pools, "api")

    def deployment(self, component: str) -> Object | None:
        """Return the Deployment of a component."""
        return next((one for one in self.deployments if component_of(one) == component), None)

    def pods(self, component: str) -> list[Object]:
        """Return the pods of a component that are not on their way out."""
        return [pod for pod in self.all_pods(component) if not pod["metadata"].get("deletionTimestamp")]

    def all_pods(self, component: str) -> list[Object]:
        """Return the pods of a component."""
        return [pod for pod in self.others.get("pods", ()) if component_of(pod) == component]

    def samples(self, component: str | None = None) -> Samples:
        """Return what the processes of a component measure, or of all."""
        names = {name_of(pod) for one in ([component] if component else self.components) for pod in self.all_pods(one)}
        return Samples.joined(
            heard.samples for name, heard in self.heard.items() if name in names and heard.samples is not None
        )

    def reasons(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield component, pod, need and why of everything that a process lacks."""
        for component in self.components:
            for pod in self.pods(component):
                heard = self.heard.get(name_of(pod))
                for need, why in (heard.reasons or {}).items() if heard else ():
                    yield component, name_of(pod), need, why


def name_of(item: Object) -> str:
    """Return the name of an object."""
    return str(item["metadata"]["name"])


def labels_of(item: Object) -> Mapping[str, str]:
    """Return the labels of an object."""
    labels: Mapping[str, str] = item["metadata"].get("labels") or {}
    return labels


def component_of(item: Object) -> str:
    """Return which component an object belongs to."""
    return labels_of(item).get(COMPONENT_LABEL, "")


def process_of(item: Object) -> str:
    """Return which process runs in an object: its component, or worker in a pool of them."""
    component = component_of(item)
    return "worker" if component.startswith(POOL) else component


def variable(deployment: Object | None, name: str) -> str | None:
    """Return the value of a variable that a Deployment's containers are given literally."""
    containers = deployment["spec"]["template"]["spec"]["containers"] if deployment else ()
    given = (one for container in containers for one in container.get("env") or ())
    return next((one["value"] for one in given if one["name"] == name and one.get("value")), None)


def watched(operator: Object | None) -> list[str]:
    """Return the namespaces that the operator watches; empty are all."""
    try:
        return [str(one) for one in orjson.loads(variable(operator, "ORDINAUT_WATCH_NAMESPACES") or "[]")]
    except (orjson.JSONDecodeError, TypeError):
        return []


def port_of(pod: Object) -> int:
    """Return the port on which the process in a pod serves probes and metrics."""
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports") or ())
    return next((int(port["containerPort"]) for port in ports if port.get("name") == "probes"), _PROBE_PORT)


def is_running(pod: Object) -> bool:
    """Whether the containers of a pod have been started."""
    return (pod.get("status") or {}).get("phase") == "Running"


def condition(item: Object, kind: str) -> Object | None:
    """Return a condition of an object."""
    found = (item.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == kind), None)


def holds(item: Object, kind: str) -> bool:
    """Whether a condition of an object is true."""
    found = condition(item, kind)
    return found is not None and found["status"] == "True"


def moment(text: str | None) -> datetime | None:
    """Read a time of Kubernetes."""
    return None if not text else datetime.fromisoformat(text)
