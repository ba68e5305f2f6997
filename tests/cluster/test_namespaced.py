"""Shows an operator of some namespaces, with Roles in them and no right beyond."""

import asyncio
import time

import pytest

from ordinaut.store.pool import Pool
from ordinaut_operator import watch
from ordinaut_operator.kube import path_of
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import call, create, eventually, is_ready, pipeline, stored, task
from tests.timing import at_most

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


async def test_the_first_task_is_taken_over_within_two_seconds(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    await asyncio.to_thread(operating.allow, control_plane, "operator", namespace)
    kubeconfig = await asyncio.to_thread(control_plane.kubeconfig_for, "operator", namespace)
    began = time.monotonic()
    async with operating.operating(kubeconfig, database, [namespace]) as operator:
        await create(control_plane, namespace, pipeline("hello"), task("briefing"))

        async def taken_over() -> bool:
            return await stored(pool, namespace) == {"briefing": "Resolved"}

        await eventually(taken_over, within=50)
        assert time.monotonic() - began < at_most(2)
        await eventually(lambda: is_ready(operator))


async def test_a_namespace_that_may_not_be_read_is_named_and_holds_up_no_other(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    closed = await asyncio.to_thread(control_plane.namespace, "closed")
    await asyncio.to_thread(operating.allow, control_plane, "operator", namespace)
    kubeconfig = await asyncio.to_thread(control_plane.kubeconfig_for, "operator", namespace)
    await create(control_plane, closed, task("theirs"))
    await create(control_plane, namespace, task("ours"), task("gone"))
    async with operating.operating(control_plane.kubeconfig, database, [closed, namespace]) as before:
        await eventually(lambda: is_ready(before))
    await call(control_plane, "DELETE", path_of("Task", namespace=namespace, name="gone"))
    await call(control_plane, "DELETE", path_of("Task", namespace=closed, name="theirs"))

    async with operating.operating(kubeconfig, database, [closed, namespace, "nowhere"], resync_every=1) as operator:

        async def named() -> bool:
            why = operator.readiness.reasons.get(watch.NEED, "")
            return f"namespaces/{closed}/" in why and "the operator's role for it lacks list and watch" in why

        async def one_left() -> bool:
            return set(await stored(pool, namespace)) == {"ours"}

        await eventually(named)
        await eventually(one_left)
        await create(control_plane, namespace, task("new"))

        async def followed() -> bool:
            return set(await stored(pool, namespace)) == {"ours", "new"}

        await eventually(followed)
        # What may not be read may well be there still.
        assert set(await stored(pool, closed)) == {"theirs"}

        await asyncio.to_thread(allow_in, control_plane, namespace, closed)

        async def none_left() -> bool:
            return await stored(pool, closed) == {}

        async def only_nowhere() -> bool:
            return "namespaces/nowhere/" in operator.readiness.reasons.get(watch.NEED, "")

        await eventually(none_left)
        await eventually(only_nowhere)


def allow_in(control_plane: ControlPlane, home: str, namespace: str) -> None:
    """Give the operator of one namespace the same rights in another."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    control_plane.call("POST", f"{rbac}/roles", {"metadata": {"name": "operator"}, "rules": operating.RULES})
    binding = {
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": home}],
    }
    control_plane.call("POST", f"{rbac}/rolebindings", binding)
