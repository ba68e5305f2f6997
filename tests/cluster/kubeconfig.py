"""Writes kubeconfig files: how kubectl, kopf and every other client find a control plane and prove who they are."""

import json
from collections.abc import Mapping
from pathlib import Path


def write_kubeconfig(
    path: Path, *, url: str, authority: Path, user: Mapping[str, str], namespace: str = "default"
) -> Path:
    """Write a kubeconfig for `user`: a `token`, or the files `client-certificate` and `client-key`."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "test", "user": dict(user)}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "current-context": "test",
    }
    half = path.with_name(f"{path.name}.half")  # who waits for the file finds all of it
    half.write_text(json.dumps(config, indent=1))
    return half.replace(path)
