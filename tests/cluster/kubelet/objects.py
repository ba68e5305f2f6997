"""
The API server as a node sees it: pods, what they refer to, and tokens.

A thin layer over `ControlPlane.call`, used by all parts of the stand-in; answers are plain dictionaries, as the API
server gives them.
"""

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx2

from tests.cluster.controlplane import ControlPlane

Object = dict[str, Any]


class NotThere(Exception):
    """A Secret or ConfigMap, or a key of it, that a pod needs."""


class Objects:
    """Reads and writes what a node may."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane

    # -- pods ----------------------------------------------------------------------------------------------------------

    def pods(self) -> list[Object]:
        """Return all pods there are."""
        return list(self._control_plane.call("GET", "/api/v1/pods?resourceVersion=0")["items"])

    def bind(self, pod: Object, *, node: str) -> None:
        """Give a pod to a node; nothing happens if it is gone or somebody else has it."""
        with _unless(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            target = {"apiVersion": "v1", "kind": "Node", "name": node}
            self._control_plane.call("POST", f"{_path(pod)}/binding", {"target": target, "metadata": _named(pod)})

    def write_status(self, pod: Object, status: Object) -> None:
        """Write what has become of a pod; nothing happens if it is gone."""
        with _unless(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
            path, content_type = f"{_path(pod)}/status", "application/merge-patch+json"
            self._control_plane.call("PATCH", path, body, content_type=content_type)

    def remove(self, pod: Object) -> None:
        """End the deletion of a pod whose processes have stopped."""
        with _unless(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            preconditions = {"uid": pod["metadata"]["uid"]}
            self._control_plane.call("DELETE", _path(pod), {"gracePeriodSeconds": 0, "preconditions": preconditions})

    # -- what pods refer to --------------------------------------------------------------------------------------------

    def entries(self, kind: str, *, namespace: str, name: str) -> dict[str, str]:
        """Return the entries of one of the `secrets` (still encoded) or `configmaps`; raises `NotThere`."""
        try:
            found = self._control_plane.call("GET", f"/api/v1/namespaces/{namespace}/{kind}/{name}")
        except httpx2.HTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            raise NotThere(f'{kind.removesuffix("s")} "{name}" not found') from error
        return dict(found.get("data") or {})

    def token(self, pod: Object, *, audience: str | None = None) -> str:
        """Return a token of a pod's service account that is good as long as the pod exists."""
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {"boundObjectRef": bound, "audiences": [audience] if audience else []}
        account = pod["spec"].get("serviceAccountName", "default")
        path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token"
        return str(self._control_plane.call("POST", path, {"spec": spec})["status"]["token"])

    # -- Services ------------------------------------------------------------------------------------------------------

    def service(self, *, namespace: str, name: str) -> Object | None:
        """Return a Service, None if there is none."""
        with _unless(HTTPStatus.NOT_FOUND):
            return dict(self._control_plane.call("GET", f"/api/v1/namespaces/{namespace}/services/{name}"))
        return None


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _named(pod: Object) -> Object:
    return {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}


@contextlib.contextmanager
def _unless(*expected: HTTPStatus) -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPStatusError as error:
        if error.response.status_code not in expected:
            raise
