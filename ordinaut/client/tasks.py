"""Tasks: declaring them, and their verbs. What they start is in ``runs``."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ordinaut.client.connection import Call, Connection
from ordinaut.client.declared import Declared, given, keyed
from ordinaut.client.reading import Reader

if TYPE_CHECKING:
    from ordinaut import shapes


class Tasks(Declared["shapes.Task"]):
    """The tasks of a namespace."""

    def __init__(self, connection: Connection, *, namespace: str, read: Reader) -> None:
        super().__init__(connection, namespace=namespace, read=read, collection="tasks", shape="Task")

    async def create_many(
        self, manifests: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> "shapes.BatchResult":
        """Create or replace up to 1,000 tasks in one transaction: all of them or none."""
        call = Call(
            "POST", f"{self._path('tasks')}:batch", body={"items": list(manifests)}, headers=keyed(idempotency_key)
        )
        found: shapes.BatchResult = await self._ask("BatchResult", call)
        return found

    async def run(
        self, name: str, *, params: Mapping[str, Any] | None = None, idempotency_key: str | None = None
    ) -> "shapes.Run":
        """Run a task now; ``params`` replace those of the same name."""
        body = {"params": dict(params)} if params else {}
        path = self._path("tasks", name, "run")
        found: shapes.Run = await self._ask("Run", Call("POST", path, body=body, headers=keyed(idempotency_key)))
        return found

    async def pause(self, name: str) -> "shapes.Task":
        """Let a task's schedules rest until it is resumed; runs under way go on."""
        return await self._do(name, "pause")

    async def resume(self, name: str) -> "shapes.Task":
        """End a pause and a snooze."""
        return await self._do(name, "resume")

    async def snooze(
        self, name: str, *, until: datetime | str | None = None, for_: timedelta | str | None = None
    ) -> "shapes.Task":
        """Let nothing of a task start before a time, or for a while; give one of the two."""
        return await self._do(name, "snooze", given(**{"until": moment(until), "for": duration(for_)}))

    def fires(self, name: str, *, limit: int | None = None) -> AsyncIterator["shapes.Fire"]:
        """Yield the ledger, newest first: what became of each nominal time."""
        return self._pages("Fire", self._path("tasks", name, "fires"), limit=limit)

    def event_fires(self, name: str, *, limit: int | None = None) -> AsyncIterator["shapes.EventFire"]:
        """Yield the ledger of events, newest first: what became of each that a trigger of the task matched."""
        return self._pages("EventFire", self._path("tasks", name, "event-fires"), limit=limit)

    def verify(self, name: str | None = None) -> AsyncIterator["shapes.Verification"]:
        """
        Yield whether ledgers keep the law: nominal = fired + skipped + pending.

        Of one task its whole ledger in parts, oldest first, whose numbers add up; of all tasks the newest part of each.
        """
        if name is None:
            return self._pages("Verification", self._path("verification"), at_once=None)
        return self._pages("Verification", self._path("tasks", name, "verification"), at_once=None)

    async def preview(self, name: str, *, count: int = 10, after: datetime | str | None = None) -> "shapes.Preview":
        """Return the next nominal times, or the next ones later than ``after``."""
        call = Call("GET", self._path("tasks", name, "preview"), {"count": count, "after": moment(after)})
        found: shapes.Preview = await self._ask("Preview", call)
        return found

    async def why(self, name: str) -> "shapes.Why":
        """Return why a task runs or does not: the causes, the decisive one first, each with what to do about it."""
        found: shapes.Why = await self._ask("Why", Call("GET", self._path("tasks", name, "why")))
        return found

    async def plan_backfill(
        self, name: str, *, from_: datetime | str, to: datetime | str | None = None, max_active: int | None = None
    ) -> "shapes.BackfillPlan":
        """Return what :meth:`backfill` would do, and do nothing."""
        body = {**_window(from_, to, max_active), "dryRun": True}
        found: shapes.BackfillPlan = await self._ask("BackfillPlan", self._backfill(name, body))
        return found

    async def backfill(
        self,
        name: str,
        *,
        from_: datetime | str,
        to: datetime | str | None = None,
        max_active: int | None = None,
        idempotency_key: str | None = None,
    ) -> "shapes.Backfill":
        """Have runs made for the nominal times of a past window that have none; without ``to`` it ends now."""
        call = self._backfill(name, _window(from_, to, max_active), key=idempotency_key)
        found: shapes.Backfill = await self._ask("Backfill", call)
        return found

    def _backfill(self, name: str, body: Mapping[str, Any], *, key: str | None = None) -> Call:
        return Call("POST", self._path("tasks", name, "backfills"), body=body, headers=keyed(key))

    async def _do(self, name: str, verb: str, body: Mapping[str, Any] | None = None) -> "shapes.Task":
        return await self._one(Call("POST", self._path("tasks", name, verb), body=body, headers=keyed(None)))


def _window(from_: datetime | str, to: datetime | str | None, max_active: int | None) -> Mapping[str, Any]:
    return given(**{"from": moment(from_), "to": moment(to), "maxActive": max_active})


def moment(given: datetime | str | None) -> str | None:
    """Return a time as the API takes it; a datetime must know its time zone."""
    if not isinstance(given, datetime):
        return given
    if given.tzinfo is None:
        raise ValueError(f"{given.isoformat()}: no time zone; write datetime(..., tzinfo=UTC)")
    return given.isoformat()


def duration(given: timedelta | str | None) -> str | None:
    """Return a span of time as the API takes it: ``7200s``."""
    return f"{round(given.total_seconds())}s" if isinstance(given, timedelta) else given
