"""Callers and namespaces: who somebody is, what was done, and how much may be made."""

from typing import Literal

from pydantic import Field

from ordinaut.access.caller import Authority
from ordinaut.shapes.base import Instant, Shape


class AuditEntry(Shape):
    """One line of the audit trail: a change, or something that was not allowed."""

    id: int
    at: Instant
    actor: str
    """Who, as authority and user: ``kubernetes:system:serviceaccount:team-a:agent``."""
    verb: str
    object: str
    """What it was about, as a path within the namespace: ``tasks/morning-briefing``."""
    decision: Literal["Allowed", "Denied"]
    request_id: str | None = None


class Counts(Shape):
    """Numbers of objects made through the API."""

    tasks: int
    pipelines: int
    tools: int
    hooks: int = 0


class Quota(Shape):
    """How many objects the API takes in a namespace, and how many there are."""

    limits: Counts
    used: Counts


class WhoAmI(Shape):
    """The caller as the API knows it."""

    id: str
    """What the audit trail says: authority and user."""
    authority: Authority
    user: str
    groups: list[str] = Field(default=[])
