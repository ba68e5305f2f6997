"""
Thousands of custom resources in seconds, where posting each of them would take minutes.

They are written into etcd beside the first one, which the API server made: the same JSON with other names and specs.
The API server learns of them as of what another replica of it has written, and its clients can't tell the difference.
"""

import base64
import json
import uuid
from collections.abc import Iterable
from typing import Any

import httpx2

from ordinaut_operator.kube import path_of
from tests.cluster.controlplane import ControlPlane
from tests.running import until

_AT_ONCE = 100
"""Objects in one transaction of etcd, which takes 128."""


def create(control_plane: ControlPlane, namespace: str, manifests: Iterable[dict[str, Any]]) -> None:
    """Make objects of one kind and return when the API server knows all of them."""
    first, *others = manifests
    collection = path_of(first["kind"], namespace=namespace)
    control_plane.call("POST", collection, first)
    folder = f"/registry/ordinaut.io/{collection.rpartition('/')[2]}/{namespace}"
    with httpx2.Client(base_url=control_plane.etcd_url, trust_env=False, timeout=60) as etcd:
        (made,) = _ask(etcd, "range", {"key": _encoded(f"{folder}/{first['metadata']['name']}")})["kvs"]
        template = json.loads(base64.b64decode(made["value"]))
        for begin in range(0, len(others), _AT_ONCE):
            batch = others[begin : begin + _AT_ONCE]
            puts = [_put(f"{folder}/{one['metadata']['name']}", _like(template, one)) for one in batch]
            _ask(etcd, "txn", {"success": puts})

    def missing() -> int:
        page = control_plane.call("GET", f"{collection}?limit=1")["metadata"]
        return len(others) - int(page.get("remainingItemCount", 0))

    until(lambda: not missing(), what=lambda: f"{missing()} more of {folder}")


def _like(template: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = template["metadata"] | {"name": manifest["metadata"]["name"], "uid": str(uuid.uuid4())}
    return template | {"metadata": metadata, "spec": manifest["spec"]}


def _put(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"requestPut": {"key": _encoded(key), "value": _encoded(json.dumps(value))}}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _ask(etcd: httpx2.Client, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = etcd.post(f"/v3/kv/{verb}", json=body).raise_for_status().json()
    return answer
