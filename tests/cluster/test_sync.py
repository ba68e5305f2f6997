"""Shows that PostgreSQL follows the API server: what is applied, edited and deleted, seen or not."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx2
import pytest

from ordinaut.resources.manifest import API_VERSION
from ordinaut.store.pool import Pool
from ordinaut_operator import definitions, kube, watch
from ordinaut_operator.kube import path_of
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.faultproxy import FaultProxy, Mode
from tests.cluster.operating import (
    call,
    condition,
    create,
    eventually,
    is_ready,
    pipeline,
    status_of,
    stored,
    task,
    tool,
)
from tests.timing import at_most

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

OUTAGE = float(os.environ.get("ORDINAUT_TEST_OUTAGE_SECONDS", "8"))
"""Seconds that the API server or the database is away; 90 and more are for machines with time."""


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(control_plane) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def operating_behind(
    proxy: FaultProxy, control_plane: ControlPlane, database: str, namespace: str
) -> AsyncIterator[operating.Operator]:
    """An operator that reaches the API server through the proxy, with no more rights than it needs."""
    await asyncio.to_thread(operating.allow, control_plane, "operator", namespace)
    kubeconfig = await asyncio.to_thread(proxy.kubeconfig_for, "operator", namespace)
    async with operating.operating(kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: is_ready(operator))
        yield operator


async def delete(control_plane: ControlPlane, namespace: str, name: str) -> None:
    await call(control_plane, "DELETE", path_of("Task", namespace=namespace, name=name))


async def edit(control_plane: ControlPlane, namespace: str, name: str, *, uses: str) -> None:
    patch = json.dumps({"spec": {"pipelineRef": {"name": uses}}})
    arguments = ("patch", "task.ordinaut.io", name, f"--namespace={namespace}", "--type=merge", f"--patch={patch}")
    await asyncio.to_thread(control_plane.kubectl, *arguments)


async def references(pool: Pool, namespace: str) -> dict[str, str]:
    """The live tasks of a namespace in PostgreSQL, each with the pipeline that it names."""
    async with pool.connection() as connection:
        query = "SELECT name, pipeline_ref FROM task WHERE namespace = %s AND deleted_at IS NULL"
        return {row[0]: row[1] for row in await (await connection.execute(query, [namespace])).fetchall()}


async def follow(pool: Pool, namespace: str, expected: dict[str, str], *, within: float = 60.0) -> float:
    async def same() -> bool:
        return await references(pool, namespace) == expected

    return await eventually(same, within=within)


async def test_applied_objects_are_stored_and_ready_within_five_seconds(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: is_ready(operator))
        await create(control_plane, namespace, tool("weather"), pipeline("hello", uses="weather"), task("briefing"))

        async def ready() -> bool:
            status = await status_of(control_plane, namespace, "Task", "briefing")
            return condition(status, "Ready") == ("True", "Resolved")

        assert await eventually(ready, within=50) < at_most(5)
        assert await stored(pool, namespace) == {"briefing": "Resolved"}


async def test_edits_and_deletes_are_followed_at_once(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: is_ready(operator))
        await create(control_plane, namespace, task("edited", uses="one"), task("deleted", uses="one"))
        await follow(pool, namespace, {"edited": "one", "deleted": "one"})
        await edit(control_plane, namespace, "edited", uses="two")
        await delete(control_plane, namespace, "deleted")
        assert await follow(pool, namespace, {"edited": "two"}, within=50) < at_most(5)


async def test_nothing_is_written_to_the_objects_of_users(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, tool("weather"), pipeline("hello"), task("briefing"))
    paths = [
        path_of("Tool", namespace=namespace, name="weather"),
        path_of("Pipeline", namespace=namespace, name="hello"),
        path_of("Task", namespace=namespace, name="briefing"),
    ]

    async def of_users() -> list[object]:
        found = [await call(control_plane, "GET", path) for path in paths]
        ours = {"managedFields", "resourceVersion"}
        return [({k: v for k, v in one["metadata"].items() if k not in ours}, one["spec"]) for one in found]

    before = await of_users()
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):

        async def all_ready() -> bool:
            kinds = (("Tool", "weather"), ("Pipeline", "hello"), ("Task", "briefing"))
            found = [condition(await status_of(control_plane, namespace, *one), "Ready") for one in kinds]
            return found == [("True", "Resolved")] * 3

        await eventually(all_ready)
    assert await of_users() == before


async def test_what_was_missed_while_the_operator_was_down_is_found_at_its_start(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, task("kept"), task("edited"), task("deleted"), task("replaced"))
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await follow(pool, namespace, dict.fromkeys(("kept", "edited", "deleted", "replaced"), "hello"))
    async with pool.connection() as connection:
        old = await (await connection.execute("SELECT task_id FROM task WHERE name = 'replaced'")).fetchone()

    await delete(control_plane, namespace, "deleted")
    await delete(control_plane, namespace, "replaced")
    await edit(control_plane, namespace, "edited", uses="two")
    await create(control_plane, namespace, task("replaced", uses="three"), task("new"))
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await follow(pool, namespace, {"kept": "hello", "edited": "two", "replaced": "three", "new": "hello"})
    async with pool.connection() as connection:
        query = "SELECT task_id FROM task WHERE name = 'replaced' AND deleted_at IS NULL"
        assert await (await connection.execute(query)).fetchone() != old


async def test_deletes_during_an_api_server_restart_are_found(
    control_plane: ControlPlane, proxy: FaultProxy, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, *(task(f"t{number}") for number in range(5)))
    async with operating_behind(proxy, control_plane, database, namespace):
        await follow(pool, namespace, {f"t{number}": "hello" for number in range(5)})
        # The operator is cut off first: to it, all of this is one restart of the API server, which forgets its events.
        await asyncio.to_thread(proxy.switch, Mode.REFUSING)
        for number in range(5):
            await delete(control_plane, namespace, f"t{number}")
        await asyncio.to_thread(control_plane.stop_apiserver)
        await asyncio.to_thread(control_plane.start_apiserver)
        await asyncio.to_thread(proxy.switch, Mode.PASSING)
        await follow(pool, namespace, {}, within=30)


async def test_a_long_503_loses_nothing_and_is_told(
    control_plane: ControlPlane, proxy: FaultProxy, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, task("edited"), task("deleted"))
    async with operating_behind(proxy, control_plane, database, namespace) as operator:
        await follow(pool, namespace, {"edited": "hello", "deleted": "hello"})
        await asyncio.to_thread(proxy.switch, Mode.UNAVAILABLE)
        await edit(control_plane, namespace, "edited", uses="two")
        await delete(control_plane, namespace, "deleted")
        await create(control_plane, namespace, task("new"))
        refused = proxy.answered[Mode.UNAVAILABLE]

        async def told() -> bool:
            reasons = operator.readiness.reasons
            return "503" in reasons.get(watch.NEED, "") and "503" in reasons.get(kube.NEED, "")

        await eventually(told)
        # An outage is a time: nothing that happens in it could be waited for instead.
        await asyncio.sleep(OUTAGE)
        assert proxy.answered[Mode.UNAVAILABLE] > refused
        assert not operator.elector.leading
        await asyncio.to_thread(proxy.switch, Mode.PASSING)
        await follow(pool, namespace, {"edited": "two", "new": "hello"})
        await eventually(lambda: is_ready(operator))


async def test_an_api_server_that_hangs_is_told_and_nothing_is_lost(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: is_ready(operator))
        await operator.elector.won()
        control_plane.pause_apiserver()
        try:

            async def told() -> bool:
                return not operator.elector.leading and kube.NEED in operator.readiness.reasons

            await eventually(told, within=30)
        finally:
            control_plane.resume_apiserver()
        await create(control_plane, namespace, task("after"))
        await follow(pool, namespace, {"after": "hello"})
        await eventually(lambda: is_ready(operator))
        await asyncio.wait_for(operator.elector.won(), 60)


async def test_a_token_that_has_changed_is_read_anew(
    control_plane: ControlPlane, proxy: FaultProxy, namespace: str, database: str, pool: Pool
) -> None:
    await asyncio.to_thread(operating.allow, control_plane, "operator", namespace)
    first = operating.log_in_with(await asyncio.to_thread(proxy.kubeconfig_for, "operator", namespace))()
    # A token that is bound to a Secret is valid as long as that exists.
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    secret = await call(control_plane, "POST", secrets, {"metadata": {"name": "bound"}})
    bound = {"apiVersion": "v1", "kind": "Secret", "name": "bound", "uid": secret["metadata"]["uid"]}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/operator/token"
    short = (await call(control_plane, "POST", path, {"spec": {"boundObjectRef": bound}}))["status"]["token"]
    logins = [replace(first, token=short)]
    async with operating.operating(
        control_plane.kubeconfig, database, [namespace], log_in=lambda: logins[-1]
    ) as operator:
        await eventually(lambda: is_ready(operator))
        await operator.elector.won()
        logins.append(first)
        await call(control_plane, "DELETE", f"{secrets}/bound")

        async def refused() -> bool:
            return await asyncio.to_thread(whoami, proxy, control_plane, short) == 401

        await eventually(refused, within=30)
        await asyncio.to_thread(proxy.switch, Mode.PASSING)  # drops the connections, and the watches with them
        await create(control_plane, namespace, pipeline("hello"), task("briefing"))
        await follow(pool, namespace, {"briefing": "hello"})
        await eventually(lambda: is_ready(operator))
        await asyncio.wait_for(operator.elector.won(), 60)


def whoami(proxy: FaultProxy, control_plane: ControlPlane, token: str) -> int:
    url = f"{proxy.url}/apis/{API_VERSION}"
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.get(url, headers=headers, verify=control_plane.tls(), trust_env=False).status_code


async def test_a_database_outage_loses_neither_edits_nor_deletes(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, task("edited"), task("deleted"))
    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await follow(pool, namespace, {"edited": "hello", "deleted": "hello"})
        await eventually(lambda: is_ready(operator))
        async with operating.without_database(database):
            await edit(control_plane, namespace, "edited", uses="two")
            await delete(control_plane, namespace, "deleted")
            await create(control_plane, namespace, task("new"))
            await asyncio.sleep(OUTAGE)  # as above
        assert await follow(pool, namespace, {"edited": "two", "new": "hello"}, within=60) < at_most(15)


async def test_what_the_database_has_lost_is_brought_back_by_the_resync(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, task("kept"), task("lost"))
    async with operating.operating(
        control_plane.kubeconfig, database, [namespace], resync_every=1, grace=0.2
    ) as operator:
        await follow(pool, namespace, {"kept": "hello", "lost": "hello"})
        await eventually(lambda: is_ready(operator))
        async with pool.connection() as connection:
            await connection.execute("DELETE FROM task WHERE name = 'lost'")
        await follow(pool, namespace, {"kept": "hello", "lost": "hello"}, within=30)


async def test_other_namespaces_are_neither_watched_nor_cleaned_up(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    other = await asyncio.to_thread(control_plane.namespace)
    await create(control_plane, namespace, task("ours"))
    await create(control_plane, other, task("theirs"))
    async with operating.operating(control_plane.kubeconfig, database, [other]):
        await follow(pool, other, {"theirs": "hello"})
    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await follow(pool, namespace, {"ours": "hello"})
        assert await references(pool, other) == {"theirs": "hello"}


async def test_without_the_definitions_an_operator_of_all_namespaces_waits_and_says_so(
    database: str, pool: Pool
) -> None:
    fresh = ControlPlane()
    await asyncio.to_thread(fresh.start)
    try:
        async with operating.operating(fresh.kubeconfig, database, []) as operator:

            async def told() -> bool:
                return "apply the files in crds/" in operator.readiness.reasons.get(definitions.NEED, "")

            await eventually(told)
            await asyncio.to_thread(operating.install_definitions, fresh)
            await create(fresh, "default", task("briefing"))
            await follow(pool, "default", {"briefing": "hello"})
            await eventually(lambda: is_ready(operator))
    finally:
        await asyncio.to_thread(fresh.stop)
