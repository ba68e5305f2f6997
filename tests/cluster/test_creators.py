"""Tasks made through the API beside a real API server: their creators' rights, their names, and its absence."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ordinaut.access.caller import Authority, Caller
from ordinaut.declaration import standing
from ordinaut.probes import Readiness
from ordinaut.states import Origin
from ordinaut.store import clock, status
from ordinaut.store.pool import Pool
from ordinaut.store.status import TaskRow
from ordinaut_operator import fire
from ordinaut_operator.kubernetes import REVIEW_TIMEOUT, reviews
from ordinaut_operator.rights import Rights
from tests import declaring
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import call, create, eventually
from tests.running import Processes

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
GROUP = "rbac.authorization.k8s.io"


class Tenant:
    """A namespace of a real API server, and an agent in it that makes tasks through the API."""

    def __init__(self, control_plane: ControlPlane, namespace: str, pool: Pool) -> None:
        self.control_plane = control_plane
        self.namespace = namespace
        self.pool = pool
        self._rbac = f"/apis/{GROUP}/v1/namespaces/{namespace}"
        user = f"system:serviceaccount:{namespace}:agent"
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        self.agent = Caller(Authority.KUBERNETES, user, groups=groups)

    async def define(self) -> None:
        """Make the role that lets an agent run tasks."""
        rules = [{"apiGroups": ["ordinaut.io"], "resources": ["tasks/run"], "verbs": ["create"]}]
        await call(self.control_plane, "POST", f"{self._rbac}/roles", {"metadata": {"name": "runner"}, "rules": rules})

    async def grant(self) -> None:
        """Give the agent the right to run tasks."""
        binding = {
            "metadata": {"name": "agent"},
            "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "runner"},
            "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": self.namespace}],
        }
        await call(self.control_plane, "POST", f"{self._rbac}/rolebindings", binding)

    async def revoke(self) -> None:
        """Take it away."""
        await call(self.control_plane, "DELETE", f"{self._rbac}/rolebindings/agent")

    async def declare(self, *names: str, by: Caller | None, origin: Origin = Origin.API) -> None:
        """Make minutely tasks."""
        for name in names:
            document = declaring.task(name, LOG, schedules=[{"cron": "* * * * *"}])
            document["metadata"] |= {"namespace": self.namespace, "uid": str(uuid.uuid4()), "generation": 1}
            await declaring.declare(self.pool, document, by=by, origin=origin)

    async def make_due(self) -> None:
        """Let the last minute of all tasks be undecided; its earlier outcomes are forgotten."""
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute("DELETE FROM fire")
            await connection.execute(
                "UPDATE task_clock"
                " SET next_fire_at = now(), evaluated_at = date_trunc('minute', now()) - interval '1 s'"
            )

    async def fate(self, name: str) -> str | None:
        """Return what became of the newest nominal time of a task, None while nothing has."""
        async with self.pool.connection() as connection:
            found = await status.fires(connection, namespace=self.namespace, name=name, limit=1)
        return str(found[0].reason or found[0].outcome) if found else None

    async def becomes(self, name: str, fate: str, *, within: float = 60) -> None:
        """Make a task due again and again until this becomes of it: answers about creators count for ten seconds."""

        async def became() -> bool:
            if (found := await self.fate(name)) is not None and found != fate:
                await self.make_due()
            return found == fate

        await self.make_due()
        await eventually(became, within=within)

    async def row(self, name: str) -> TaskRow:
        async with self.pool.connection() as connection:
            found = await status.task_named(connection, namespace=self.namespace, name=name)
        assert found is not None
        return found


@pytest.fixture
async def tenant(control_plane: ControlPlane, namespace: str, pool: Pool) -> Tenant:
    made = Tenant(control_plane, namespace, pool)
    await made.define()
    return made


@pytest.fixture
async def operators_account(tenant: Tenant) -> Path:
    """The kubeconfig of a service account with the rights that the documentation gives the operator."""
    control_plane, namespace = tenant.control_plane, tenant.namespace

    def make() -> Path:
        operating.install_definitions(control_plane)
        operating.allow(control_plane, "operator", namespace)
        name = f"reviews-{namespace}"
        rules = [rule for rule in operating.RULES if rule["apiGroups"] == ["authorization.k8s.io"]]
        control_plane.call("POST", f"/apis/{GROUP}/v1/clusterroles", {"metadata": {"name": name}, "rules": rules})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}],
        }
        control_plane.call("POST", f"/apis/{GROUP}/v1/clusterrolebindings", binding)
        return control_plane.kubeconfig_for("operator", namespace)

    return await asyncio.to_thread(make)


async def test_an_operator_fires_for_a_creator_as_long_as_that_one_may_run_tasks(
    tenant: Tenant, operators_account: Path, processes: Processes
) -> None:
    await tenant.grant()
    processes.environment["KUBECONFIG"] = str(operators_account)
    namespaces = json.dumps([tenant.namespace])
    await asyncio.to_thread(
        processes.start,
        "operator",
        authentication="kubernetes",
        watch_namespaces=namespaces,
        lease_namespace=tenant.namespace,
    )
    await tenant.declare("made", by=tenant.agent)
    await tenant.becomes("made", "Fired")

    await tenant.revoke()
    await tenant.becomes("made", "Unauthorized")
    revoked = await tenant.row("made")
    said = standing.task_conditions(revoked)["Authorized"]
    assert (said.holds, said.reason) == (False, "CreatorRevoked")
    assert f"system:serviceaccount:{tenant.namespace}:agent, who made the task" in said.message

    await tenant.grant()
    await tenant.becomes("made", "Fired")
    assert (await tenant.row("made")).unauthorized_at is None


@contextlib.asynccontextmanager
async def asking(kubeconfig: Path) -> AsyncIterator[Rights]:
    """Ask the API server about creators as long as the context lasts."""
    log_in = operating.log_in_with(kubeconfig)
    async with reviews(readiness=Readiness(), log_in=log_in) as review:
        rights = Rights([Authority.KUBERNETES], review=review)
        running = asyncio.create_task(rights.run(answered=lambda: None))
        try:
            yield rights
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_while_the_api_server_hangs_other_tasks_fire_and_those_of_creators_come_late(
    tenant: Tenant, operators_account: Path, control_plane: ControlPlane
) -> None:
    await tenant.grant()
    await tenant.declare("made", by=tenant.agent)
    await tenant.declare("resource", by=None, origin=Origin.KUBERNETES)
    await tenant.make_due()
    loop = asyncio.get_running_loop()
    async with asking(operators_account) as rights:
        control_plane.pause_apiserver()
        try:
            began = loop.time()
            await fire.fire_due(tenant.pool, rights=rights)
            assert loop.time() - began < REVIEW_TIMEOUT
            assert (await tenant.fate("resource"), await tenant.fate("made")) == ("Fired", None)
        finally:
            control_plane.resume_apiserver()

        async def fired() -> bool:
            await fire.fire_due(tenant.pool, rights=rights)
            return await tenant.fate("made") == "Fired"

        await eventually(fired)


async def test_a_right_in_one_namespace_is_none_in_another(
    tenant: Tenant, operators_account: Path, control_plane: ControlPlane
) -> None:
    await tenant.grant()
    other = Tenant(control_plane, await asyncio.to_thread(control_plane.namespace), tenant.pool)
    await tenant.declare("made", by=tenant.agent)
    await other.declare("made", by=tenant.agent)
    await tenant.make_due()
    async with asking(operators_account) as rights:

        async def decided() -> bool:
            await fire.fire_due(tenant.pool, rights=rights)
            return None not in {await tenant.fate("made"), await other.fate("made")}

        await eventually(decided)
    assert (await tenant.fate("made"), await other.fate("made")) == ("Fired", "Unauthorized")


async def test_a_resource_over_the_name_of_an_agents_task_says_so_and_changes_nothing(
    tenant: Tenant, operators_account: Path, database: str, control_plane: ControlPlane
) -> None:
    await tenant.declare("briefing", by=tenant.agent)
    until = (await tenant.row("briefing")).now + timedelta(hours=1)
    await declaring.snooze(tenant.pool, "briefing", until, namespace=tenant.namespace)
    before = await tenant.row("briefing")
    async with operating.operating(operators_account, database, [tenant.namespace], resync_every=1):
        await create(control_plane, tenant.namespace, operating.task("briefing", cron="0 3 * * *"))

        async def refused() -> bool:
            found = await operating.status_of(control_plane, tenant.namespace, "Task", "briefing")
            return operating.condition(found, "Ready") == ("False", "NameTaken")

        await eventually(refused)
        # An object that comes later and is written shows that the refused one was looked at again.
        await create(control_plane, tenant.namespace, operating.pipeline("hello"))

        async def written() -> bool:
            found = await operating.status_of(control_plane, tenant.namespace, "Pipeline", "hello")
            return operating.condition(found, "Ready") == ("True", "Resolved")

        await eventually(written)
    after = await tenant.row("briefing")
    assert kept(after) == kept(before)
    assert (after.origin, after.creator) == ("API", tenant.agent.user)


def kept(row: TaskRow) -> tuple[Any, ...]:
    """Return what nobody but the agent may change."""
    return row.uid, row.generation, row.version, row.spec, row.snoozed_until, row.next_fire_at, row.evaluated_at


async def test_what_agents_do_to_a_resources_task_is_seen_with_kubectl_and_is_no_edit(
    operators_account: Path, control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async def task() -> dict[str, Any]:
        found: dict[str, Any] = await call(
            control_plane, "GET", f"/apis/ordinaut.io/v1alpha1/namespaces/{namespace}/tasks/briefing"
        )
        return found

    async def becomes(phase: str) -> dict[str, Any]:
        async def became() -> bool:
            return (await task()).get("status", {}).get("phase") == phase

        await eventually(became)
        return await task()

    async with operating.operating(operators_account, database, [namespace]):
        await create(control_plane, namespace, operating.pipeline("hello"), operating.task("briefing"))
        before = await becomes("Scheduled")

        await declaring.pause(pool, "briefing", by="kubernetes:ada", namespace=namespace)
        paused = await becomes("Paused")
        assert operating.condition(paused["status"], "Scheduled") == ("False", "Paused")
        assert "nextScheduleTime" not in paused["status"]

        await declaring.resume(pool, "briefing", namespace=namespace)
        await becomes("Scheduled")

        async with pool.connection() as connection:
            now = await clock.now(connection)
        await declaring.snooze(pool, "briefing", now + timedelta(hours=1), namespace=namespace)
        await becomes("Snoozed")
        # Nothing fires when this snooze is over: that it is over must be noticed all the same.
        async with pool.connection() as connection:
            now = await clock.now(connection)
        await declaring.snooze(pool, "briefing", now + timedelta(seconds=2), namespace=namespace)
        after = await becomes("Scheduled")

    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1
    assert after["metadata"].get("annotations") == before["metadata"].get("annotations")
