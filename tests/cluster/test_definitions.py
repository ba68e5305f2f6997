"""Shows that an operator stands still, and loses nothing, while the definitions are older than itself."""

import contextlib
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ordinaut.store.pool import Pool
from ordinaut_operator import definitions
from ordinaut_operator.kube import path_of
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import call, create, eventually, is_ready, pipeline, status_of, stored, task
from tests.declaring import run_now

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tasks.ordinaut.io"


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


def fields_of(definition: dict[str, Any]) -> dict[str, Any]:
    """The fields of a Task's spec in its definition."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return fields


async def define(control_plane: ControlPlane, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the fields of Tasks, and return when the API server has them."""
    definition = await call(control_plane, "GET", PATH)
    before = copy.deepcopy(fields_of(definition))
    change(fields_of(definition))
    await call(control_plane, "PUT", PATH, definition)

    async def served() -> bool:
        openapi = await call(control_plane, "GET", "/openapi/v3/apis/ordinaut.io/v1alpha1")
        spec = openapi["components"]["schemas"]["io.ordinaut.v1alpha1.Task"]["properties"]["spec"]
        return set(spec["properties"]) == set(fields_of(definition))

    if set(before) != set(fields_of(definition)):
        await eventually(served)


@contextlib.asynccontextmanager
async def without_priority(control_plane: ControlPlane) -> AsyncIterator[None]:
    """Serve a definition of the time before tasks had a priority, as long as the context lasts."""
    priority: list[Any] = []

    def mend(fields: dict[str, Any]) -> None:
        fields.setdefault("priority", priority[0])

    await define(control_plane, lambda fields: priority.append(fields.pop("priority")))
    try:
        yield
    finally:
        await define(control_plane, mend)


def urgent(name: str) -> dict[str, Any]:
    made = task(name)
    made["spec"]["priority"] = 7
    return made


async def priorities(pool: Pool, namespace: str) -> dict[str, int | None]:
    """The live tasks of a namespace in PostgreSQL, each with its priority."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT name, (spec->>'priority')::int FROM task WHERE namespace = %s AND deleted_at IS NULL", [namespace]
        )
        return dict(await rows.fetchall())


async def of_api_server(control_plane: ControlPlane, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = await call(control_plane, "GET", path_of("Task", namespace=namespace, name=name))
    return found


async def test_definitions_that_become_older_lose_nothing_and_are_waited_for(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, pipeline("hello"), urgent("kept"), urgent("removed"))
    async with operating.operating(control_plane.kubeconfig, database, [namespace], sweep_every=1) as operator:

        async def told() -> bool:
            return "tasks.ordinaut.io lacks spec.priority" in operator.readiness.reasons.get(definitions.NEED, "")

        async def last_run() -> bool:
            return "lastRun" in await status_of(control_plane, namespace, "Task", "kept")

        async def only(expected: dict[str, int | None]) -> bool:
            return await priorities(pool, namespace) == expected

        await eventually(lambda: is_ready(operator))
        await eventually(lambda: only({"kept": 7, "removed": 7}))
        async with without_priority(control_plane):
            await eventually(told)
            assert "kubectl apply" in operator.readiness.reasons[definitions.NEED]
            before = await of_api_server(control_plane, namespace, "kept")
            assert "priority" not in before["spec"]
            await run_now(pool, namespace=namespace, name="kept")
            await create(control_plane, namespace, task("new"))
            await call(control_plane, "DELETE", path_of("Task", namespace=namespace, name="removed"))

            tried = _refused_writes()
            await eventually(lambda: _more_than(tried))

            assert await priorities(pool, namespace) == {"kept": 7, "removed": 7}
            assert await of_api_server(control_plane, namespace, "kept") == before
        await eventually(lambda: is_ready(operator))
        await eventually(lambda: only({"kept": 7, "new": None}))
        await eventually(last_run, within=40)
        assert (await of_api_server(control_plane, namespace, "kept"))["spec"]["priority"] == 7


def _refused_writes() -> float:
    return REGISTRY.get_sample_value("ordinaut_status_writes_total", {"result": "unavailable"}) or 0.0


async def _more_than(before: float) -> bool:
    return _refused_writes() > before


async def test_an_operator_that_starts_with_older_definitions_takes_nothing_over(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await create(control_plane, namespace, pipeline("hello"), urgent("briefing"))
    before = await of_api_server(control_plane, namespace, "briefing")
    async with (
        without_priority(control_plane),
        operating.operating(control_plane.kubeconfig, database, [namespace]) as operator,
    ):

        async def told() -> bool:
            return "lacks spec.priority" in operator.readiness.reasons.get(definitions.NEED, "")

        await eventually(told)
        assert await stored(pool, namespace) == {}
    assert await of_api_server(control_plane, namespace, "briefing") == before

    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: is_ready(operator))
        assert await priorities(pool, namespace) == {"briefing": 7}


async def test_definitions_that_become_newer_are_fine(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: is_ready(operator))
        await define(control_plane, lambda fields: fields.update(flavour={"type": "string"}))
        try:
            await create(control_plane, namespace, pipeline("hello"), urgent("briefing"))

            async def taken_over() -> bool:
                return await priorities(pool, namespace) == {"briefing": 7}

            await eventually(taken_over)
            await eventually(lambda: is_ready(operator))
        finally:
            await define(control_plane, lambda fields: fields.pop("flavour"))
