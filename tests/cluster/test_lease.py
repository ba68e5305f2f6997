"""Shows the Lease on a real API server, with no other rights than the chart gives."""

import asyncio
import contextlib

import pytest

from ordinaut_operator.kube import Kube
from ordinaut_operator.leader import Elector
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import call

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


async def test_who_takes_the_lease_over_becomes_its_owner(
    control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(operating.allow, control_plane, "operator", namespace)
    kubeconfig = await asyncio.to_thread(control_plane.kubeconfig_for, "operator", namespace)
    monkeypatch.setenv("POD_NAMESPACE", namespace)
    async with Kube(log_in=operating.log_in_with(kubeconfig)) as kube:
        for transitions, pod in enumerate(("one", "two")):
            monkeypatch.setenv("POD_NAME", pod)
            monkeypatch.setenv("POD_UID", f"uid-{pod}")
            elector = Elector(kube=kube, namespace=namespace)
            running = asyncio.create_task(elector.run())
            await asyncio.wait_for(elector.won(), 60)

            lease = await call(
                control_plane,
                "GET",
                f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/ordinaut-operator",
            )
            assert [owner["uid"] for owner in lease["metadata"]["ownerReferences"]] == [f"uid-{pod}"]
            assert lease["spec"]["leaseTransitions"] == transitions
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
