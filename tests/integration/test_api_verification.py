"""Verifying ledgers through the API: whole ones in parts, the newest part of all, and what is wrong, in words."""

import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx2
import orjson
import pytest

from ordinaut.schedule import tzdata_version
from ordinaut.store import events
from ordinaut.store.pool import Pool
from ordinaut_operator.events.dispatch import Dispatcher
from tests.declaring import declare, task
from tests.integration.serving import TASKS, serving

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
ALL = "/v1/namespaces/default/verification"
MINUTELY = [{"interval": "1m", "start": "2026-01-01T00:00:00Z"}]


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def make(pool: Pool, *names: str, lines: int) -> None:
    """Declare tasks that have fired at so many minutes, the last of which was a moment ago."""
    await declare(pool, *(task(name, LOG, schedules=MINUTELY) for name in names))
    async with pool.connection() as connection, connection.transaction():
        # The next time comes in a minute, whenever this is.
        await connection.execute(
            "UPDATE task_clock SET evaluated_at = minute, counted_from = minute - %s * interval '1 min',"
            " next_fire_at = minute + interval '1 min' FROM date_trunc('minute', now()) AS minute",
            [lines],
        )
        await connection.execute(
            "INSERT INTO fire (task_id, scheduled_at, outcome, reason, run_id)"
            " SELECT task_id, evaluated_at - n * interval '1 min',"
            " CASE mod(n, 2) WHEN 0 THEN 'Fired' ELSE 'Skipped' END,"
            " CASE mod(n, 2) WHEN 1 THEN 'NotReady' END, CASE mod(n, 2) WHEN 0 THEN gen_random_uuid() END"
            " FROM task_clock, generate_series(0, %s) n",
            [lines - 1],
        )


async def execute(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement.encode())


async def parts(api: httpx2.AsyncClient, name: str) -> list[dict[str, Any]]:
    """Return all parts of a ledger."""
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        answer = (await api.get(f"{TASKS}/{name}/verification", params=query)).raise_for_status().json()
        found += answer["items"]
        if "nextCursor" not in answer:
            return found
        query = {"cursor": answer["nextCursor"]}


def sums(items: list[dict[str, Any]]) -> list[int]:
    """Return how many times are nominal, fired, skipped; leave out the pending one that a minute may bring."""
    pending = sum(item["pending"] for item in items)
    return [sum(item["nominal"] for item in items) - pending, *(sum(i[n] for i in items) for n in ("fired", "skipped"))]


async def test_a_whole_ledger_is_verified_in_parts(
    api: httpx2.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut_api.routes.verification.PART", 150)
    await make(pool, "hello", lines=400)
    found = await parts(api, "hello")
    assert [item["nominal"] - item["pending"] for item in found] == [150, 150, 100]
    assert sums(found) == [400, 200, 200]
    assert [item["violations"] for item in found] == [[], [], []]
    assert [one["until"] for one in found[:-1]] == [one["after"] for one in found[1:]]
    assert {(item["task"], item["violated"], item["since"]) for item in found} == {("hello", 0, found[0]["after"])}


async def test_the_newest_part_of_all_ledgers_is_verified_by_name(api: httpx2.AsyncClient, pool: Pool) -> None:
    names = [f"task-{number}" for number in range(5)]
    await make(pool, *names, lines=120)
    await execute(pool, "DELETE FROM fire WHERE task_id = (SELECT task_id FROM task WHERE name = 'task-0')")
    first = (await api.get(ALL, params={"limit": "3"})).json()
    rest = (await api.get(ALL, params={"cursor": first["nextCursor"]})).json()
    assert [item["task"] for item in first["items"] + rest["items"]] == names
    assert "nextCursor" not in rest
    assert sums(rest["items"]) == [200, 100, 100]

    empty, *_ = first["items"]
    assert (empty["violated"], len(empty["violations"]), empty["fired"]) == (100, 20, 0)
    assert empty["violations"][0] == {
        "invariant": "unaccounted_time",
        "time": (minute := f"{datetime.fromisoformat(empty['since']) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"),
        "detail": f"{minute} is a nominal time, and the ledger has no line for it",
    }


async def test_each_violation_is_named_wherever_it_is(api: httpx2.AsyncClient, pool: Pool) -> None:
    await make(pool, "hello", lines=300)
    await execute(pool, "DELETE FROM fire WHERE scheduled_at = (SELECT min(scheduled_at) FROM fire)")
    await execute(pool, "UPDATE task_clock SET next_fire_at = NULL")
    await execute(
        pool,
        "INSERT INTO fire (task_id, scheduled_at, outcome, reason) SELECT task_id, evaluated_at - interval '7 s',"
        " 'Skipped', 'NotReady' FROM task_clock",
    )
    (item,) = await parts(api, "hello")
    assert [one["invariant"] for one in item["violations"]] == [
        "unaccounted_time",
        "invented_time",
        "wrong_next_time",
    ]
    assert item["violations"][2]["detail"].startswith("the clock is set to no time, and the schedules say 2")
    (newest,) = (await api.get(ALL)).json()["items"]
    assert [one["invariant"] for one in newest["violations"]] == ["invented_time", "wrong_next_time"]


async def test_what_can_not_be_told_says_why(api: httpx2.AsyncClient, pool: Pool) -> None:
    await make(pool, "hello", lines=3)
    await execute(pool, "UPDATE task_clock SET tzdata = '1999z'")
    for path in (ALL, f"{TASKS}/hello/verification"):
        (item,) = (await api.get(path)).json()["items"]
        assert f"1999z, the API with {tzdata_version()}" in item["unknown"]
        assert (item["nominal"], item["violated"]) == (0, 0)


async def test_wrong_requests_are_refused(api: httpx2.AsyncClient, pool: Pool) -> None:
    await make(pool, "hello", lines=3)
    one = f"{TASKS}/hello/verification"
    assert (await api.get(f"{TASKS}/nobody/verification")).status_code == 404
    assert (await api.get("/v1/namespaces/other/verification")).json() == {"items": []}
    for text in ("2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "now"):
        position = orjson.dumps(["default/tasks/hello/verification", text])
        cursor = base64.urlsafe_b64encode(position).decode().rstrip("=")
        assert (await api.get(one, params={"cursor": cursor})).status_code == 422
    for query in ({"limit": "0"}, {"limit": "101"}, {"limt": "1"}):
        assert (await api.get(ALL, params=query)).status_code == 422
    assert (await api.get(one, params={"limit": "1"})).status_code == 422


async def listen(pool: Pool, *numbers: int) -> None:
    """Have a task that was declared long ago triggered by events of these numbers, as far as they are above 1."""
    await declare(pool, task("listener", LOG, triggers=[{"topic": "mail.received", "if": "data.n > `1`"}]))
    async with pool.connection() as connection:
        await connection.execute("UPDATE task SET updated_at = now() - interval '1 h'")
        for number in numbers:
            event = {"type": "mail.received", "ns": "default", "by": "me", "data": {"n": number}}
            await events.append(connection, [event, {**event, "type": "mail.sent"}])
    await Dispatcher(pool, max_hops=8).sweep()


async def test_events_that_match_a_trigger_are_looked_up_in_the_ledger(api: httpx2.AsyncClient, pool: Pool) -> None:
    await make(pool, "hello", lines=1)
    await listen(pool, 1, 2, 3, 4)

    (item,) = await parts(api, "listener")
    assert item["events"] == {"matched": 3, "fired": 3, "skipped": 0, "gathered": 0}
    assert item["violated"] == 0
    found = {one["task"]: one.get("events") for one in (await api.get(ALL)).json()["items"]}
    assert found == {"hello": None, "listener": item["events"]}


async def test_a_ledger_of_events_that_does_not_tell_the_truth_breaks_the_law(
    api: httpx2.AsyncClient, pool: Pool
) -> None:
    await listen(pool, 2, 3, 4, 5)
    await execute(pool, "DELETE FROM event_fire WHERE position = (SELECT min(position) FROM event_fire)")
    await execute(pool, "DELETE FROM run WHERE run_id = (SELECT run_id FROM event_fire ORDER BY position DESC LIMIT 1)")
    await execute(
        pool,
        "UPDATE event_fire SET outcome = 'Gathered', run_id = NULL"
        " WHERE position = (SELECT min(position) FROM event_fire)",
    )

    (item,) = await parts(api, "listener")
    assert item["events"] == {"matched": 4, "fired": 2, "skipped": 0, "gathered": 1}
    assert item["violated"] == 3
    assert [one["invariant"] for one in item["violations"]] == [
        "unaccounted_event",
        "lost_event",
        "event_without_run",
    ]
    assert "matches a trigger, and the ledger has no line for it" in item["violations"][0]["detail"]


async def test_events_from_before_the_last_edit_and_those_to_come_prove_nothing(
    api: httpx2.AsyncClient, pool: Pool
) -> None:
    await listen(pool, 2)
    await execute(pool, "DELETE FROM event_fire")
    await execute(pool, "UPDATE task SET updated_at = now() - interval '30 s'")
    assert (await parts(api, "listener"))[0]["events"]["matched"] == 0

    await execute(pool, "UPDATE task SET updated_at = now() - interval '1 h'")
    await execute(pool, "UPDATE event_cursor SET position = 0 WHERE reader = 'triggers'")
    assert (await parts(api, "listener"))[0]["events"]["matched"] == 0
