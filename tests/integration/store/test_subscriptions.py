"""Subscriptions follow what is declared: written when triggers change and not otherwise, and read by what is new."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from ordinaut.declaration.apply import remove
from ordinaut.declaration.examine import examine
from ordinaut.states import Origin
from ordinaut.store import declared, status, subscriptions
from ordinaut.store.declared import Incarnation, Key
from ordinaut.store.pool import Pool
from ordinaut.store.subscriptions import News, Subscription
from ordinaut.triggers import Subscriptions
from tests.declaring import declare, pause, pipeline, resume, run_now, task

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
MAIL = {"topic": "mail.received"}


def listening(name: str, *triggers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return task(name, LOG, triggers=list(triggers), **spec)


def elsewhere(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "namespace": "elsewhere"}}


async def news(pool: Pool, **known: int) -> list[News]:
    async with pool.connection() as connection:
        return sorted(await subscriptions.news(connection, known or {"default": -1}))


async def rows(pool: Pool) -> list[tuple[Any, ...]]:
    """Return the subscriptions with the transactions that wrote them."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT t.name, s.namespace, s.version, s.triggers, s.xmin::text"
            " FROM subscription s JOIN task t USING (task_id) ORDER BY s.task_id"
        )
        return await cursor.fetchall()


async def topics(pool: Pool) -> dict[str, list[str] | None]:
    return {row[0]: row[3] and [one["topic"] for one in row[3]] for row in await rows(pool)}


async def id_of(pool: Pool, name: str) -> int:
    async with pool.connection() as connection:
        key = Key("Task", "default", name)
        return (await declared.task_ids(connection, [key]))[key]


async def delete(pool: Pool, *names: str) -> None:
    await remove(pool, [Incarnation(Key("Task", "default", name), "") for name in names], origin=Origin.API)


async def test_a_declared_trigger_is_a_subscription_from_then_on(pool: Pool) -> None:
    before = datetime.now(UTC)
    await declare(pool, listening("a", {**MAIL, "if": "data.urgent"}), task("b", LOG))
    (one,) = await news(pool)
    assert one.triggers is not None
    (trigger,) = one.triggers
    assert (one.namespace, one.version, one.task_id) == ("default", 1, await id_of(pool, "a"))
    assert (trigger["topic"], trigger["if"]) == ("mail.received", "data.urgent")
    assert abs((datetime.fromisoformat(trigger["since"]) - before).total_seconds()) < 60


async def test_declaring_the_same_again_writes_nothing(pool: Pool) -> None:
    many = [listening(f"t{number}", MAIL, {"topic": "run.*", "params": {"n": 1.5}}) for number in range(250)]
    await declare(pool, *many)
    before = await rows(pool)
    await declare(pool, *many)
    assert await rows(pool) == before
    assert len(before) == 250


async def test_an_edit_of_something_else_writes_no_subscription(pool: Pool) -> None:
    await declare(pool, listening("a", MAIL))
    before = await rows(pool)
    await declare(pool, listening("a", MAIL, priority=7, suspend=True, schedules=[{"cron": "@daily"}]))
    await pause(pool, "a")
    await resume(pool, "a")
    assert await rows(pool) == before


async def test_an_edited_trigger_is_news_and_keeps_since_when_its_topic_counts(pool: Pool) -> None:
    await declare(pool, listening("a", MAIL), listening("b", MAIL))
    ((_, version, _, first), _) = await news(pool)
    await declare(pool, listening("a", {"topic": "disk.full"}, {**MAIL, "if": "data.urgent"}))
    (one,) = await news(pool, default=version)
    assert (one.version, one.task_id) == (version + 1, await id_of(pool, "a"))
    assert first is not None
    assert one.triggers is not None
    disk, mail = one.triggers
    assert mail == {**first[0], "if": "data.urgent"}
    assert disk["since"] > mail["since"]


async def test_triggers_that_are_taken_out_are_told_once(pool: Pool) -> None:
    await declare(pool, listening("a", MAIL))
    await declare(pool, task("a", LOG))
    assert [(one.version, one.triggers) for one in await news(pool)] == [(2, None)]
    assert await news(pool, default=2) == []
    await declare(pool, task("a", LOG, priority=1))
    assert await news(pool, default=2) == []


async def test_a_deleted_task_has_no_subscription_and_a_new_one_begins_anew(pool: Pool) -> None:
    await declare(pool, listening("a", MAIL), listening("b", MAIL), task("c", LOG))
    old, _ = await rows(pool)
    await delete(pool, "a", "c", "nobody")
    assert await topics(pool) == {"a": None, "b": ["mail.received"]}
    assert [(one.version, one.triggers) for one in await news(pool, default=1)] == [(2, None)]
    await declare(pool, listening("a", MAIL))
    gone, _, again = await rows(pool)
    assert (gone[0], gone[3], again[0]) == ("a", None, "a")
    assert again[3][0]["since"] > old[3][0]["since"]


async def test_a_task_whose_spec_breaks_keeps_its_subscription(pool: Pool) -> None:
    await declare(pool, listening("a", MAIL))
    before = await rows(pool)
    broken = listening("a", {**MAIL, "if": "data.x =="})
    assert examine(broken).invalid is not None
    await declare(pool, broken, listening("b", {**MAIL, "if": "data.x =="}))
    assert await rows(pool) == before
    async with pool.connection() as connection:
        found = await status.task_named(connection, namespace="default", name="a")
    assert found is not None
    assert (found.ready, found.reason) == (False, "InvalidSpec")
    assert "spec.triggers[0].if" in found.message


async def test_versions_are_counted_for_each_namespace(pool: Pool) -> None:
    await declare(pool, listening("a", MAIL), elsewhere(listening("a", MAIL)), elsewhere(listening("b", MAIL)))
    await declare(pool, elsewhere(listening("a", {"topic": "x"})))
    found = [(one.namespace, one.version) for one in await news(pool, default=-1, elsewhere=-1, nowhere=-1)]
    assert found == [("default", 1), ("elsewhere", 1), ("elsewhere", 2)]
    assert [one.namespace for one in await news(pool, default=1, elsewhere=1)] == ["elsewhere"]
    assert await news(pool, nowhere=-1) == []


async def test_what_was_saved_at_the_same_time_is_seen_by_version(pool: Pool) -> None:
    """Whoever has seen a version has seen all before it: nobody can slip in behind."""
    await declare(pool, *(task(f"t{number}", LOG) for number in range(8)))
    keys = [await id_of(pool, f"t{number}") for number in range(8)]
    seen: dict[int, Any] = {}

    async def save(task_id: int) -> None:
        async with pool.connection() as connection, connection.transaction():
            await subscriptions.save(connection, [Subscription(task_id, "default", [MAIL])])

    async def read() -> None:
        version = -1
        while len(seen) < len(keys):
            for one in await news(pool, default=version):
                seen[one.task_id] = one.triggers
                version = max(version, one.version)

    async with asyncio.timeout(20):
        await asyncio.gather(read(), *(save(key) for key in keys))
    assert set(seen) == set(keys)
    assert len({row[2] for row in await rows(pool)}) == len(keys)


async def test_what_is_stored_can_be_matched(pool: Pool) -> None:
    await declare(pool, listening("a", {**MAIL, "if": "data.urgent"}), listening("b", {"topic": "mail.*"}))
    found = Subscriptions()
    for one in await news(pool):
        found.put(one.task_id, one.triggers)
    event = {"id": "1-0", "source": "/x", "type": "mail.received", "data": {"urgent": True}}
    matches = found.match(event, position=1, place=0, created_at=datetime.now(UTC).astimezone())
    assert len(matches) == 2


def _triage(**spec: Any) -> list[dict[str, Any]]:
    """A pipeline that needs params, and a task that has none of its own."""
    schema = {
        "type": "object",
        "required": ["mail"],
        "properties": {"mail": {"type": "object"}, "n": {"type": "integer"}},
    }
    return [pipeline("triage", LOG, params=schema), task("t", pipelineRef={"name": "triage"}, **spec)]


async def _reason(pool: Pool, documents: list[dict[str, Any]]) -> str:
    await declare(pool, *documents)
    async with pool.connection() as connection:
        row = await status.task_named(connection, namespace="default", name="t")
    assert row is not None
    assert row.ready is (row.reason == "Resolved")
    return row.reason


async def test_params_that_the_events_give_need_not_be_in_the_task(pool: Pool) -> None:
    giving = {**MAIL, "params": {"mail": "${event.data}"}}
    assert await _reason(pool, _triage(triggers=[giving])) == "Resolved"
    assert await _reason(pool, _triage(triggers=[giving], params={"n": "x"})) == "InvalidParams"
    assert await _reason(pool, _triage(triggers=[giving, MAIL])) == "InvalidParams"
    assert await _reason(pool, _triage(triggers=[giving], schedules=[{"cron": "@daily"}])) == "InvalidParams"
    assert await _reason(pool, _triage(triggers=[giving, MAIL], params={"mail": {}})) == "Resolved"
    assert await _reason(pool, _triage(triggers=[{**MAIL, "params": {"n": "${event.data.n}"}}])) == "InvalidParams"


async def test_keys_of_params_that_the_events_give_are_not_needed_before(pool: Pool) -> None:
    concurrency = [{"key": "box-${params.mail.box}"}]
    giving = {**MAIL, "params": {"mail": "${event.data}"}}
    assert await _reason(pool, _triage(triggers=[giving], concurrency=concurrency)) == "Resolved"
    assert await _reason(pool, _triage(params={"mail": {}}, concurrency=concurrency)) == "InvalidConcurrencyKey"


async def test_such_a_task_can_be_run_by_hand_with_what_it_lacks(pool: Pool) -> None:
    giving = {**MAIL, "params": {"mail": "${event.data}"}}
    await _reason(pool, _triage(triggers=[giving]))
    assert await run_now(pool, namespace="default", name="t", params={"mail": {}})


async def test_a_task_that_an_older_release_deleted_has_no_triggers(pool: Pool) -> None:
    await declare(pool, listening("a", MAIL))
    async with pool.connection() as connection:
        await connection.execute("UPDATE task SET deleted_at = now()")
    assert [one.triggers for one in await news(pool)] == [None]
