"""Tasks: declaring them, seeing when they run, running one now, and letting one rest."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field

from ordinaut import shapes, why
from ordinaut.declaration import overlay
from ordinaut.declaration.running import run_now
from ordinaut.errors import FieldError, Invalid
from ordinaut.resources.duration import parse_duration
from ordinaut.store import clock, event_fires, runs, status
from ordinaut.store import why as facts_of
from ordinaut.store.declared import Key
from ordinaut.store.log import LogPlace
from ordinaut.store.pool import Connection
from ordinaut.store.status import TaskRow
from ordinaut_api import answers, batches, body, foresight, manifests, objects, pages
from ordinaut_api.change import Answer, perform
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.preconditions import Preconditions, preconditions
from ordinaut_api.routes.declared import Shelf, declared_router
from ordinaut_api.routes.parameters import Instant, ListQuery, NameInPath, instant
from ordinaut_api.routes.parameters import Query as Parameters
from ordinaut_api.unchanged import Unchanged

UPCOMING: Final = 5
"""Next times that a task shows, as in its status in Kubernetes."""


async def _page(connection: Connection, namespace: str, limit: int, after: str | None) -> list[TaskRow]:
    return await status.list_tasks(connection, namespace=namespace, limit=limit, after=after or "")


async def _row(connection: Connection, key: Key) -> TaskRow | None:
    return await status.task_named(connection, namespace=key.namespace, name=key.name)


async def _show(_connection: Connection, _rows: Sequence[TaskRow]) -> Callable[[TaskRow], shapes.Task]:
    return objects.task


async def _read(_connection: Connection, row: TaskRow) -> shapes.Task:
    return objects.task(row, upcoming=await foresight.next_times(row, count=UPCOMING))


_SHELF: Final = Shelf("Task", shapes.Task, page=_page, row=_row, show=_show, read=_read, unchanged=Unchanged())

router: APIRouter = declared_router(_SHELF)


class PreviewQuery(Parameters):
    """How far to look ahead."""

    count: int = Field(default=10, ge=1, le=100)
    """Nominal times wanted."""
    after: Instant | None = None
    """Only those later than this time."""


@router.post(
    ":batch",
    operation_id="declareTasks",
    summary="Create or replace up to 1,000 tasks, all or none",
    response_model=shapes.BatchResult,
)
async def batch(call: Annotated[Call, guard("create", "tasks")]) -> Response:
    """Every mistake is named with the place of its manifest, and then nothing has been changed."""
    return await batches.declare(call)


@router.get(
    "/{name}/fires",
    operation_id="listFires",
    summary="List what became of a task's nominal times",
    response_model=shapes.Page[shapes.Fire],
)
async def fires(
    name: NameInPath, query: Annotated[ListQuery, Query()], call: Annotated[Call, guard("get", "tasks")]
) -> Response:
    """The ledger, newest first: one line for each nominal time, run or skipped with the reason."""
    list_name = f"{call.namespace}/tasks/{name}/fires"
    before = pages.decode(query.cursor, list_name=list_name, read=datetime.fromisoformat)
    async with call.backend.connection() as connection:
        await _SHELF.existing(connection, Key("Task", call.namespace, name))
        rows = await status.fires(connection, namespace=call.namespace, name=name, limit=query.limit + 1, before=before)
    part = pages.page(rows, limit=query.limit, list_name=list_name, position=lambda row: row.scheduled_at.isoformat())
    return await pages.answer(part, objects.fire)


@router.get(
    "/{name}/event-fires",
    operation_id="listEventFires",
    summary="List what became of the events that a task's triggers matched",
    response_model=shapes.Page[shapes.EventFire],
)
async def list_event_fires(
    name: NameInPath, query: Annotated[ListQuery, Query()], call: Annotated[Call, guard("get", "tasks")]
) -> Response:
    """The ledger of events, the newest first as they came: a run each, or one for several, or why there is none."""
    list_name = f"{call.namespace}/tasks/{name}/event-fires"
    before = pages.decode(query.cursor, list_name=list_name, read=LogPlace.parse)
    async with call.backend.connection() as connection:
        await _SHELF.existing(connection, Key("Task", call.namespace, name))
        rows = await event_fires.list_(
            connection, namespace=call.namespace, name=name, limit=query.limit + 1, before=before
        )
    part = pages.page(rows, limit=query.limit, list_name=list_name, position=lambda row: str(row.at))
    return await pages.answer(part, objects.event_fire)


@router.get(
    "/{name}/preview",
    operation_id="previewTask",
    summary="Tell when a task will run next",
    response_model=shapes.Preview,
)
async def preview(
    name: NameInPath, query: Annotated[PreviewQuery, Query()], call: Annotated[Call, guard("get", "tasks")]
) -> Response:
    """The next nominal times, none while the task is suspended or paused."""
    async with call.backend.connection() as connection:
        row = await _SHELF.existing(connection, Key("Task", call.namespace, name))
    times = await foresight.next_times(row, count=query.count, after=query.after)
    return answers.answer(shapes.Preview(items=times))


@router.get(
    "/{name}/why", operation_id="whyTask", summary="Tell why a task runs or does not", response_model=shapes.Why
)
async def tell_why(name: NameInPath, call: Annotated[Call, guard("get", "tasks")]) -> Response:
    """The causes that hold now, the decisive one first, each with the one thing to do about it."""
    async with call.backend.connection() as connection:
        facts = await facts_of.task(connection, namespace=call.namespace, name=name)
    if facts is None:
        raise manifests.unknown(Key("Task", call.namespace, name))
    return answers.answer(why.of_task(facts))


@router.post(
    "/{name}/run", operation_id="runTask", summary="Run a task now", status_code=202, response_model=shapes.Run
)
async def run(name: NameInPath, call: Annotated[Call, guard("create", "tasks/run")]) -> Response:
    """Whatever its schedules say. `Location` leads to the run."""
    sent = await body.read(call.request, required=False)
    wanted = body.parse(sent.document, shapes.RunRequest)

    async def work(connection: Connection) -> Answer:
        run_id = await run_now(connection, namespace=call.namespace, name=name, params=wanted.params or None)
        made = await runs.get(connection, namespace=call.namespace, run_id=run_id)
        assert made is not None  # noqa: S101 - made in this transaction
        return Answer(202, objects.run(made), {"Location": f"/v1/namespaces/{call.namespace}/runs/{run_id}"})

    return await perform(call, work, object_=f"tasks/{name}", body=sent.raw)


@router.post("/{name}/pause", operation_id="pauseTask", summary="Pause a task", response_model=shapes.Task)
async def pause(name: NameInPath, call: Annotated[Call, guard("create", "tasks/pause")]) -> Response:
    """Its schedules do not fire until somebody resumes it; it can still be run by hand. Pausing twice is fine."""

    async def change(connection: Connection) -> None:
        await overlay.pause(connection, namespace=call.namespace, name=name, by=call.caller.user)

    return await _overlay(call, name, change, raw=await body.read_nothing(call.request))


@router.post("/{name}/resume", operation_id="resumeTask", summary="Resume a task", response_model=shapes.Task)
async def resume(name: NameInPath, call: Annotated[Call, guard("create", "tasks/resume")]) -> Response:
    """Ends a pause and a snooze. What would have fired during a pause does not, unless `catchUp` is All."""

    async def change(connection: Connection) -> None:
        await overlay.resume(connection, namespace=call.namespace, name=name)

    return await _overlay(call, name, change, raw=await body.read_nothing(call.request))


@router.post("/{name}/snooze", operation_id="snoozeTask", summary="Snooze a task", response_model=shapes.Task)
async def snooze(name: NameInPath, call: Annotated[Call, guard("create", "tasks/snooze")]) -> Response:
    """Nothing of it starts before a time. What becomes due before then is decided at that time: the latest runs."""
    sent = await body.read(call.request)
    wanted = body.parse(sent.document, shapes.SnoozeRequest)

    async def change(connection: Connection) -> None:
        until = await _end_of(wanted, connection)
        await overlay.snooze(connection, namespace=call.namespace, name=name, until=until, by=call.caller.user)

    return await _overlay(call, name, change, raw=sent.raw)


async def _end_of(wanted: shapes.SnoozeRequest, connection: Connection) -> datetime:
    if wanted.until is not None:
        return instant(wanted.until, field="until")
    assert wanted.for_ is not None  # noqa: S101 - the model takes exactly one of the two
    span = parse_duration(wanted.for_, field="for")
    if span > overlay.MAX_SNOOZE:
        message = f"longer than {overlay.MAX_SNOOZE.days} days"
        raise Invalid([FieldError("for", wanted.for_, message, "pause the task, and resume it when it is time")])
    return await clock.now(connection) + span


async def _overlay(call: Call, name: str, change: Callable[[Connection], Awaitable[None]], *, raw: bytes) -> Response:
    key = Key("Task", call.namespace, name)
    wanted: Preconditions = preconditions(call.request.headers)

    async def work(connection: Connection) -> Answer:
        await manifests.owned(connection, key=key, wanted=wanted)
        await change(connection)
        return await _SHELF.shown(connection, key)

    return await perform(call, work, object_=manifests.path(key), body=raw)
