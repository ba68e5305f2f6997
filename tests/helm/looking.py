"""Looks into what was rendered, for the tests of the core: the pod of a component, and its variables."""

import copy
from collections.abc import Callable
from typing import Any

from tests.helm.rendering import Object, pod_templates

DATABASE = {"database": {"existingSecret": "db"}}
TOKENS = {"modes": ["tokens"], "accessFile": {"existingSecret": "access"}}
"""Identities that need nothing of the cluster."""

COMPONENTS = ("operator", "worker", "api")
CLUSTERWIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}

Render = Callable[..., list[Object]]
Values = dict[str, Any]


def given(**values: Any) -> Values:
    return copy.deepcopy(DATABASE) | values


def pod(objects: list[Object], name: str) -> Object:
    """Return the pod spec of a Deployment, Job or bare pod by the component it belongs to."""
    found = [
        template["spec"]
        for _, template in pod_templates(objects)
        if template["metadata"]["labels"]["app.kubernetes.io/component"] == name
    ]
    assert len(found) == 1
    return found[0]


def variables(spec: Object) -> dict[str, Any]:
    """Return the variables of a pod's first container: a text, or where it comes from."""
    listed = spec["containers"][0]["env"]
    names = [one["name"] for one in listed]
    assert len(names) == len(set(names)), f"twice the same variable: {names}"
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in listed}


def assert_told(message: str, *, reason: str, remedy: str) -> None:
    """Make sure that a refusal has a line with this reason, and what to write instead."""
    line = next((line for line in message.splitlines() if reason in line), None)
    assert line is not None, message
    assert remedy in line.partition("; write ")[2]
