"""Pausing, snoozing and resuming through the API: for every origin, without touching the spec."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from ordinaut.states import Origin
from ordinaut.store.pool import Pool
from tests.declaring import declare, task
from tests.integration.serving import TASKS, problem, serving

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
HOURLY = task("hourly", LOG, schedules=[{"cron": "0 * * * *"}])
PATH = f"{TASKS}/hourly"


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


@pytest.mark.parametrize("origin", [*Origin])
async def test_a_task_of_any_origin_can_be_paused_snoozed_resumed_and_run(
    api: httpx2.AsyncClient, pool: Pool, origin: Origin
) -> None:
    await declare(pool, HOURLY, origin=origin)
    before = await api.get(PATH)

    paused = await api.post(f"{PATH}/pause")
    assert paused.status_code == 200, paused.text
    assert paused.json()["status"]["phase"] == "Paused"
    assert paused.json()["status"]["pause"]["by"] == "local"
    assert "nextScheduleTime" not in paused.json()["status"]
    assert paused.headers["etag"] != before.headers["etag"]
    assert (await api.get(f"{PATH}/preview")).json() == {"items": []}

    again = await api.post(f"{PATH}/pause")
    assert again.json()["status"]["pause"] == paused.json()["status"]["pause"], "the first one counts"
    assert again.headers["etag"] == paused.headers["etag"]

    snoozed = await api.post(f"{PATH}/snooze", json={"for": "90m"})
    assert snoozed.status_code == 200, snoozed.text
    until = datetime.fromisoformat(snoozed.json()["status"]["snooze"]["until"])
    assert timedelta(minutes=89) < until - datetime.now(UTC) < timedelta(minutes=91)

    assert (await api.post(f"{PATH}/run")).status_code == 202

    resumed = await api.post(f"{PATH}/resume")
    assert resumed.status_code == 200
    assert {"pause", "snooze"}.isdisjoint(resumed.json()["status"])
    assert resumed.json()["status"]["nextScheduleTime"]
    assert resumed.json()["spec"] == before.json()["spec"]
    assert resumed.json()["metadata"]["generation"] == before.json()["metadata"]["generation"]


async def test_a_snoozed_task_starts_nothing_before_its_time(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, HOURLY)
    until = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    found = (await api.post(f"{PATH}/snooze", json={"until": until.isoformat()})).json()["status"]
    assert found["phase"] == "Snoozed"
    assert datetime.fromisoformat(found["snooze"]["until"]) == until
    assert datetime.fromisoformat(found["nextScheduleTime"]) >= until


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, ""),
        ({"for": "2h", "until": "2099-01-01T00:00:00Z"}, ""),
        ({"for": "0s"}, "for"),
        ({"for": "367d"}, "for"),
        ({"for": "two hours"}, "for"),
        ({"for": 7200}, "for"),
        ({"for_": "2h"}, "for_"),
        ({"until": "2020-01-01T00:00:00Z"}, "until"),
        ({"until": "2999-01-01T00:00:00Z"}, "until"),
        ({"until": "2027-01-01T00:00:00"}, "until"),
        ({"until": "2027-02-30T00:00:00Z"}, "until"),
        ({"until": "0001-01-01T00:00:00+14:00"}, "until"),
        ({"until": "tomorrow"}, "until"),
        ({"until": 1}, "until"),
    ],
)
async def test_a_snooze_that_makes_no_sense_is_refused(
    api: httpx2.AsyncClient, pool: Pool, document: dict[str, Any], field: str
) -> None:
    await declare(pool, HOURLY)
    found = problem(await api.post(f"{PATH}/snooze", json=document), 422, "invalid")
    assert found["errors"][0]["field"] == field
    assert "snooze" not in (await api.get(PATH)).json()["status"]


async def test_the_verbs_of_a_task_refuse_what_is_not_there_and_what_they_do_not_know(api: httpx2.AsyncClient) -> None:
    later = {"until": "2099-01-01T00:00:00Z"}
    for verb, document in (("pause", None), ("resume", None), ("snooze", {"for": "1h"}), ("run", None)):
        problem(await api.post(f"{TASKS}/nobody/{verb}", json=document), 404, "not-found")
    await api.post(TASKS, json=HOURLY)
    for verb in ("pause", "resume"):
        found = problem(await api.post(f"{PATH}/{verb}", json=later), 422, "invalid")
        assert found["errors"][0]["field"] == "until"
        assert (await api.post(f"{PATH}/{verb}", json={})).status_code == 200
        stale = await api.post(f"{PATH}/{verb}", headers={"if-match": '"other"'})
        problem(stale, 412, "precondition-failed")
    problem(await api.post(f"{PATH}/snooze"), 415, "unsupported-media-type")
