"""Runs: what happened, what is happening, and putting an end to it, trying again or letting it go on."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from ordinaut import shapes, why
from ordinaut.declaration import running
from ordinaut.states import ENDED_RUN_PHASES, RunPhase, Trigger
from ordinaut.store import runs
from ordinaut.store import why as facts_of
from ordinaut.store.pool import Connection
from ordinaut.store.runs import Run
from ordinaut_api import answers, body, following, objects, pages
from ordinaut_api.change import Answer, perform
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import Instant, ListQuery, Name, RunInPath
from ordinaut_api.routes.parameters import Query as Parameters
from ordinaut_api.routes.resuming import last_event_id, last_place
from ordinaut_api.streams import EventStream, slot
from ordinaut_api.tailing import reader
from ordinaut_api.tailing.wish import Wish

MAX_WAIT: Final = 60.0
"""Seconds that one request waits for a run; proxies give up on requests that take longer."""

router = APIRouter(prefix="/v1/namespaces/{namespace}/runs", tags=["runs"])


class RunQuery(ListQuery):
    """Which runs are wanted."""

    task: Name | None = None
    """Runs of the task of this name, also of deleted ones."""
    phase: RunPhase | None = None
    """Runs that stand there now."""
    trigger: Trigger | None = None
    """Runs that were made by this."""
    created_after: Instant | None = None
    """Runs that were made at this time or later."""
    created_before: Instant | None = None
    """Runs that were made before this time."""


class WaitQuery(Parameters):
    """How long to wait."""

    timeout: float = Field(default=30.0, ge=0, le=MAX_WAIT)
    """Seconds."""


@router.get("", operation_id="listRuns", summary="List runs", response_model=shapes.Page[shapes.Run])
async def list_(query: Annotated[RunQuery, Query()], call: Annotated[Call, guard("list", "runs")]) -> Response:
    """Newest first, without their steps and outputs."""
    list_name = f"{call.namespace}/runs"
    before = pages.decode(query.cursor, list_name=list_name, read=UUID)
    async with call.backend.connection() as connection:

        async def read(count: int, last: Run | None) -> list[Run]:
            return await runs.list_(
                connection,
                namespace=call.namespace,
                limit=count,
                before=last.run_id if last else before,
                task=query.task,
                phase=query.phase,
                trigger=query.trigger,
                created_after=query.created_after,
                created_before=query.created_before,
            )

        rows, more = await pages.collect(read, limit=query.limit, weight=lambda row: row.params)
    part = pages.part(rows, more=more, list_name=list_name, position=lambda row: str(row.run_id))
    return await pages.answer(part, objects.listed_run)


@router.get("/{run_id}", operation_id="getRun", summary="Get a run with its steps", response_model=shapes.Run)
async def get(run_id: RunInPath, call: Annotated[Call, guard("get", "runs")]) -> Response:
    """Also the steps to come, as long as the run is not over."""
    async with call.backend.connection() as connection:
        found = await following.view_of(connection, namespace=call.namespace, run_id=run_id)
    return await answers.run(found)


@router.get(
    "/{run_id}/why",
    operation_id="whyRun",
    summary="Tell where a run is, and why it waits or has failed",
    response_model=shapes.Why,
)
async def tell_why(run_id: RunInPath, call: Annotated[Call, guard("get", "runs")]) -> Response:
    """The causes that hold now, the decisive one first, each with the one thing to do about it."""
    async with call.backend.connection() as connection:
        facts = await facts_of.run(connection, namespace=call.namespace, run_id=run_id)
    if facts is None:
        raise following.unknown(call.namespace, run_id)
    return answers.answer(why.of_run(facts))


@router.post(
    "/{run_id}/cancel", operation_id="cancelRun", summary="Cancel a run", status_code=202, response_model=shapes.Run
)
async def cancel(run_id: RunInPath, call: Annotated[Call, guard("create", "runs/cancel")]) -> Response:
    """Ends a run that is not over, or is parked; what its worker still does is dropped."""
    return await _changed(call, run_id, partial(running.cancel, by=call.caller.user))


@router.post(
    "/{run_id}/retry",
    operation_id="retryRun",
    summary="Try a run again",
    status_code=202,
    response_model=shapes.Run,
)
async def retry(run_id: RunInPath, call: Annotated[Call, guard("create", "runs/retry")]) -> Response:
    """
    Makes a new run that goes on at the first step which did not succeed, with the same pipeline and params.

    The old run stays as it is. `Location` leads to the new one.
    """
    raw = await body.read_nothing(call.request)

    async def work(connection: Connection) -> Answer:
        with following.unknown_alike(call.namespace, run_id):
            made = await running.retry(connection, namespace=call.namespace, run_id=run_id)
        location = f"/v1/namespaces/{call.namespace}/runs/{made}"
        view = await following.view_of(connection, namespace=call.namespace, run_id=made)
        return Answer(202, view, {"Location": location})

    return await perform(call, work, object_=f"runs/{run_id}", body=raw)


@router.post(
    "/{run_id}/unpark",
    operation_id="unparkRun",
    summary="Let a parked run go on",
    status_code=202,
    response_model=shapes.Run,
)
async def unpark(run_id: RunInPath, call: Annotated[Call, guard("create", "runs/unpark")]) -> Response:
    """
    Puts the same run into the queue again: it goes on at the first step without a result.

    Its deliveries to workers are counted anew. Mend first what its workers died of.
    """
    return await _changed(call, run_id, running.unpark)


async def _changed(call: Call, run_id: UUID, change: Callable[..., Awaitable[None]]) -> Response:
    """Change a run and answer with what it is then."""
    raw = await body.read_nothing(call.request)

    async def work(connection: Connection) -> Answer:
        with following.unknown_alike(call.namespace, run_id):
            await change(connection, namespace=call.namespace, run_id=run_id)
        return Answer(202, await following.view_of(connection, namespace=call.namespace, run_id=run_id))

    return await perform(call, work, object_=f"runs/{run_id}", body=raw)


@router.get("/{run_id}/wait", operation_id="waitForRun", summary="Wait for a run", response_model=shapes.Run)
async def wait(
    run_id: RunInPath, query: Annotated[WaitQuery, Query()], call: Annotated[Call, guard("get", "runs")]
) -> Response:
    """Answers with the run as soon as it is over, or as it is when the time is up."""
    deadline = time.monotonic() + query.timeout
    async for phase in following.phases(call.backend, namespace=call.namespace, run_id=run_id):
        if phase in ENDED_RUN_PHASES or time.monotonic() >= deadline or call.backend.stopping():
            break
    async with call.backend.connection() as connection:
        found = await following.view_of(connection, namespace=call.namespace, run_id=run_id)
    return await answers.run(found)


class Tell(StrEnum):
    """What a stream tells of a run."""

    RUN = "run"
    EVENTS = "events"


class FollowQuery(Parameters):
    """What a stream is to tell."""

    tell: Tell = Tell.RUN
    """`run`: the run with its steps, whenever they change; `events`: its events, from the first one on."""


_GUARD: Final = guard("get", "runs")


async def _slot(call: Annotated[Call, _GUARD]) -> AsyncIterator[None]:
    with slot(call):
        yield


@router.get(
    "/{run_id}/events",
    operation_id="followRun",
    summary="Follow a run live",
    response_class=EventStream,
    dependencies=[Depends(_slot)],
)
async def follow(
    run_id: RunInPath, query: Annotated[FollowQuery, Query()], call: Annotated[Call, _GUARD]
) -> EventStream:
    """
    Server-Sent Events: `run` with the run and its steps whenever they change, or the run's CloudEvents, then `end`.

    Its reason is `final` when the run is over, `reconnect` when the caller should come back, with `Last-Event-ID`
    so that nothing is told twice; `forbidden` or `gone` when there is nothing to see any more. `gap` tells that events
    are missing which are not kept any more.
    """
    async with call.backend.connection() as connection:
        row = await runs.get(connection, namespace=call.namespace, run_id=run_id)
        if row is None:
            raise following.unknown(call.namespace, run_id)
        if query.tell is Tell.RUN:
            return EventStream(following.events(call, run_id=run_id, seen=last_event_id(call)))
        begin = await reader.start_of_run(connection, row, last_place(call))
    wish = Wish(namespace=call.namespace, run=str(run_id))
    return EventStream(reader.Stream(call, wish, begin, to_the_end=True).messages())
