"""
The environment of a container, from what its pod says: values, Secrets, ConfigMaps, fields of the pod, `$(VARIABLE)`.

`pods` asks for it before it starts a container. What a container needs and is not there raises `NotThere`, and the
container waits, as Kubernetes has it.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from tests.cluster.kubelet.objects import NotThere, Object, Objects

_REFERENCE: Final = re.compile(r"\$(\$|\(([-._a-zA-Z0-9]+)\))")
_KEYED: Final = re.compile(r"(metadata\.(?:labels|annotations))\['([^']+)'\]")


def environment(container: Object, *, pod: Object, address: str, objects: Objects) -> dict[str, str]:
    """Return the variables of a container in their order; raises `NotThere`."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= _all_of(source, pod=pod, objects=objects)
    for variable in container.get("env", ()):
        if "valueFrom" in variable:
            value = _from(variable["valueFrom"], pod=pod, address=address, objects=objects)
        else:
            value = expanded(variable.get("value", ""), found)
        if value is not None:
            found[variable["name"]] = value
    return found


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by a variable, if there is one; `$$` stands for a dollar."""

    def replacement(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else variables.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text)


def field(path: str, *, pod: Object, address: str) -> str:
    """Return a field of a pod as the downward API gives it."""
    if keyed := _KEYED.fullmatch(path):
        path, key = keyed.groups()
        return str(_at(pod, path).get(key, ""))
    known = {"status.podIP": address, "status.podIPs": address, "status.hostIP": "127.0.0.1"}
    return known[path] if path in known else str(_at(pod, path))


def decoded(entries: Mapping[str, str], *, kind: str) -> dict[str, bytes]:
    """Return entries as bytes: those of Secrets come in base64."""
    return {key: base64.b64decode(value) if kind == "secrets" else value.encode() for key, value in entries.items()}


def _all_of(source: Object, *, pod: Object, objects: Objects) -> dict[str, str]:
    kind = "secrets" if "secretRef" in source else "configmaps"
    reference = source["secretRef" if kind == "secrets" else "configMapRef"]
    try:
        entries = objects.entries(kind, namespace=pod["metadata"]["namespace"], name=reference["name"])
    except NotThere:
        if reference.get("optional"):
            return {}
        raise
    prefix = source.get("prefix", "")
    return {prefix + key: value.decode() for key, value in decoded(entries, kind=kind).items()}


def _from(source: Object, *, pod: Object, address: str, objects: Objects) -> str | None:
    if reference := source.get("fieldRef"):
        return field(reference["fieldPath"], pod=pod, address=address)
    kinds = {"secretKeyRef": "secrets", "configMapKeyRef": "configmaps"}
    (name,) = source
    kind, reference = kinds[name], source[name]
    try:
        entries = objects.entries(kind, namespace=pod["metadata"]["namespace"], name=reference["name"])
    except NotThere:
        if reference.get("optional"):
            return None
        raise
    if reference["key"] in entries:
        return decoded(entries, kind=kind)[reference["key"]].decode()
    if reference.get("optional"):
        return None
    raise NotThere(f'{kind.removesuffix("s")} "{reference["name"]}" has no key "{reference["key"]}"')


def _at(pod: Object, path: str) -> Any:
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, {})
    return value
