"""Schedules that are meant to break or to cost: refused or bounded, by every way in (attacks 7, 8, 9)."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx2
import pytest

from tests.declaring import task
from tests.hostile import COSTLY_SCHEDULES, WRONG_CRONS, WRONG_SCHEDULES, WRONG_ZONES
from tests.security.problems import refused
from tests.security.tenants import OURS, Api, path_of

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}

REFUSED_BUDGET = 0.05
ACCEPTED_BUDGET = 0.1
"""Seconds of CPU of this whole process for one request, the client's part and the database driver's included.

How little a schedule itself may cost is held exactly, in calls, by the unit tests of schedules.
"""


def manifest(schedule: dict[str, Any], name: str = "hostile") -> dict[str, Any]:
    document = task(name, LOG, schedules=[schedule])
    document["metadata"]["namespace"] = OURS
    return document


async def cpu(request: Callable[[], Awaitable[httpx2.Response]]) -> tuple[httpx2.Response, float]:
    """Return the answer and the seconds of CPU that it took, the best of three: other threads may be busy once."""
    costs = []
    for _ in range(3):
        before = time.process_time()
        answer = await request()
        costs.append(time.process_time() - before)
    return answer, min(costs)


async def refuse_everywhere(api: Api, schedule: dict[str, Any], field: str) -> None:
    """Check that no way of declaring a task takes a schedule, and that all name the same field."""
    document = manifest(schedule)
    other = manifest({"cron": "@daily"}, "other")
    one = await api.call("editor-a", "PUT", path_of("tasks", "other"), json=other)
    assert one.is_success, one.text
    ways: dict[str, tuple[str, str, Any]] = {
        "put": ("PUT", path_of("tasks", "hostile"), document),
        "post": ("POST", path_of("tasks"), document),
        "batch": ("POST", path_of("tasks:batch"), {"items": [other, document]}),
        "patch": ("PATCH", path_of("tasks", "other"), {"spec": document["spec"]}),
    }
    for way, (method, path, body) in ways.items():
        media = {"content-type": "application/merge-patch+json" if way == "patch" else "application/json"}
        request = partial(api.call, "editor-a", method, path, json=body, headers=media)
        answer, took = await cpu(request)
        errors = refused(answer, "invalid")["errors"]
        expected = f"{'items[1].' if way == 'batch' else ''}spec.schedules[0].{field}".rstrip(".")
        assert any(error["field"].startswith(expected) for error in errors), (way, errors)
        assert took < REFUSED_BUDGET, (way, took)
        assert len(answer.content) < 10_000
    assert "hostile" not in (await api.call("editor-a", "GET", path_of("tasks"))).text


async def test_a_cron_expression_that_is_none_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for expression in WRONG_CRONS:
        with subtests.test(ascii(expression)[:40]):
            await refuse_everywhere(api, {"cron": expression}, "cron")


async def test_a_rule_that_is_none_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for schedule in WRONG_SCHEDULES:
        with subtests.test(ascii(schedule)[:60]):
            await refuse_everywhere(api, schedule, "")


async def test_a_zone_that_is_none_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for zone in WRONG_ZONES:
        with subtests.test(ascii(zone)[:40]):
            await refuse_everywhere(api, {"cron": "@daily", "timeZone": zone}, "timeZone")


async def test_a_rule_that_costs_is_refused_or_bounded(api: Api, subtests: pytest.Subtests) -> None:
    for schedule in COSTLY_SCHEDULES:
        with subtests.test(ascii(schedule)[:60]):
            await bound_everywhere(api, schedule)


async def bound_everywhere(api: Api, schedule: dict[str, Any]) -> None:
    path = path_of("tasks", "hostile")
    put, took = await cpu(partial(api.call, "editor-a", "PUT", path, json=manifest(schedule)))
    assert took < ACCEPTED_BUDGET
    if not put.is_success:
        refused(put, "invalid")
        return
    for seen in (path, f"{path}/preview?count=100", f"{path}/fires", path_of("tasks")):
        answer, took = await cpu(partial(api.call, "editor-a", "GET", seen))
        assert answer.status_code == 200, answer.text
        assert took < ACCEPTED_BUDGET, (seen, took)


@pytest.mark.parametrize("count", ["0", "-1", "101", "1000000000", "1e2", "ten", ""])
async def test_a_preview_of_more_than_there_may_be_is_refused(api: Api, count: str) -> None:
    await api.call("editor-a", "PUT", path_of("tasks", "hostile"), json=manifest({"cron": "@daily"}))
    answer = await api.call("editor-a", "GET", path_of("tasks", "hostile", "preview"), params={"count": count})
    assert refused(answer, "invalid")["errors"][0]["field"] == "count"


@pytest.mark.parametrize("after", ["now", "2026-11-23", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", ""])
async def test_a_preview_after_what_is_no_time_is_refused(api: Api, after: str) -> None:
    await api.call("editor-a", "PUT", path_of("tasks", "hostile"), json=manifest({"cron": "@daily"}))
    answer = await api.call("editor-a", "GET", path_of("tasks", "hostile", "preview"), params={"after": after})
    assert refused(answer, "invalid")["errors"][0]["field"] == "after"


async def test_a_preview_of_the_end_of_time_is_empty(api: Api) -> None:
    await api.call("editor-a", "PUT", path_of("tasks", "hostile"), json=manifest({"cron": "@daily"}))
    path = path_of("tasks", "hostile", "preview")
    answer, took = await cpu(partial(api.call, "editor-a", "GET", path, params={"after": "9999-12-31T23:59:59Z"}))
    assert answer.json() == {"items": []}
    assert took < ACCEPTED_BUDGET


async def test_a_preview_has_as_many_times_as_were_asked_for(api: Api) -> None:
    await api.call("editor-a", "PUT", path_of("tasks", "hostile"), json=manifest({"cron": "@daily"}))
    for count in (1, 2, 100):
        answer = await api.call("editor-a", "GET", path_of("tasks", "hostile", f"preview?count={count}"))
        assert len(answer.json()["items"]) == count


WRONG_SNOOZES: list[dict[str, Any]] = [
    {},
    {"until": "2020-01-01T00:00:00Z"},
    {"until": "9999-12-31T23:59:59Z"},
    {"until": "2026-11-31T00:00:00Z"},
    {"until": "tomorrow"},
    {"until": "0000-00-00T00:00:00Z"},
    {"until": 10**18},
    {"for": "0s"},
    {"for": "-1h"},
    {"for": "9" * 400 + "h"},
    {"for": "100000h"},
    {"for": "1h", "until": "2026-12-31T00:00:00Z"},
    {"for": "1h", "by": "somebody else"},
    {"for": None},
    {"for": ["1h"]},
]


async def test_a_snooze_that_is_none_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    await api.call("editor-a", "PUT", path_of("tasks", "hostile"), json=manifest({"cron": "@daily"}))
    for body in WRONG_SNOOZES:
        with subtests.test(str(body)[:40]):
            refused(await api.call("editor-a", "POST", path_of("tasks", "hostile", "snooze"), json=body), "invalid")
    found = await api.call("editor-a", "GET", path_of("tasks", "hostile"))
    assert "snooz" not in found.text.lower()
