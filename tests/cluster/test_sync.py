"""Shows that PostgreSQL follows the API server: what is applied, edited and deleted, seen or not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ordinaut.store.pool import Pool
from ordinaut_operator.kube import path_of
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import (
    call,
    condition,
    create,
    eventually,
    pipeline,
    status_of,
    stored,
    task,
    tool,
)

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


async def test_applied_objects_are_stored_and_ready_within_five_seconds(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async with operating.operating(control_plane.kubeconfig, database, [namespace]) as operator:
        await eventually(lambda: _is(operator.readiness.ready))
        await create(control_plane, namespace, tool("weather"), pipeline("hello", uses="weather"), task("briefing"))

        async def ready() -> bool:
            status = await status_of(control_plane, namespace, "Task", "briefing")
            return condition(status, "Ready") == ("True", "Resolved")

        assert await eventually(ready) < 5
        assert await stored(pool, namespace) == {"briefing": "Resolved"}


async def _is(value: bool) -> bool:
    return value
