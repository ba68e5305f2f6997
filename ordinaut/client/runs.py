"""Runs: what happened, what is happening, waiting for the end, and putting an end to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ordinaut.client.connection import Call
from ordinaut.client.declared import Namespaced, keyed
from ordinaut.client.following import GAP, follow
from ordinaut.client.tasks import moment
from ordinaut.states import ENDED_RUN_PHASES, RunPhase

if TYPE_CHECKING:
    from ordinaut import shapes

LONG_POLL: Final = 25.0
"""Seconds that one request waits; proxies commonly give up after 30."""


class Runs(Namespaced):
    """The runs of a namespace."""

    def list(
        self,
        *,
        task: str | None = None,
        phase: RunPhase | str | None = None,
        trigger: str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator["shapes.Run"]:
        """Yield runs, newest first, without their steps and outputs."""
        return self._pages(
            "Run",
            self._path("runs"),
            limit=limit,
            task=task,
            phase=phase,
            trigger=trigger,
            createdAfter=moment(created_after),
            createdBefore=moment(created_before),
        )

    async def get(self, run: str) -> "shapes.Run":
        """Return a run with its steps."""
        return await self._run(Call("GET", self._path("runs", run)))

    async def why(self, run: str) -> "shapes.Why":
        """Return where a run is and why it waits or has failed: the causes, the decisive one first."""
        found: shapes.Why = await self._ask("Why", Call("GET", self._path("runs", run, "why")))
        return found

    async def cancel(self, run: str) -> "shapes.Run":
        """End a run that is not over, or is parked; raises ``Conflict`` for others."""
        return await self._run(Call("POST", self._path("runs", run, "cancel"), headers=keyed(None)))

    async def retry(self, run: str, *, idempotency_key: str | None = None) -> "shapes.Run":
        """Start a new run that goes on at the first step that did not succeed; raises ``Conflict`` if that can't be."""
        return await self._run(Call("POST", self._path("runs", run, "retry"), headers=keyed(idempotency_key)))

    async def unpark(self, run: str) -> "shapes.Run":
        """Let a parked run go on at the first step without a result; raises ``Conflict`` if it is not parked."""
        return await self._run(Call("POST", self._path("runs", run, "unpark"), headers=keyed(None)))

    async def wait(self, run: str, *, timeout: float | None = None) -> "shapes.Run":  # noqa: ASYNC109
        """
        Return a run when it is over; raises ``TimeoutError`` after ``timeout`` seconds.

        Waits by requests that the API holds until the run is over, so it hears of the end at once.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            left = LONG_POLL if deadline is None else min(LONG_POLL, max(0.0, deadline - loop.time()))
            call = Call("GET", self._path("runs", run, "wait"), {"timeout": round(left, 3)}, patience=left)
            answer = await self._connection.ask(call)
            if is_over(answer):
                return self._read("Run", answer)  # type: ignore[no-any-return]
            if deadline is not None and loop.time() >= deadline:
                raise TimeoutError(f"run {run} is still {answer['status']['phase']} after {timeout:g} s")

    async def follow(self, run: str) -> AsyncIterator["shapes.Run"]:
        """
        Yield a run each time something of it has changed, the last time when it is over.

        A stream that breaks off is opened again, for as long as ``retries`` of the client allow without any news.
        """
        call = Call("GET", self._path("runs", run, "events"))
        async with aclosing(follow(self._connection, call, what=f"run {run}")) as messages:
            async for event in messages:
                if event.name == "run":
                    yield self._read("Run", event.data)
                    if is_over(event.data):
                        return

    async def events(self, run: str, *, patience: float | None = None) -> AsyncIterator["shapes.CloudEvent"]:
        """
        Yield the events of a run and its steps, from the first one on, until it is over.

        ``patience`` are the seconds for which the API may be away meanwhile; without it, as ``retries`` of the client.
        """
        call = Call("GET", self._path("runs", run, "events"), {"tell": "events"})
        async with aclosing(follow(self._connection, call, what=f"run {run}", patience=patience)) as messages:
            async for event in messages:
                if event.name != GAP:
                    yield self._read("CloudEvent", event.data)

    async def _run(self, call: Call) -> "shapes.Run":
        found: shapes.Run = await self._ask("Run", call)
        return found


def is_over(answer: Any) -> bool:
    """Whether a run as the API sent it is over."""
    return answer["status"]["phase"] in ENDED_RUN_PHASES
