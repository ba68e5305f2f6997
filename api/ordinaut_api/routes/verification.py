"""Whether the ledgers of tasks keep the law, with times computed and events compared with triggers anew."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field

from ordinaut import shapes
from ordinaut.computing import compute
from ordinaut.declaration import event_law, law
from ordinaut.store import declared, ledger
from ordinaut.store.declared import Key
from ordinaut.store.ledger import Account
from ordinaut_api import manifests, objects, pages
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import NameInPath
from ordinaut_api.routes.parameters import Query as Parameters

MAX_TASKS: Final = 100
"""Tasks whose ledgers are looked at for one request."""

NEWEST: Final = 100
"""Lines of each of them that are looked at."""

PART: Final = 2_000
"""Lines of one ledger that are looked at for one request."""

AT_ONCE: Final = 20
"""Ledgers that are judged before others who compute may go first."""

_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)

router = APIRouter(prefix="/v1/namespaces/{namespace}", tags=["tasks"])

ROWS: Final = 500
"""Newest rows of the log of events that are compared with triggers for one request."""

Judged = tuple[Account, law.Judgement | None, event_law.EventJudgement | None]


class PartQuery(Parameters):
    """Which part of a ledger is wanted."""

    cursor: str | None = Field(default=None, max_length=512)
    """``nextCursor`` of the part before."""


class TasksQuery(PartQuery):
    """Which tasks are wanted."""

    limit: int = Field(default=MAX_TASKS, ge=1, le=MAX_TASKS)
    """Tasks in a page."""


@router.get(
    "/verification",
    operation_id="verifyTasks",
    summary="Verify the newest part of all ledgers",
    response_model=shapes.Page[shapes.Verification],
)
async def verify_all(query: Annotated[TasksQuery, Query()], call: Annotated[Call, guard("list", "tasks")]) -> Response:
    """
    Of each task, by name, the newest 100 nominal times and the pending ones are computed anew and compared.

    So are the newest 500 transactions with events, of tasks with triggers.
    """
    list_name = f"{call.namespace}/verification"
    after = pages.decode(query.cursor, list_name=list_name, read=str) or ""
    async with call.backend.connection() as connection:
        found = await ledger.tasks_after(connection, after, namespace=call.namespace, limit=query.limit + 1)
        part = pages.page(found, limit=query.limit, list_name=list_name, position=lambda row: row[1])
        ids = [task_id for task_id, _ in part.items]
        accounts = await ledger.accounts(connection, ids, lines=NEWEST + 1)
        events = await event_law.verify(connection, ids, namespace=call.namespace, rows=ROWS)
    judged: list[Judged] = []
    for start in range(0, len(accounts), AT_ONCE):
        judged += await compute(_newest, accounts[start : start + AT_ONCE], events)
    return await pages.answer(pages.Part(judged, part.next_cursor), _shown)


@router.get(
    "/tasks/{name}/verification",
    operation_id="verifyTask",
    summary="Verify a task's ledger, in parts",
    response_model=shapes.Page[shapes.Verification],
)
async def verify(
    name: NameInPath, query: Annotated[PartQuery, Query()], call: Annotated[Call, guard("get", "tasks")]
) -> Response:
    """
    From when its present schedules began to count, oldest first: one part of up to 2,000 lines in each answer.

    The first part tells of events, too, as far as its triggers match the newest 500 transactions with events.
    """
    list_name = f"{call.namespace}/tasks/{name}/verification"
    after = pages.decode(query.cursor, list_name=list_name, read=_moment) or _ALWAYS
    key = Key("Task", call.namespace, name)
    async with call.backend.connection() as connection:
        found = await declared.task_ids(connection, [key])
        ids = list(found.values())
        accounts = await ledger.accounts(connection, ids, lines=PART + 1, after=after)
        events = {}
        if query.cursor is None:
            events = await event_law.verify(connection, ids, namespace=call.namespace, rows=ROWS)
    if not accounts:
        raise manifests.unknown(key)
    (account,) = accounts
    judgement = await compute(law.part, account, after=after, lines=PART)
    more = judgement is not None and not judgement.is_whole
    cursor = pages.encode(list_name, judgement.until.isoformat()) if judgement is not None and more else None
    return await pages.answer(pages.Part([(account, judgement, events.get(account.task_id))], cursor), _shown)


def _newest(accounts: Sequence[Account], events: Mapping[int, event_law.EventJudgement]) -> list[Judged]:
    return [(account, law.newest(account, lines=NEWEST), events.get(account.task_id)) for account in accounts]


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None or found < _ALWAYS:
        raise ValueError(text)
    return found


def _shown(judged: Judged) -> shapes.Verification:
    return objects.verification(*judged)
