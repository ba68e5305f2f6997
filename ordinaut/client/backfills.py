"""Backfills: how far they have come, waiting for them, and putting an end to them. ``tasks.backfill`` starts one."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from ordinaut.client.connection import Call
from ordinaut.client.declared import Namespaced, keyed
from ordinaut.states import FINAL_BACKFILL_PHASES

if TYPE_CHECKING:
    from ordinaut import shapes

LOOK_EVERY: Final = 1.0
"""Seconds between looks while waiting; runs are made as often."""


class Backfills(Namespaced):
    """The backfills of a namespace."""

    def list(self, *, task: str | None = None, limit: int | None = None) -> AsyncIterator["shapes.Backfill"]:
        """Yield backfills, newest first; with ``task``, those of one task."""
        path = self._path("backfills") if task is None else self._path("tasks", task, "backfills")
        return self._pages("Backfill", path, limit=limit)

    async def get(self, backfill: str) -> "shapes.Backfill":
        """Return a backfill."""
        return await self._backfill(Call("GET", self._path("backfills", backfill)))

    async def cancel(self, backfill: str) -> "shapes.Backfill":
        """Have a backfill make no more runs; raises ``Conflict`` if it is over. Runs under way go on."""
        return await self._backfill(Call("POST", self._path("backfills", backfill, "cancel"), headers=keyed(None)))

    async def follow(self, backfill: str) -> AsyncIterator["shapes.Backfill"]:
        """Yield a backfill each time something of it has changed, the last time when all of its runs are over."""
        before: Any = None
        while True:
            answer = await self._connection.ask(Call("GET", self._path("backfills", backfill)))
            if answer != before:
                before = answer
                yield self._read("Backfill", answer)
            if is_over(answer):
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _backfill(self, call: Call) -> "shapes.Backfill":
        found: shapes.Backfill = await self._ask("Backfill", call)
        return found


def is_over(answer: Any) -> bool:
    """Whether a backfill as the API sent it makes no more runs, and those that it made are over."""
    return answer["status"]["phase"] in FINAL_BACKFILL_PHASES and not answer["status"]["active"]
