"""
The part of the operator that talks to an API server: source, election and status.

``app`` runs it where resources come from Kubernetes. Everything here is restarted by its own supervision; what is
missing is said in ``/readyz``.
"""

import asyncio

from ordinaut.probes import Readiness
from ordinaut.store.pool import Pool
from ordinaut_operator.kube import Kube
from ordinaut_operator.leader import Elector
from ordinaut_operator.settings import OperatorSettings
from ordinaut_operator.status.observed import Statuses
from ordinaut_operator.status.writer import StatusWriter
from ordinaut_operator.sync.source import KubernetesSource


async def run_kubernetes(configured: OperatorSettings, pool: Pool, *, readiness: Readiness) -> None:
    """Take over what the API server has and write status back, until cancelled."""
    statuses = Statuses()
    async with Kube(readiness=readiness) as kube:
        elector = Elector(kube=kube, namespace=configured.lease_namespace, identity=configured.identity)
        source = KubernetesSource(
            pool=pool,
            kube=kube,
            readiness=readiness,
            statuses=statuses,
            namespaces=configured.watch_namespaces,
            resync_every=configured.resync_seconds,
        )
        writer = StatusWriter(
            pool=pool,
            url=configured.database_url.get_secret_value(),
            kube=kube,
            leadership=elector,
            statuses=statuses,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(elector.run())
            group.create_task(source.run())
            group.create_task(writer.run())
