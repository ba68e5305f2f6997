"""
The files of a pod's volumes, in a directory of its own, since the paths that containers name belong to the machine.

`pods` writes them before it starts the containers, and passes `Mounts.rewritten` over what the containers are told: a
value that begins with a mount path leads to the files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.kubelet.environment import decoded, field
from tests.cluster.kubelet.objects import NotThere, Object, Objects

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where Kubernetes mounts the token of a container that shall have one."""


@dataclass(frozen=True)
class Mounts:
    """Where the paths that a container names are in truth."""

    paths: dict[str, Path]
    scratch: Path | None
    """What the container has as /tmp."""

    def rewritten(self, text: str) -> str:
        """Return a text with the path that it begins with replaced."""
        for mounted, path in self.paths.items():
            if text == mounted or text.startswith(f"{mounted}/"):
                return f"{path}{text.removeprefix(mounted)}"
        return text


def write(pod: Object, *, directory: Path, address: str, objects: Objects) -> dict[str, Path]:
    """Write all volumes of a pod and return their directories by name; raises `NotThere`."""
    written = {}
    token_mounts = _names_of_token_volumes(pod)
    for volume in pod["spec"].get("volumes", ()):
        if volume["name"] in token_mounts:
            continue  # told by a kubeconfig instead
        path = written[volume["name"]] = directory / volume["name"]
        path.mkdir(parents=True, exist_ok=True)
        for name, content in _files(volume, pod=pod, address=address, objects=objects):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return written


def mounts(container: Object, *, pod: Object, volumes: dict[str, Path]) -> Mounts:
    """Return where a container finds its volumes."""
    paths, scratch = {}, None
    empty = {volume["name"] for volume in pod["spec"].get("volumes", ()) if "emptyDir" in volume}
    for mount in container.get("volumeMounts", ()):
        if mount["name"] not in volumes:
            continue
        path = volumes[mount["name"]] / mount.get("subPath", "")
        if mount["name"] not in empty:
            paths[mount["mountPath"].rstrip("/")] = path
        elif mount["mountPath"] == "/tmp":
            # The machine's own: values that begin with it, such as a socket of the tests' PostgreSQL, mean that.
            scratch = path
    return Mounts(paths, scratch)


def has_token(container: Object) -> bool:
    """Whether a container is given the token of its service account."""
    return any(mount["mountPath"] == SERVICE_ACCOUNT for mount in container.get("volumeMounts", ()))


def _names_of_token_volumes(pod: Object) -> set[str]:
    containers = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
    all_mounts = [mount for container in containers for mount in container.get("volumeMounts", ())]
    return {mount["name"] for mount in all_mounts if mount["mountPath"] == SERVICE_ACCOUNT}


def _files(volume: Object, *, pod: Object, address: str, objects: Objects) -> Iterator[tuple[str, bytes]]:
    if "emptyDir" in volume:
        return
    sources = volume["projected"]["sources"] if "projected" in volume else [volume]
    readers: dict[str, Callable[[Object], Iterator[tuple[str, bytes]]]] = {
        "secret": lambda one: _entries("secrets", one, pod=pod, objects=objects),
        "configMap": lambda one: _entries("configmaps", one, pod=pod, objects=objects),
        "downwardAPI": lambda one: _fields(one, pod=pod, address=address),
        "serviceAccountToken": lambda one: iter(
            [(one["path"], objects.token(pod, audience=one.get("audience")).encode())]
        ),
    }
    for source in sources:
        (kind,) = source.keys() - {"name"}
        yield from readers[kind](source[kind])


def _entries(kind: str, source: Object, *, pod: Object, objects: Objects) -> Iterator[tuple[str, bytes]]:
    name = source.get("secretName") or source["name"]
    try:
        entries = decoded(objects.entries(kind, namespace=pod["metadata"]["namespace"], name=name), kind=kind)
    except NotThere:
        if source.get("optional"):
            return
        raise
    items = source.get("items") or [{"key": key, "path": key} for key in entries]
    for item in items:
        if item["key"] not in entries:
            raise NotThere(f'{kind.removesuffix("s")} "{name}" has no key "{item["key"]}"')
        yield item["path"], entries[item["key"]]


def _fields(source: Object, *, pod: Object, address: str) -> Iterator[tuple[str, bytes]]:
    for item in source["items"]:
        yield item["path"], field(item["fieldRef"]["fieldPath"], pod=pod, address=address).encode()
