"""
The part of the operator that talks to an API server: source, election, status, Events, and what creators may do.

``app`` runs it where resources come from Kubernetes. Everything here is restarted by its own supervision; what is
missing is said in ``/readyz``.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ordinaut.access.caller import Caller
from ordinaut.access.review import SUBJECT_ACCESS_REVIEWS, is_allowed, subject_access_review
from ordinaut.access.rights import RUN_TASK
from ordinaut.probes import Readiness
from ordinaut.store.pool import Pool
from ordinaut_operator.definitions import Definitions
from ordinaut_operator.kube import Kube, Login, login
from ordinaut_operator.leader import Elector
from ordinaut_operator.rights import Review
from ordinaut_operator.settings import OperatorSettings
from ordinaut_operator.skips.recorder import Recorder
from ordinaut_operator.status.observed import Statuses
from ordinaut_operator.status.writer import StatusWriter
from ordinaut_operator.sync.source import KubernetesSource

REVIEW_TIMEOUT = 2.0
"""Seconds; tasks wait for the answer, and the last one counts where none comes."""

EVENT_TIMEOUT = 5.0
"""Seconds; nobody waits for an Event but the next one."""


@asynccontextmanager
async def reviews(*, readiness: Readiness, log_in: Login = login) -> AsyncIterator[Review]:
    """Open what asks the API server about the creators of tasks."""
    async with Kube(log_in=log_in, readiness=readiness, timeout=REVIEW_TIMEOUT) as kube:

        async def ask(creator: Caller, namespace: str) -> bool:
            question = subject_access_review(creator, RUN_TASK, namespace=namespace)
            return is_allowed(await kube.call("POST", SUBJECT_ACCESS_REVIEWS, body=question))

        yield ask


@asynccontextmanager
async def recording(configured: OperatorSettings, pool: Pool, *, log_in: Login = login) -> AsyncIterator[Recorder]:
    """Open what posts Events about skipped times."""
    instance = configured.identity or os.environ.get("POD_NAME") or socket.gethostname()
    async with Kube(log_in=log_in, timeout=EVENT_TIMEOUT) as kube:
        yield Recorder(pool=pool, kube=kube, instance=instance)


async def run_kubernetes(configured: OperatorSettings, pool: Pool, *, readiness: Readiness) -> None:
    """Take over what the API server has and write status back, until cancelled."""
    statuses = Statuses()
    async with Kube(readiness=readiness) as kube:
        elector = Elector(
            kube=kube,
            namespace=configured.lease_namespace,
            name=configured.lease_name,
            identity=configured.identity,
        )
        definitions = Definitions(kube=kube, readiness=readiness)
        source = KubernetesSource(
            pool=pool,
            kube=kube,
            definitions=definitions,
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
            whole=definitions.whole,
            statuses=statuses,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(elector.run())
            group.create_task(source.run())
            group.create_task(writer.run())
