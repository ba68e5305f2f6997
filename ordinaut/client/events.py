"""Events: publishing them, and reading what happened lately."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ordinaut.client.connection import Call
from ordinaut.client.declared import Namespaced, given, keyed
from ordinaut.client.following import GAP, follow
from ordinaut.client.tasks import moment

if TYPE_CHECKING:
    from ordinaut import shapes

_BATCH: Final = "application/cloudevents-batch+json"


class Events(Namespaced):
    """The events of a namespace."""

    async def publish(
        self,
        type_: str,
        data: Any = None,
        *,
        subject: str | None = None,
        source: str | None = None,
        id_: str | None = None,
        time: datetime | str | None = None,
        run: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """
        Publish an event; once it is accepted it is on disk, and will be delivered.

        Args:
            type_: what happened, such as `mail.received`.
            data: more about it, as JSON.
            subject: what it happened to.
            source: where it happened, as a URI or a path; by default the caller.
            id_: tells it from all others of its source: one that is sent again with it triggers no task again.
            time: when it happened; by default now.
            run: the run that caused it, which tools know from the Idempotency-Key of their calls.
            idempotency_key: of the request.

        Returns the id that Ordinaut gives it, which is that of the CloudEvent too unless it has one of its own.
        """
        event = given(type=type_, data=data, subject=subject, source=source, id=id_, time=moment(time), ordinautrun=run)
        return (await self.publish_many([event], idempotency_key=idempotency_key))[0]

    async def publish_many(
        self, events: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> Sequence[str]:
        """
        Publish up to 100 events, all of them or none; returns the ids that Ordinaut gives them, in the same order.

        They are objects as the API takes them, or CloudEvents, with a `specversion`; not both in one call.
        """
        wanted = list(events)
        as_cloudevents = any("specversion" in event for event in wanted)
        call = Call(
            "POST",
            self._path("events"),
            body=wanted if as_cloudevents else {"items": wanted},
            media_type=_BATCH if as_cloudevents else "application/json",
            headers=keyed(idempotency_key),
        )
        ids: list[str] = (await self._connection.ask(call))["ids"]
        return ids

    def list(
        self,
        *,
        type_: str | None = None,
        topic: str | Sequence[str] | None = None,
        subject: str | None = None,
        task: str | None = None,
        run: str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator["shapes.CloudEvent"]:
        """
        Yield the events of the last days, newest first.

        ``topic`` is a pattern of types, or several: `mail.*` is one more word, `mail.>` the rest. ``subject`` is what
        an event is about, or a part of its path from the left.
        """
        return self._pages(
            "CloudEvent",
            self._path("events"),
            limit=limit,
            type=type_,
            topic=_several(topic),
            subject=subject,
            task=task,
            run=run,
            createdAfter=moment(created_after),
            createdBefore=moment(created_before),
        )

    async def follow(
        self,
        *,
        type_: str | None = None,
        topic: str | Sequence[str] | None = None,
        subject: str | None = None,
        task: str | None = None,
        run: str | None = None,
        after: str | None = None,
        since: datetime | str | None = None,
        patience: float | None = None,
    ) -> AsyncIterator["Followed"]:
        """
        Yield events as they happen, each once and in the order of the log, for ever.

        Args:
            type_, topic, subject, task, run: which ones, as for :meth:`list`.
            after: the ``id`` of what was yielded last before: goes on behind it. "0": begins with the oldest event.
            since: begins with what was written from about this time on. Without either: from now on.
            patience: seconds for which the API may be away; None: as often as ``retries`` of the client allow.
        """
        query = {
            "type": type_,
            "topic": _several(topic),
            "subject": subject,
            "task": task,
            "run": run,
            "after": after,
            "since": moment(since),
        }
        call = Call("GET", self._path("events", "stream"), query)
        async with aclosing(follow(self._connection, call, what="events", patience=patience)) as messages:
            async for event in messages:
                found = None if event.name == GAP else self._read("CloudEvent", event.data)
                yield Followed(event.id or "", found)


@dataclass(frozen=True, slots=True)
class Followed:
    """
    An event of a stream. Whoever remembers its ``id`` can go on behind it, on any day on which the log is kept.

    Without an event it says that some are missing before it, since they are not kept any more.
    """

    id: str
    event: "shapes.CloudEvent | None"


def _several(topic: str | Sequence[str] | None) -> Sequence[str] | None:
    return [topic] if isinstance(topic, str) else topic


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
