"""
Addresses of an API inside of a cluster: ``kubernetes://NAMESPACE/SERVICE[:PORT]``.

Such an address stands where the URL of an API may stand. ``forward`` opens the way to it; the short form
``kubernetes://`` means the one that is found by its labels.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ordinaut_cli.cluster import kubectl
from ordinaut_cli.cluster.kubectl import Access, KubectlError
from ordinaut_cli.errors import WRONG_INPUT, CommandError

SCHEME: Final = "kubernetes://"
ANY: Final = SCHEME
"""The address of the only API that there is in the cluster."""

DEFAULT_PORT: Final = "http"
SELECTOR: Final = "app.kubernetes.io/name=ordinaut,app.kubernetes.io/component=api,ordinaut.io/metrics!=true"
"""The Service for callers; the one that a ServiceMonitor scrapes has the same component."""

_NAME: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS: Final = re.compile(rf"({_NAME})/({_NAME})(?::({_NAME}))?/?")


@dataclass(frozen=True, slots=True)
class Address:
    """A Service, and the name or number of its port."""

    namespace: str
    service: str
    port: str = DEFAULT_PORT

    def __str__(self) -> str:
        port = "" if self.port == DEFAULT_PORT else f":{self.port}"
        return f"{SCHEME}{self.namespace}/{self.service}{port}"


def is_address(url: str) -> bool:
    """Whether a URL is an address inside of a cluster."""
    return url.startswith(SCHEME)


def parse(url: str) -> Address:
    """Return what a URL says, or end the command."""
    found = _ADDRESS.fullmatch(url.removeprefix(SCHEME))
    if found is None:
        raise CommandError(
            f"{url}: not the address of a Service; write {SCHEME}NAMESPACE/SERVICE, such as"
            f" {SCHEME}ordinaut/ordinaut-api",
            exit_code=WRONG_INPUT,
        )
    return Address(found[1], found[2], found[3] or DEFAULT_PORT)


def resolved(url: str, access: Access) -> Address:
    """Return the Service that a URL means; the short form is looked up by labels."""
    return parse(url) if url.rstrip("/") != ANY.rstrip("/") else discover(access)


def discover(access: Access) -> Address:
    """Return the only API in the cluster, or end the command and say what was found."""
    try:
        text = kubectl.ask(access, "get", "services", "--all-namespaces", f"--selector={SELECTOR}", "--output=json")
    except KubectlError as error:
        raise CommandError(
            *error.lines, f"say where the API is: --api {SCHEME}NAMESPACE/SERVICE, or --api URL"
        ) from None
    return chosen([_address(one) for one in orjson.loads(text)["items"]])


def chosen(found: list[Address]) -> Address:
    """Return the only one; ends the command if there are none, or several."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(
            f"no API of Ordinaut is in this cluster: no Service has the labels {SELECTOR}",
            f"say where it is: --api {SCHEME}NAMESPACE/SERVICE, or --api URL; or look with `kubectl ordinaut status`",
        )
    names = ", ".join(sorted(map(str, found)))
    raise CommandError(f"several APIs are in this cluster; name one with --api: {names}", exit_code=WRONG_INPUT)


def _address(service: dict[str, Any]) -> Address:
    ports = service["spec"].get("ports") or []
    port = next((one["name"] for one in ports if one.get("name") == DEFAULT_PORT), None)
    metadata = service["metadata"]
    return Address(metadata["namespace"], metadata["name"], port or str(ports[0]["port"] if ports else DEFAULT_PORT))
