"""
What the service accounts of a control plane asked the API server for, and what it refused.

`ControlPlane(audited=True)` has the API server write it; tests that compare the rights of a process with their use read
it through `Trail`. Requests of Kubernetes' own controllers are left out.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}
_LOG = "audit.log"


@dataclass(frozen=True, order=True)
class Request:
    """A request for a resource (with its part, as `tasks/status`); `namespace` is empty where it has none."""

    group: str
    resource: str
    verb: str
    namespace: str = ""


@dataclass(frozen=True)
class Asked:
    """A request with the account that made it and whether it was let through."""

    account: str
    request: Request
    allowed: bool


def options(directory: Path) -> list[str]:
    """Return the options that have an API server write its trail in a directory."""
    policy = directory / "audit-policy.json"
    policy.write_text(json.dumps(_POLICY))
    return [f"--audit-policy-file={policy}", f"--audit-log-path={directory / _LOG}", "--audit-log-mode=blocking"]


class Trail:
    """The trail from a moment on: what was written before it was made does not count."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _LOG
        self._from = self._path.stat().st_size if self._path.exists() else 0

    def of(self, account: str, *, namespace: str) -> list[Asked]:
        """Return what a service account has asked for, as far as it is about resources."""
        user = f"system:serviceaccount:{namespace}:{account}"
        return [asked for name, asked in self._read(account) if name == user]

    def _read(self, account: str) -> Iterator[tuple[str, Asked]]:
        with self._path.open("rb") as file:
            file.seek(self._from)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written
                event = json.loads(line)
                if (about := event.get("objectRef")) and "responseStatus" in event:
                    resource = "/".join(one for one in (about["resource"], about.get("subresource")) if one)
                    request = Request(about.get("apiGroup", ""), resource, event["verb"], about.get("namespace", ""))
                    code = event["responseStatus"].get("code")
                    yield event["user"]["username"], Asked(account, request, code != HTTPStatus.FORBIDDEN)
