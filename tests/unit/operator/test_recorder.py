"""What the recorder makes of answers that a healthy API server seldom gives; the others are shown on a real one."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import kopf
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from ordinaut import metrics
from ordinaut_operator.kube import Kube
from ordinaut_operator.skips.recorder import Recorder
from ordinaut_operator.skips.series import Skipped, Untold
from ordinaut_operator.supervision import Backoff
from tests.timing import at_most

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Api:
    """Answers with these statuses, one after another, and then with 201; `asked` has the name of each Event."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.asked: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((await request.json()).get("metadata", {}).get("name", request.path.rpartition("/")[2]))
        return web.json_response({}, status=self.statuses.pop(0) if self.statuses else 201)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.handle)
    async with TestServer(application) as server:
        api.url = str(server.make_url("/"))
        yield api


class NoPool:
    """Nothing is to be asked of the database."""

    def connection(self) -> Any:
        raise AssertionError("all tasks are known")


@contextlib.asynccontextmanager
async def recording(api: Api, *tasks: int, remembered: int = 100) -> AsyncIterator[None]:
    """Run a recorder to which a skipped time of each of these tasks is news, and that is quick to try again."""
    untold = Untold(settle=0, tasks=remembered)
    for task in tasks:
        untold.hear(Skipped(task, "a", f"t{task}", "NotReady", 1, NOON, NOON, NOON), now=time.monotonic())
    untold.know(tasks, {task: f"u{task}" for task in tasks})
    async with Kube(log_in=lambda: kopf.ConnectionInfo(server=api.url, token="t")) as kube:
        recorder = Recorder(
            pool=NoPool(),  # type: ignore[arg-type]
            kube=kube,
            instance="operator-0",
            untold=untold,
            rest=0.1,
            retry=0.05,
            backoff=Backoff(first=0.01, cap=0.01),
        )
        running = asyncio.create_task(recorder.run())
        yield
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def posts(result: str) -> float:
    """Return how many posts of this process ended so."""
    return float(metrics.KUBERNETES_EVENTS.labels(result=result)._value.get())


async def more(result: str, count: int, *, than: float) -> None:
    """Wait until so many more posts have ended so."""
    async with asyncio.timeout(at_most(5)):
        while posts(result) < than + count:
            await asyncio.sleep(0.01)


async def test_an_event_that_is_refused_is_tried_again_and_holds_up_no_other(api: Api) -> None:
    api.statuses = [422]
    refused, posted = posts("refused"), posts("posted")
    with structlog.testing.capture_logs() as logs:
        async with recording(api, 1, 2):
            await more("posted", 2, than=posted)
    assert posts("refused") == refused + 1
    assert [name.partition(".")[0] for name in api.asked] == ["t1", "t2", "t1"]
    assert [(one["event"], one["task"]) for one in logs] == [("event refused", "a/t1")]


async def test_a_limit_of_the_api_server_loses_nothing(api: Api) -> None:
    api.statuses = [429, 503, 429]
    unavailable, posted = posts("unavailable"), posts("posted")
    async with recording(api, 1, 2):
        await more("posted", 2, than=posted)
    assert posts("unavailable") == unavailable + 3
    assert len(api.asked) == 5


async def test_what_was_too_much_is_counted(api: Api) -> None:
    dropped, posted = posts("dropped"), posts("posted")
    async with recording(api, 1, 2, 3, remembered=2):
        await more("posted", 2, than=posted)
    assert posts("dropped") == dropped + 1
    assert [name.partition(".")[0] for name in api.asked] == ["t2", "t3"]
