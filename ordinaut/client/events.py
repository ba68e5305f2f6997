"""Events: publishing them, and reading what happened lately."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ordinaut.client.connection import Call
from ordinaut.client.declared import Namespaced, given, keyed

if TYPE_CHECKING:
    from ordinaut import shapes


class Events(Namespaced):
    """The events of a namespace."""

    async def publish(
        self,
        type_: str,
        data: Any = None,
        *,
        subject: str | None = None,
        source: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Publish an event; once it is accepted it is on disk, and will be delivered. Returns its id."""
        event = given(type=type_, data=data, subject=subject, source=source)
        return (await self.publish_many([event], idempotency_key=idempotency_key))[0]

    async def publish_many(
        self, events: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> Sequence[str]:
        """Publish up to 100 events, all of them or none; returns their ids in the same order."""
        call = Call("POST", self._path("events"), body={"items": list(events)}, headers=keyed(idempotency_key))
        ids: list[str] = (await self._connection.ask(call))["ids"]
        return ids

    def list(self, *, type_: str | None = None, limit: int | None = None) -> AsyncIterator["shapes.CloudEvent"]:
        """Yield the events of the last days, newest first."""
        return self._pages("CloudEvent", self._path("events"), limit=limit, type=type_)


class Audit(Namespaced):
    """The audit trail of a namespace."""

    def list(
        self,
        *,
        actor: str | None = None,
        verb: str | None = None,
        decision: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator["shapes.AuditEntry"]:
        """Yield changes and denials, newest first."""
        return self._pages("AuditEntry", self._path("audit"), limit=limit, actor=actor, verb=verb, decision=decision)
