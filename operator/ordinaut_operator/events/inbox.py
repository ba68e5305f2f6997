"""
Publishing what stands in the inbox, for those who have Redis at hand and not the API.

Every operator reads the inbox, and Redis gives each entry to one of them. Entries are judged one by one (:func:`judge`,
pure), what is an event is published in one transaction, as the API does, and only then settled. So a crash in between
publishes an entry twice and never not at all; both times with the same source and id, by which readers and triggers
know that it is the same event.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

import orjson
import psycopg
import redis
from redis.asyncio import Redis

from ordinaut import metrics
from ordinaut.access.caller import Authority, Caller
from ordinaut.computing import compute
from ordinaut.declaration import publishing
from ordinaut.errors import FieldError, Invalid, Mistake
from ordinaut.events import cloudevents, inbox
from ordinaut.events.attributes import mistakes
from ordinaut.events.connection import explained
from ordinaut.events.envelope import NewEvent
from ordinaut.events.inbox import ClosedError, InboxEntry
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.resources.scalars import is_name
from ordinaut.store.pool import Pool
from ordinaut_operator.supervision import Backoff, is_away, is_cancelled

BATCH: Final = 200
"""Entries published in one transaction."""

WAIT: Final = 1.0
"""Seconds that one look at an empty inbox lasts."""

FORGET_EVERY: Final = 600.0
"""Seconds between looks for readers that are gone."""

MAX_REASON: Final = 2000
"""Characters of what is told of an entry that is no event."""

PUBLISHER: Final = Caller(Authority.LOCAL, "ordinaut:inbox")
"""Nobody vouches for who writes to the inbox, but for Redis, which let them."""

SOURCE: Final = "/ordinaut/inbox"
"""Of events without source and id: together with the entry's id, nobody else has it."""

_FIELDS: Final = {"type", "subject", "source", "id", "time", "data"}
"""All others are extension attributes."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """An entry's event, or why it is none; ``is_named`` if its publisher gave it an id."""

    id: str
    namespace: str = ""
    event: NewEvent | None = None
    is_named: bool = False
    reason: str = ""


class Inbox:
    """
    Reads the inbox.

    Args:
        pool: connections to the database.
        client: of the Redis that has the inbox.
        reader: the name of this process among the readers; no other may have it.
        readiness: says why the inbox can't be read.
    """

    def __init__(self, pool: Pool, client: Redis, *, reader: str, readiness: Readiness) -> None:
        self._pool = pool
        self._client = client
        self._reader = reader
        self._readiness = readiness
        self._backoff = Backoff()
        self._published: set[str] = set()
        """Entries that are published and perhaps not settled: nobody publishes them again while this process lives."""
        self._forgotten_at = -FORGET_EVERY

    async def run(self) -> None:
        """Publish whatever comes, until cancelled."""
        while not is_cancelled():
            try:
                await self._look()
            except ClosedError:
                log.info("inbox opened", key=inbox.INBOX)
            except (redis.ConnectionError, redis.TimeoutError) as error:
                # Said once: the relay, which looks all the time, says that Redis is away.
                log.info("inbox waits for Redis", reason=explained(error))
                await asyncio.sleep(self._backoff.next())
            except redis.RedisError as error:
                why = explained(error)
                if "inbox" not in self._readiness.reasons:
                    log.warning("inbox waits", reason=why)
                self._readiness.missing("inbox", why=why)
                await asyncio.sleep(self._backoff.next())
            except psycopg.Error as error:
                if not is_away(error):
                    raise
                # What the database lacks is told by the loops that look at it all the time.
                log.info("inbox waits for the database", reason=str(error).strip())
                await asyncio.sleep(self._backoff.next())
        raise asyncio.CancelledError

    async def _look(self) -> None:
        """Read until something fails; ends when the inbox must be opened anew."""
        await inbox.open_(self._client)
        while not is_cancelled():
            last = await self.sweep()
            self._backoff.reset()
            self._readiness.met("inbox")
            if time.monotonic() - self._forgotten_at > FORGET_EVERY:
                await inbox.forget_readers(self._client)
                self._forgotten_at = time.monotonic()
            await inbox.wait(self._client, after=last, seconds=WAIT)

    async def sweep(self) -> str:
        """Publish all that waits; return the id of the last entry that anybody has read."""
        while True:
            taken = await inbox.take(self._client, reader=self._reader, limit=BATCH)
            metrics.INBOX_ENTRIES.set(taken.waiting)
            if not taken.entries:
                return taken.last
            await self._publish(taken.entries)

    async def _publish(self, entries: Sequence[InboxEntry]) -> None:
        judged = await compute(lambda: [judge(entry) for entry in entries if entry.id not in self._published])
        rejected = {one.id: one.reason for one in judged if one.event is None}
        accepted = [one for one in judged if one.event is not None]
        try:
            await self._commit(accepted)
        except (Invalid, psycopg.DataError, psycopg.IntegrityError):
            # One that the database refuses, or that was judged otherwise here, must not hold up the others.
            rejected |= await self._commit_each(accepted)
        settled = [entry.id for entry in entries if entry.id not in rejected]
        await inbox.settle(self._client, settled)
        self._published.difference_update(settled)
        await inbox.reject(self._client, rejected)
        metrics.INBOX_EVENTS.labels("rejected").inc(len(rejected))
        for id_, reason in rejected.items():
            log.warning("no event", entry=id_, reason=reason, key=inbox.REJECTED)

    async def _commit(self, accepted: Sequence[Judged]) -> None:
        if not accepted:
            return
        async with self._pool.connection() as connection, connection.transaction():
            for namespace, source, events in _groups(accepted):
                await publishing.publish(connection, namespace=namespace, events=events, by=PUBLISHER, source=source)
        self._published.update(one.id for one in accepted)
        metrics.INBOX_EVENTS.labels("accepted").inc(len(accepted))

    async def _commit_each(self, accepted: Sequence[Judged]) -> dict[str, str]:
        """Publish events one by one; return why some can't be."""
        refused = {}
        for one in accepted:
            try:
                await self._commit([one])
            except (Invalid, psycopg.DataError, psycopg.IntegrityError) as error:
                refused[one.id] = str(error).strip()[:MAX_REASON]
        return refused


def _groups(accepted: Sequence[Judged]) -> Iterator[tuple[str, str | None, list[NewEvent]]]:
    """Yield what can be published at once, in the order of each namespace, with the source of those without one."""
    in_turn = sorted(accepted, key=lambda one: one.namespace)
    for (namespace, is_named), some in groupby(in_turn, key=lambda one: (one.namespace, one.is_named)):
        yield namespace, None if is_named else SOURCE, [one.event for one in some if one.event is not None]


def judge(entry: InboxEntry) -> Judged:
    """Return what is to be published for an entry, or why nothing is."""
    if isinstance(entry.fields, int):
        said = f"{entry.fields} bytes, allowed are {inbox.MAX_ENTRY}"
        return Judged(entry.id, reason=f"{said}; put the data where the readers can fetch them and tell them the place")
    try:
        fields = {name.decode(): value.decode() for name, value in entry.fields.items()}
    except UnicodeDecodeError:
        return Judged(entry.id, reason="not UTF-8; write names and values of fields in it")
    try:
        namespace, event = _read(fields)
        if wrong := list(mistakes(event)):
            raise Invalid(wrong)  # noqa: TRY301 - told like those of reading
    except Invalid as invalid:
        return Judged(entry.id, reason="; ".join(map(str, invalid.errors))[:MAX_REASON])
    is_named = event.id is not None
    return Judged(entry.id, namespace, event if is_named else replace(event, id=entry.id), is_named)


def _read(fields: dict[str, str]) -> tuple[str, NewEvent]:
    namespace = fields.pop("namespace", None)
    if namespace is None:
        raise Invalid([FieldError("namespace", None, "", "say in which namespace it is published", Mistake.REQUIRED)])
    if not is_name(namespace):
        raise Invalid([FieldError("namespace", namespace, "not a name", "write it like team-a")])
    whole = fields.pop("event", None)
    if whole is None:
        return namespace, _by_fields(fields)
    if fields:
        names = ", ".join(sorted(fields))
        raise Invalid([FieldError("event", [], f"beside {names}", "write the whole event into it, or leave it out")])
    document = _json("event", whole)
    if not isinstance(document, dict):
        raise Invalid([FieldError("event", document, "not an object", "write a CloudEvent in JSON")])
    return namespace, cloudevents.of_document(document)


def _by_fields(fields: dict[str, str]) -> NewEvent:
    """Return the event whose attributes are fields, and whose data are JSON."""
    if "type" not in fields:
        raise Invalid([FieldError("type", None, "", "write one such as mail.received", Mistake.REQUIRED)])
    data = _json("data", fields["data"]) if "data" in fields else None
    return NewEvent(
        type=fields["type"],
        data=data,
        subject=fields.get("subject"),
        source=fields.get("source"),
        id=fields.get("id"),
        time=fields.get("time"),
        more={name: value for name, value in fields.items() if name not in _FIELDS},
    )


def _json(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid([FieldError(name, [], f"not JSON: {error}", 'write it like {"from": "bob"} or "text"')]) from None
