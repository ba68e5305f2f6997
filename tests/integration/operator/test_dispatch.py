"""The dispatcher: what happens is moved to the log, and triggers tasks exactly once, whatever goes wrong on the way."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ordinaut.access.caller import Authority, Caller
from ordinaut.declaration import publishing
from ordinaut.declaration.apply import remove
from ordinaut.events.envelope import Event, NewEvent
from ordinaut.states import Origin
from ordinaut.store import declared, events, log
from ordinaut.store.log import Progress
from ordinaut.store.pool import Pool
from ordinaut.triggers import Match
from ordinaut_operator import janitor
from ordinaut_operator.events import dispatch
from ordinaut_operator.events.dispatch import TRIES, Dispatcher
from ordinaut_operator.events.react import react
from tests.declaring import declare, task

ADA = Caller(Authority.KUBERNETES, "system:serviceaccount:mail:ada")
LOG = {"id": "a", "uses": "std.log", "with": {"message": "${params.text}"}}


def triggered(name: str, *triggers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return task(name, LOG, triggers=list(triggers), **{"params": {"text": "-"}, **more})


MAIL = {"topic": "mail.*", "if": "data.priority != 'low'", "params": {"text": "${event.data.text}"}}


@pytest.fixture
def dispatcher(pool: Pool) -> Dispatcher:
    return Dispatcher(pool, max_hops=8)


async def publish(pool: Pool, *texts: str, type_: str = "mail.received", **data: Any) -> list[str]:
    new = [NewEvent(type=type_, data={"text": text, **data}) for text in texts]
    async with pool.connection() as connection, connection.transaction():
        return await publishing.publish(connection, namespace="default", events=new, by=ADA)


async def made(pool: Pool, name: str = "t") -> list[str]:
    """Return the texts of a task's runs, in the order in which they were made."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT r.params ->> 'text' FROM run r JOIN task t USING (task_id) JOIN due_work d USING (run_id)"
            " WHERE t.name = %s AND r.trigger = 'event' ORDER BY d.id",
            [name],
        )
        return [row[0] for row in await cursor.fetchall()]


async def ledger(pool: Pool) -> list[tuple[str, str, str | None]]:
    """Return task, outcome and reason of each line, in the order of the log."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT t.name, f.outcome, f.reason FROM event_fire f JOIN task t USING (task_id)"
            " ORDER BY f.position, f.place, t.name"
        )
        return list(await cursor.fetchall())


async def progress(pool: Pool) -> Progress:
    async with pool.connection() as connection:
        return await log.progress(connection, "triggers")


async def test_an_event_makes_a_run_of_each_task_that_waits_for_it(pool: Pool, dispatcher: Dispatcher) -> None:
    await declare(pool, triggered("t", MAIL), triggered("u", {"topic": "mail.>"}), triggered("v", {"topic": "news"}))

    await publish(pool, "one", "two")
    await publish(pool, "three", priority="low")
    rows = await dispatcher.sweep()

    assert rows >= 2
    assert await made(pool) == ["one", "two"]
    assert await made(pool, "u") == ["-", "-", "-"]
    assert await made(pool, "v") == []
    assert await ledger(pool) == [
        ("t", "Fired", None),
        ("u", "Fired", None),
        ("t", "Fired", None),
        ("u", "Fired", None),
        ("u", "Fired", None),
    ]
    await dispatcher.sweep()
    assert not (await progress(pool)).is_behind
    assert len(await ledger(pool)) == 5


async def test_any_number_of_dispatchers_make_one_run_for_each_event(pool: Pool) -> None:
    await declare(pool, triggered("t", MAIL))
    texts = [str(number) for number in range(300)]
    dispatchers = [Dispatcher(pool, max_hops=8) for _ in range(4)]

    for text in texts:
        await publish(pool, text)
    while (await progress(pool)).is_behind or len(await made(pool)) < len(texts):
        await asyncio.gather(*(one.sweep() for one in dispatchers))

    assert await made(pool) == texts
    assert [outcome for _, outcome, _ in await ledger(pool)] == ["Fired"] * len(texts)


async def test_what_is_sent_twice_makes_one_run(pool: Pool, dispatcher: Dispatcher) -> None:
    await declare(pool, triggered("t", MAIL))
    again = NewEvent(type="mail.received", data={"text": "once"}, id="7", source="https://mail.example")

    for _ in range(3):
        async with pool.connection() as connection, connection.transaction():
            await publishing.publish(connection, namespace="default", events=[again], by=ADA)
        await dispatcher.sweep()

    assert await made(pool) == ["once"]


async def test_changes_of_triggers_count_for_what_comes_after_them(pool: Pool, dispatcher: Dispatcher) -> None:
    await publish(pool, "too early")
    await declare(pool, triggered("t", MAIL))
    await publish(pool, "one")
    await dispatcher.sweep()
    await declare(pool, triggered("t", {**MAIL, "params": {"text": "changed"}}))
    await publish(pool, "two")
    await dispatcher.sweep()
    assert await made(pool) == ["one", "changed"]

    async with pool.connection() as connection:
        gone = await declared.incarnations(connection, origin=Origin.API)
    await remove(pool, gone, origin=Origin.API)
    await publish(pool, "three")
    await dispatcher.sweep()

    assert len(await ledger(pool)) == 2


async def test_what_becomes_of_a_run_triggers_other_tasks(pool: Pool, dispatcher: Dispatcher) -> None:
    failed = {"topic": "run.failed", "if": "data.task == 't'", "params": {"text": "${event.data.error}"}}
    await declare(pool, triggered("t", MAIL), triggered("u", failed), triggered("v", {"topic": ">"}))

    async with pool.connection() as connection:
        for name in ("t", "other"):
            told = Event(
                "run.failed", "default", name, run="019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f", data={"error": "no"}
            )
            await events.append(connection, [told.compact()])
    await dispatcher.sweep()

    assert await made(pool, "u") == ["no"]
    assert await made(pool, "v") == []


async def test_rows_that_an_older_release_has_moved_trigger_too(pool: Pool, dispatcher: Dispatcher) -> None:
    await declare(pool, triggered("t", MAIL))
    await publish(pool, "one")
    async with pool.connection() as connection:
        await connection.execute(
            "WITH relayed AS (DELETE FROM outbox RETURNING created_at, id, events, about)"
            " INSERT INTO event_log (created_at, id, events, about) SELECT created_at, id, events, about FROM relayed"
        )
    await publish(pool, "two")

    await dispatcher.sweep()

    assert await made(pool) == ["one", "two"]


async def test_a_failure_moves_rows_all_the_same_and_loses_nothing(
    pool: Pool, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pool, triggered("t", MAIL))
    failures = iter([ValueError("a defect")])

    async def fails_once(*arguments: Any, **more: Any) -> Any:
        if error := next(failures, None):
            raise error
        return await react(*arguments, **more)

    monkeypatch.setattr(dispatch, "react", fails_once)
    await publish(pool, "one", "two")
    await publish(pool, "three")

    with pytest.raises(ValueError, match="a defect"):
        await dispatcher.sweep()
    assert (await progress(pool)).is_behind
    assert await made(pool) == []
    await dispatcher.sweep()

    assert await made(pool) == ["one", "two", "three"]


async def test_what_fails_for_ever_is_passed_over_alone(
    pool: Pool, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pool, triggered("t", MAIL))

    async def fails_with_poison(connection: Any, matches: Sequence[Match], **more: Any) -> Any:
        if any(match.event["data"]["text"] == "poison" for match in matches):
            raise ValueError("a defect")
        return await react(connection, matches, **more)

    monkeypatch.setattr(dispatch, "react", fails_with_poison)
    for text in ("one", "poison", "two"):
        await publish(pool, text)
    for _ in range(1 + TRIES):  # with the others, and so often alone
        with pytest.raises(ValueError, match="a defect"):
            await dispatcher.sweep()
    assert await made(pool) == ["one"]
    await dispatcher.sweep()

    assert await made(pool) == ["one", "two"]
    assert not (await progress(pool)).is_behind


async def test_a_lot_of_matches_are_handled_some_at_a_time(
    pool: Pool, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pool, triggered("t", MAIL), triggered("u", MAIL))
    monkeypatch.setattr(dispatch, "MATCHES", 3)
    handled: list[int] = []

    async def counts(connection: Any, matches: Sequence[Match], **more: Any) -> Any:
        handled.append(len(matches))
        return await react(connection, matches, **more)

    monkeypatch.setattr(dispatch, "react", counts)
    texts = ["one", "two", "three", "four", "five"]
    for text in texts:
        await publish(pool, text)

    await dispatcher.sweep()

    assert await made(pool) == await made(pool, "u") == texts
    assert handled == [4, 4, 2]
    await dispatcher.sweep()
    assert not (await progress(pool)).is_behind


async def test_large_rows_are_handled_some_at_a_time(
    pool: Pool, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pool, triggered("t", MAIL))
    await dispatcher.sweep()
    monkeypatch.setattr(log, "SIZE", 1)
    texts = ["one", "two", "three"]
    for text in texts:
        await publish(pool, text)

    await dispatcher.sweep()
    assert await made(pool) == texts[:1]
    for _ in range(9):
        await dispatcher.sweep()

    assert await made(pool) == texts
    assert not (await progress(pool)).is_behind


async def test_what_another_operator_has_gone_past_makes_nothing_else_be_passed_over(
    pool: Pool, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pool, triggered("t", MAIL))

    async def fails(*_: Any, **__: Any) -> Any:
        raise ValueError("a defect")

    await publish(pool, "poison")
    with monkeypatch.context() as defect:
        defect.setattr(dispatch, "react", fails)
        for _ in range(1 + TRIES):
            with pytest.raises(ValueError, match="a defect"):
                await dispatcher.sweep()
    await Dispatcher(pool, max_hops=8).sweep()
    await publish(pool, "one")
    await dispatcher.sweep()

    assert await made(pool) == ["poison", "one"]


async def test_a_run_made_while_its_task_is_deleted_is_cancelled(
    pool: Pool, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pool, triggered("t", MAIL))

    async def deleted_meanwhile(*arguments: Any, **more: Any) -> Any:
        done = await react(*arguments, **more)
        async with pool.connection() as connection:
            gone = await declared.incarnations(connection, origin=Origin.API)
        await remove(pool, gone, origin=Origin.API)
        return done

    monkeypatch.setattr(dispatch, "react", deleted_meanwhile)
    await publish(pool, "one")
    await dispatcher.sweep()

    assert await janitor.cancel_orphans(pool) == 1
    assert await janitor.cancel_orphans(pool) == 0
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT phase, reason FROM run")).fetchone()
    assert row == ("Cancelled", "TaskDeleted")


async def test_tasks_of_all_origins_are_triggered(pool: Pool, dispatcher: Dispatcher) -> None:
    await declare(pool, triggered("t", MAIL), origin=Origin.DIRECTORY)

    await publish(pool, "one")
    await dispatcher.sweep()

    assert await made(pool) == ["one"]
