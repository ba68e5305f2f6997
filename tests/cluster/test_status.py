"""Shows that kubectl tells what PostgreSQL knows: written by one replica, when it changes, and not more often."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest

from ordinaut.declaration.apply import apply, remove
from ordinaut.declaration.examine import examine
from ordinaut.states import Origin
from ordinaut.store.declared import Incarnation, Key
from ordinaut.store.pool import Pool
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import condition, create, eventually, is_ready, pipeline, status_of, task, tool
from tests.declaring import cancel, run_now

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


class Watched:
    """The status of one object, as `kubectl get` sees it."""

    def __init__(self, control_plane: ControlPlane, namespace: str, kind: Any, name: str) -> None:
        self._where = (control_plane, namespace, kind, name)
        self.status: dict[str, Any] = {}

    async def becomes(self, within: float = 60.0, **expected: Any) -> dict[str, Any]:
        """Wait until conditions (by type, as (status, reason)) and other fields are as expected."""

        async def same() -> bool:
            self.status = await status_of(*self._where)
            return all((condition(self.status, name) or self.status.get(name)) == it for name, it in expected.items())

        try:
            await eventually(same, within=within)
        except AssertionError:
            raise AssertionError(f"{expected} did not come, but {self.status}") from None
        return self.status


async def test_a_task_without_its_pipeline_says_so_and_heals(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    briefing = Watched(control_plane, namespace, "Task", "briefing")
    hello = Watched(control_plane, namespace, "Pipeline", "hello")
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await create(control_plane, namespace, task("briefing"))
        status = await briefing.becomes(Ready=("False", "PipelineNotFound"), phase="NotReady")
        assert f"Pipeline {namespace}/hello" in status["conditions"][0]["message"]

        await create(control_plane, namespace, pipeline("hello", uses="weather"))
        await briefing.becomes(Ready=("False", "ToolNotFound"))
        await hello.becomes(Ready=("False", "ToolNotFound"))

        await create(control_plane, namespace, tool("weather"))
        status = await briefing.becomes(Ready=("True", "Resolved"), phase="Scheduled")
        await hello.becomes(Ready=("True", "Resolved"))
        assert status["observedGeneration"] == 1
        assert len(status["upcoming"]) == 5
        assert status["upcoming"][0] == status["nextScheduleTime"] > datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_task_that_never_fires_is_told_why(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await create(control_plane, namespace, pipeline("hello"), task("never", cron="0 0 30 2 *"))
        status = await Watched(control_plane, namespace, "Task", "never").becomes(Ready=("False", "InvalidSpec"))
        assert "0 0 30 2 *" in status["conditions"][0]["message"]


async def test_kubectl_shows_schedule_next_and_phase(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await create(control_plane, namespace, pipeline("hello"), task("briefing"))
        status = await Watched(control_plane, namespace, "Task", "briefing").becomes(Ready=("True", "Resolved"))
    shown = await asyncio.to_thread(control_plane.kubectl, "get", "otask", f"--namespace={namespace}")
    header, row = shown.stdout.splitlines()
    assert header.split()[:3] == ["NAME", "SCHEDULE", "TIMEZONE"]
    cells = dict(zip(header.split(), row.replace("30 8 * * 1-5", "SCHEDULE").split(), strict=False))
    assert (cells["TIMEZONE"], cells["NEXT"]) == ("UTC", status["nextScheduleTime"])
    assert "Scheduled" in row


async def test_a_run_is_followed_from_its_creation_to_its_end(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    briefing = Watched(control_plane, namespace, "Task", "briefing")
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await create(control_plane, namespace, pipeline("hello"), task("briefing"))
        await briefing.becomes(Ready=("True", "Resolved"))
        run = await run_now(pool, namespace=namespace, name="briefing")
        status = await briefing.becomes(phase="Running", active=1)
        assert (status["lastRun"]["id"], status["lastRun"]["phase"]) == (str(run), "Pending")
        await cancel(pool, namespace=namespace, run_id=run)
        status = await briefing.becomes(phase="Scheduled", active=None)
        assert status["lastRun"]["phase"] == "Cancelled"
        assert status["lastRun"]["completionTime"]


async def test_many_changes_of_one_task_lead_to_few_writes(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    briefing = Watched(control_plane, namespace, "Task", "briefing")
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await create(control_plane, namespace, pipeline("hello"), task("briefing"))
        await briefing.becomes(Ready=("True", "Resolved"))
        loop = asyncio.get_running_loop()
        before, began = await writes(control_plane), loop.time()
        for _ in range(40):
            run = await run_now(pool, namespace=namespace, name="briefing")
            await cancel(pool, namespace=namespace, run_id=run)
        status = await briefing.becomes(phase="Scheduled", active=None)
        # What was written before the first run was seen has no `lastRun` yet.
        while status.get("lastRun", {}).get("id") != str(run):
            status = await briefing.becomes(phase="Scheduled", active=None)
        # The spacing of this operator is half a second.
        assert await writes(control_plane) - before <= (loop.time() - began) / 0.5 + 2


async def writes(control_plane: ControlPlane) -> int:
    return await asyncio.to_thread(control_plane.requests, "tasks", verb="PATCH")


async def test_a_restart_without_changes_writes_nothing(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await create(control_plane, namespace, tool("weather"), pipeline("hello"), task("briefing"))
        for kind, name in (("Tool", "weather"), ("Pipeline", "hello"), ("Task", "briefing")):
            await Watched(control_plane, namespace, kind, name).becomes(Ready=("True", "Resolved"))
    before = await written(control_plane)
    async with operating.operating(control_plane.kubeconfig, database, [namespace], sweep_every=0.5) as operator:
        await eventually(lambda: is_ready(operator))
        await asyncio.wait_for(operator.elector.won(), 60)
        # A second object that is written in the end shows that the first ones were looked at, and more than once.
        await create(control_plane, namespace, task("another"))
        await Watched(control_plane, namespace, "Task", "another").becomes(Ready=("True", "Resolved"))
        assert await written(control_plane) - before == 2  # its creation, and its status


async def written(control_plane: ControlPlane) -> int:
    kinds = ("tasks", "pipelines", "tools")
    return sum([await asyncio.to_thread(control_plane.requests, kind) for kind in kinds])


async def test_one_of_two_replicas_writes_and_the_other_takes_over(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    first = Watched(control_plane, namespace, "Task", "first")
    async with contextlib.AsyncExitStack() as stays:
        leaves = contextlib.AsyncExitStack()
        one = await leaves.enter_async_context(operating.operating(control_plane.kubeconfig, database, [namespace]))
        await asyncio.wait_for(one.elector.won(), 60)
        two = await stays.enter_async_context(operating.operating(control_plane.kubeconfig, database, [namespace]))
        await eventually(lambda: is_ready(two))
        before = await writes(control_plane)
        await create(control_plane, namespace, pipeline("hello"), task("first"))
        await first.becomes(Ready=("True", "Resolved"))
        assert not two.elector.leading
        assert await writes(control_plane) - before <= 2  # at first without its pipeline, perhaps

        await leaves.aclose()
        await asyncio.wait_for(two.elector.won(), 60)
        await create(control_plane, namespace, task("second"))
        await Watched(control_plane, namespace, "Task", "second").becomes(Ready=("True", "Resolved"))


async def test_a_task_whose_name_an_agent_has_taken_says_so_and_heals(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    taken = Watched(control_plane, namespace, "Task", "briefing")
    manifest = task("briefing")
    manifest["metadata"] |= {"namespace": namespace, "uid": "an-agent's"}
    await apply(pool, [examine(manifest)], origin=Origin.API)
    async with operating.operating(control_plane.kubeconfig, database, [namespace], resync_every=1):
        await create(control_plane, namespace, pipeline("hello"), task("briefing"))
        status = await taken.becomes(Ready=("False", "NameTaken"))
        assert "delete one of them or rename it" in status["conditions"][0]["message"]
        key = Key("Task", namespace, "briefing")
        await remove(pool, [Incarnation(key, "an-agent's")], origin=Origin.API)
        await taken.becomes(Ready=("True", "Resolved"), phase="Scheduled")
