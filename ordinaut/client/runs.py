"""Runs: what happened, what is happening, waiting for the end, and putting an end to it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ordinaut.client.connection import Call
from ordinaut.client.declared import Namespaced, keyed
from ordinaut.client.errors import ClientError, Unreachable
from ordinaut.client.sse import ServerEvent, read_events
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
        tries, last_id = 0, None
        while True:
            try:
                async for event in self._events(run, last_id):
                    tries, last_id = 0, event.id or last_id
                    if event.name == "run":
                        yield self._read("Run", event.data)
                        if is_over(event.data):
                            return
                error: ClientError = Unreachable(f"the stream of run {run} ended before the run did")
            except ClientError as broken:
                error = broken
            tries += 1
            delay = self._connection.back_off(error, tries=tries)
            if delay is None:
                raise error
            await asyncio.sleep(delay)

    async def _events(self, run: str, last_id: str | None) -> AsyncIterator[ServerEvent]:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        async with self._connection.lines(Call("GET", self._path("runs", run, "events"), headers=headers)) as lines:
            async for event in read_events(lines):
                yield event

    async def _run(self, call: Call) -> "shapes.Run":
        found: shapes.Run = await self._ask("Run", call)
        return found


def is_over(answer: Any) -> bool:
    """Whether a run as the API sent it is over."""
    return answer["status"]["phase"] in ENDED_RUN_PHASES
