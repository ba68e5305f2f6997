"""
The rights that exist, and the roles that bundle them.

A right is what Kubernetes calls one: a verb on a resource of the group ``ordinaut.io``. Some of these resources exist
only as rights: runs, events, and verbs such as ``tasks/run``. The api names the right of each of its routes, a
SubjectAccessReview asks for it, and the roles are given in Kubernetes as ClusterRoles (``rbac/``, made by
``clusterroles``) and elsewhere by name in the access file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DECLARED: Final = ("tasks", "pipelines", "tools", "hooks")
"""What manifests declare."""

TASK_VERBS: Final = ("pause", "resume", "run", "snooze")
RUN_VERBS: Final = ("cancel", "retry", "unpark")


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A verb on a resource; a sub-resource stands behind a slash, as in ``tasks/run``."""

    verb: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    @property
    def deed(self) -> str:
        """What using it does, in one word: the verb, or the sub-resource, as ``run`` of ``tasks/run``."""
        return self.resource.partition("/")[2] or self.verb


class Role(StrEnum):
    """The roles, from the one that sees to the one that may do everything."""

    VIEWER = "viewer"
    """Sees tasks, pipelines, tools, hooks, runs, events and workers."""
    EDITOR = "editor"
    """Also declares, runs, pauses, cancels, retries, unparks and publishes."""
    APPROVER = "approver"
    """Sees runs and answers their approvals; an editor can't, so that an agent does not approve its own work."""
    ADMIN = "admin"
    """May do everything, and reads the audit trail."""


def _rights(verbs: tuple[str, ...], *resources: str) -> frozenset[Right]:
    return frozenset(Right(verb, resource) for verb in verbs for resource in resources)


_SEE: Final = (
    _rights(("get", "list"), *DECLARED, "runs", "events") | _rights(("get",), "quotas") | _rights(("list",), "workers")
)
_EDIT: Final = _rights(("create", "update", "patch", "delete"), *DECLARED) | _rights(
    ("create",), *(f"tasks/{verb}" for verb in TASK_VERBS), *(f"runs/{verb}" for verb in RUN_VERBS), "events"
)
_APPROVE: Final = _rights(("get", "list"), "runs") | _rights(("create",), "runs/approve")

ROLES: Final[Mapping[Role, frozenset[Right]]] = {
    Role.VIEWER: _SEE,
    Role.EDITOR: _SEE | _EDIT,
    Role.APPROVER: _APPROVE,
    Role.ADMIN: _SEE | _EDIT | _APPROVE | _rights(("list",), "audit"),
}

RUN_TASK: Final = Right("create", "tasks/run")
"""What the creator of a task must still hold when its time comes."""
