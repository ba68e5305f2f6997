"""
What users of a cluster do: make namespaces, apply Tools, Pipelines and Tasks, and read what has become of them.

Every test has a namespace of its own for them, and takes its objects away at its end: the CRDs stay when a release
goes, and with them whatever the next release would find.
"""

import json
from collections.abc import Sequence
from typing import Any

from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import condition
from tests.declaring import manifest


class Users:
    """The users of one namespace."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self.namespace = namespace
        self._control_plane = control_plane

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply manifests."""
        items = [{**one, "metadata": {**one["metadata"], "namespace": self.namespace}} for one in documents]
        self.kubectl("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self._control_plane.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin).stdout

    def object(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object."""
        path = f"/apis/ordinaut.io/v1alpha1/namespaces/{self.namespace}/{kind.lower()}s/{name}"
        return dict(self._control_plane.call("GET", path))

    def ready(self, kind: str, name: str) -> bool:
        """Whether the operator says that an object can be used."""
        return condition(self.object(kind, name).get("status", {}), "Ready") == ("True", "Resolved")

    def suspend(self, *tasks: str) -> None:
        """Stop tasks from firing."""
        for name in tasks:
            self.kubectl("patch", "task", name, "--type=merge", '--patch={"spec": {"suspend": true}}')

    def clear(self) -> None:
        """Delete all that was applied."""
        if "tasks.ordinaut.io" in self._control_plane.kubectl("get", "crd", "--output=name").stdout:
            self.kubectl("delete", "tasks,pipelines,tools,hooks", "--all", "--wait=false")


def working(steps: Sequence[str], *, tools: str, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Return Tools, a Pipeline that calls them one after another, and Tasks that run it every ten seconds."""
    # Longer than helm takes on a busy machine for what a test does while a tool holds a call up.
    patient = {"timeout": "2m"}
    pipeline = {"steps": [{"id": step, "uses": step, "with": {"step": step}} for step in steps]}
    return [
        *(manifest("Tool", step, {"http": {"url": f"{tools}/{step}"}, **patient}) for step in steps),
        manifest("Pipeline", "work", pipeline),
        *(
            manifest(
                "Task",
                name,
                {
                    "schedules": [{"cron": f"{second}/10 * * * * *"}],
                    "pipelineRef": {"name": "work"},
                    "catchUp": {"policy": "All"},
                },
            )
            for second, name in enumerate(tasks)
        ),
    ]
