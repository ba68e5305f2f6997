"""Shows that `kubectl describe` tells which times of a Task were skipped and why, whatever the API server does."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from ordinaut import metrics
from ordinaut.declaration.apply import apply
from ordinaut.declaration.examine import examine
from ordinaut.states import Origin
from ordinaut.store.pool import Pool
from ordinaut_operator import fire
from ordinaut_operator.kube import Kube, path_of
from ordinaut_operator.skips.recorder import Recorder
from ordinaut_operator.skips.series import Untold
from ordinaut_operator.supervision import Backoff
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.faultproxy import FaultProxy, Mode
from tests.cluster.operating import call, eventually, log_in_with
from tests.declaring import declare, task
from tests.running import Processes, until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.xdist_group("cluster"),
    pytest.mark.usefixtures("early_in_a_minute"),  # and so in an hour, of which the tests count
]

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


def each_second() -> list[dict[str, str]]:
    """Return schedules that are due in each of ten seconds that come soon: as many schedules as a Task may have."""
    first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    return [{"at": (first + timedelta(seconds=n)).isoformat().replace("+00:00", "Z")} for n in range(10)]


def test_kubectl_shows_skipped_times_under_their_task_as_one_event_whose_count_grows(
    control_plane: ControlPlane, namespace: str, processes: Processes, database: str
) -> None:
    operating.allow(control_plane, "operator", namespace)
    processes.environment["KUBECONFIG"] = str(control_plane.kubeconfig_for("operator", namespace))
    operator = processes.start("operator", watch_namespaces=json.dumps([namespace]), lease_namespace=namespace)
    # Nobody takes the first run, so that it is active all the time.
    document = task("busy", LOG, schedules=each_second(), concurrencyPolicy="Forbid")
    document["metadata"]["namespace"] = namespace
    control_plane.kubectl("apply", "--filename=-", stdin=json.dumps(document))

    def shown() -> list[dict[str, Any]]:
        return list(control_plane.call("GET", f"/api/v1/namespaces/{namespace}/events")["items"])

    until(lambda: sum(one["count"] for one in shown()) >= 3, what=lambda: f"three times in events, not {shown()}")
    (event,) = shown()
    assert (event["type"], event["reason"], event["source"]["component"]) == (
        "Warning",
        "StillRunning",
        "ordinaut-operator",
    )
    assert (
        event["involvedObject"]["uid"]
        == control_plane.call("GET", path_of("Task", namespace=namespace, name="busy"))["metadata"]["uid"]
    )
    assert operator.metric('ordinaut_kubernetes_events_total{result="posted"}') >= 1
    described = control_plane.kubectl("describe", "otask", "busy", f"--namespace={namespace}").stdout
    assert "Warning  StillRunning" in described.partition("\nEvents:")[2]
    assert re.search(r"\(x\d+ over ", described)
    assert "concurrencyPolicy is Forbid. `ordinaut why busy` says more" in described
    for listing in (["events", "--for=otask/busy"], ["get", "events", "--field-selector=source=ordinaut-operator"]):
        assert "StillRunning" in control_plane.kubectl(*listing, f"--namespace={namespace}").stdout


class Told:
    """A recorder at work for one namespace, and what the API server got from it."""

    def __init__(self, recorder: Recorder, control_plane: ControlPlane, namespace: str, pool: Pool) -> None:
        self.recorder = recorder
        self.namespace = namespace
        self._control_plane = control_plane
        self._pool = pool

    async def skip(self, name: str = "t", *, times: int = 1, origin: Origin = Origin.KUBERNETES) -> fire.Round:
        """Have a task that is not ready miss its last times, and decide what becomes of them."""
        document = task(name, schedules=[{"cron": "0 * * * *"}], pipelineRef={"name": "missing"})
        document["spec"]["catchUp"] = {"policy": "All"}
        document["metadata"] |= {"namespace": self.namespace}
        if origin is Origin.KUBERNETES:
            document["metadata"] |= {"uid": f"uid-of-{name}", "generation": 1}
            await apply(self._pool, [examine(document)], origin=origin)
        else:
            await declare(self._pool, document, origin=origin)
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE task_clock SET evaluated_at = date_trunc('hour', now()) - %(ago)s, next_fire_at = now(),"
                " as_of = NULL, kept = 0 WHERE task_id = (SELECT task_id FROM task WHERE name = %(name)s"
                " AND namespace = %(namespace)s)",
                {"ago": timedelta(hours=times), "name": name, "namespace": self.namespace},
            )
            await connection.execute("DELETE FROM fire")
        return await fire.fire_due(self._pool, tell=self.recorder.hear)

    async def events(self) -> list[dict[str, Any]]:
        """Return the events of the namespace, oldest first."""
        listed = await call(self._control_plane, "GET", f"/api/v1/namespaces/{self.namespace}/events")
        return sorted(listed["items"], key=lambda one: str(one["metadata"]["creationTimestamp"]))

    def count(self, *expected: int) -> Callable[[], Awaitable[bool]]:
        """Return whether the events of the namespace count so many times."""

        async def counted() -> bool:
            return [one["count"] for one in await self.events()] == list(expected)

        return counted


@contextlib.asynccontextmanager
async def telling(control_plane: ControlPlane, namespace: str, pool: Pool, *, kubeconfig: Path) -> AsyncIterator[Told]:
    """Run a recorder that is quicker to try again than usual."""
    async with Kube(log_in=log_in_with(kubeconfig), timeout=2) as kube:
        recorder = Recorder(
            pool=pool,
            kube=kube,
            instance="operator-0",
            untold=Untold(settle=0.05),
            rest=0.5,
            retry=0.1,
            backoff=Backoff(first=0.05, cap=0.2),
        )
        running = asyncio.create_task(recorder.run())
        try:
            yield Told(recorder, control_plane, namespace, pool)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def posts(result: str) -> float:
    """Return how many posts of this process ended so."""
    return float(metrics.KUBERNETES_EVENTS.labels(result=result)._value.get())


async def allowed(control_plane: ControlPlane, namespace: str) -> Path:
    """Return the kubeconfig of an operator that has its rights."""
    await asyncio.to_thread(operating.allow, control_plane, "operator", namespace)
    return await asyncio.to_thread(control_plane.kubeconfig_for, "operator", namespace)


async def test_firing_goes_on_without_the_api_server_and_all_is_told_when_it_is_back(
    control_plane: ControlPlane, namespace: str, pool: Pool
) -> None:
    await allowed(control_plane, namespace)
    with FaultProxy(control_plane) as proxy:
        kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, "operator", namespace)
        async with telling(control_plane, namespace, pool, kubeconfig=kubeconfig) as told:
            await asyncio.to_thread(proxy.switch, Mode.REFUSING)
            before = posts("unavailable")
            assert (await told.skip(times=3)).skipped == 3
            await eventually(lambda: _is(posts("unavailable") > before + 1))
            await asyncio.to_thread(proxy.switch, Mode.UNAVAILABLE)
            assert (await told.skip(times=4)).skipped == 4
            await eventually(lambda: _is(proxy.answered[Mode.UNAVAILABLE] > 1))
            assert await told.events() == []
            await asyncio.to_thread(proxy.switch, Mode.PASSING)
            await eventually(told.count(7))


async def _is(found: bool) -> bool:
    return found


async def test_without_the_right_it_complains_once_and_tells_all_when_it_is_given(
    control_plane: ControlPlane, namespace: str, pool: Pool
) -> None:
    kubeconfig = await asyncio.to_thread(control_plane.kubeconfig_for, "operator", namespace)
    with structlog.testing.capture_logs() as logs:
        async with telling(control_plane, namespace, pool, kubeconfig=kubeconfig) as told:
            before = posts("forbidden")
            await told.skip("t1", times=2)
            await told.skip("t2", times=3)
            await eventually(lambda: _is(posts("forbidden") >= before + 2))
            await asyncio.to_thread(operating.allow, control_plane, "operator", namespace)
            await eventually(_either(told.count(2, 3), told.count(3, 2)))
    (complaint,) = [one["event"] for one in logs if one["log_level"] == "warning"]
    assert complaint == "events about skipped times refused; the operator's role needs create and patch of events"


def _either(*conditions: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    async def one_of_them() -> bool:
        return any([await one() for one in conditions])

    return one_of_them


async def test_namespaces_that_go_are_no_news(control_plane: ControlPlane, namespace: str, pool: Pool) -> None:
    await call(control_plane, "DELETE", f"/api/v1/namespaces/{namespace}")  # without controllers, it stays Terminating
    with structlog.testing.capture_logs() as logs:
        for where in (namespace, "gone"):
            before = posts("gone")
            async with telling(control_plane, where, pool, kubeconfig=control_plane.kubeconfig) as told:
                await told.skip()
                await eventually(lambda before=before: _is(posts("gone") == before + 1))  # type: ignore[misc]
    assert [one for one in logs if one["log_level"] in {"warning", "error"}] == []


async def test_an_event_that_the_api_server_has_forgotten_is_made_again(
    control_plane: ControlPlane, namespace: str, pool: Pool
) -> None:
    async with telling(control_plane, namespace, pool, kubeconfig=await allowed(control_plane, namespace)) as told:
        await told.skip(times=2)
        await eventually(told.count(2))
        (event,) = await told.events()
        await told.skip(times=1)
        await eventually(told.count(3))
        assert [one["metadata"]["uid"] for one in await told.events()] == [event["metadata"]["uid"]]
        await call(control_plane, "DELETE", f"/api/v1/namespaces/{namespace}/events/{event['metadata']['name']}")
        await told.skip(times=2)
        await eventually(told.count(5))


async def test_a_post_whose_answer_was_lost_makes_no_second_event(
    control_plane: ControlPlane, namespace: str, pool: Pool
) -> None:
    kubeconfig = await allowed(control_plane, namespace)
    heard: list[Any] = []
    async with telling(control_plane, namespace, pool, kubeconfig=kubeconfig) as told:
        told.recorder.hear, hear = heard.extend, told.recorder.hear  # type: ignore[method-assign]
        await told.skip()
        hear(heard)
        await eventually(told.count(1))
    async with telling(control_plane, namespace, pool, kubeconfig=kubeconfig) as told:
        told.recorder.hear([*heard, *heard])
        await eventually(told.count(2))


async def test_only_objects_of_the_cluster_get_events(control_plane: ControlPlane, namespace: str, pool: Pool) -> None:
    kubeconfig = await allowed(control_plane, namespace)
    async with telling(control_plane, namespace, pool, kubeconfig=kubeconfig) as told:
        assert (await told.skip("agents", origin=Origin.API)).skipped == 1
        await told.skip("theirs")
        await eventually(told.count(1))
        assert [one["involvedObject"]["name"] for one in await told.events()] == ["theirs"]
