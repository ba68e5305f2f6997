"""
Decides which replica of the operator writes status: the one that holds a Kubernetes ``Lease``.

Only status writes depend on it; everything that matters is made safe by PostgreSQL on every replica. The rules are
those of client-go: the holder renews every ``retry_period``; who has not managed to for ``renew_deadline`` no longer
leads; others take the lease once they have seen it unchanged for its duration, by their own clock. Unlike the elector
in the ``kubernetes`` package, this one has a time limit on each request, goes on when connections are refused, and
releases the lease when it is stopped.

:attr:`Elector.leading` is a comparison with the clock, not a flag: it turns false in time even if the loop hangs.
"""

import asyncio
import contextlib
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from ordinaut import metrics
from ordinaut.logging import get_logger
from ordinaut_operator.kube import Kube, Refused, Unavailable
from ordinaut_operator.supervision import Backoff, keep_going

log = get_logger(__name__)

_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
_RELEASE_TIMEOUT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says. ``duration`` is in seconds, ``version`` is its resourceVersion, empty before it exists."""

    holder: str = ""
    duration: int = 0
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0
    version: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """A record, and the local monotonic time at which it was first seen like this: clocks of nodes are not compared."""

    record: Record
    since: float


def look(before: Sight | None, record: Record, *, now: float) -> Sight:
    """Return the sight after reading ``record``: the old one as long as the Lease has not changed."""
    return before if before is not None and before.record == record else Sight(record, now)


def is_free(sight: Sight, *, identity: str, now: float) -> bool:
    """Whether the lease may be taken: it is released, ours, or was not renewed for its whole duration."""
    record = sight.record
    return record.holder in {"", identity} or now >= sight.since + record.duration


def claimed(record: Record, *, identity: str, duration: int, at: datetime) -> Record:
    """Return the record that takes or renews the lease."""
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if record.holder == identity:
        return replace(record, duration=duration, renewed=moment)
    # The first holder is no transition, and a holder that released the lease is one: as client-go counts.
    transitions = record.transitions + (1 if record.version else 0)
    return Record(identity, duration, moment, moment, transitions, record.version)


def parsed(lease: Mapping[str, Any]) -> Record:
    """Return what a Lease object says."""
    spec = lease.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        duration=spec.get("leaseDurationSeconds") or 0,
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        transitions=spec.get("leaseTransitions") or 0,
        version=lease["metadata"]["resourceVersion"],
    )


def owner_of(lease_namespace: str | None, *, environment: Mapping[str, str]) -> dict[str, str] | None:
    """
    Return the pod that this process runs in, as the owner of its Lease, or None where it is not known.

    Nobody else would take the Lease away: it is made at run time, so it is no part of what was installed. Each holder
    writes itself, so that the Lease is collected with the last one. An owner elsewhere would count as gone. Some API
    servers (OwnerReferencesPermissionEnforcement) let only those change an owner who may delete the Lease.
    """
    namespace, name, uid = (environment.get(f"POD_{part}") for part in ("NAMESPACE", "NAME", "UID"))
    if not (name and uid and namespace and namespace == lease_namespace):
        return None
    return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}


def lease_object(record: Record, *, name: str, owner: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the Lease object that says ``record``."""
    spec = {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration,
        "acquireTime": record.acquired,
        "renewTime": record.renewed,
        "leaseTransitions": record.transitions,
    }
    metadata: dict[str, Any] = {"name": name} | ({"resourceVersion": record.version} if record.version else {})
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


class Elector:
    """Takes part in the election as long as :meth:`run` runs. All durations are in seconds."""

    def __init__(
        self,
        *,
        kube: Kube,
        namespace: str | None = None,
        name: str = "ordinaut-operator",
        identity: str | None = None,
        duration: int = 15,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``namespace`` None stands for the operator's own, that of its credentials."""
        if not duration > renew_deadline > retry_period > 0:
            raise ValueError(f"not duration {duration} > renew deadline {renew_deadline} > retry period {retry_period}")
        self.identity = identity or f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self.slack = duration - renew_deadline
        """How long a request may take that was sent by a leader: the lease is still its own then."""
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._owner = owner_of(namespace, environment=os.environ)
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._clock = clock
        self._sight: Sight | None = None
        self._leads_until = float("-inf")
        self._won = asyncio.Event()

    @property
    def leading(self) -> bool:
        """Whether this replica may write status now."""
        return self._clock() < self._leads_until

    async def won(self) -> None:
        """Return when this replica leads."""
        while not self.leading:
            await self._won.wait()
            if not self.leading:  # the deadline has passed and the round that notices it has not come yet
                await asyncio.sleep(self._retry_period / 10)

    async def run(self) -> None:
        """Take part in the election until cancelled, then release the lease."""
        try:
            await keep_going("lease", self._campaign, backoff=Backoff(first=self._retry_period, cap=self._retry_period))
        finally:
            await self._release()

    async def _campaign(self) -> None:
        while True:
            await self.round()
            # Replicas that start together must not ask in step for ever.
            await asyncio.sleep(self._retry_period * random.uniform(0.9, 1.1))  # noqa: S311 - no secret

    async def round(self) -> None:
        """Take one turn: renew the lease, or look whether it is free and take it."""
        led = self._won.is_set()
        began = self._clock()
        # While leading, a request that hangs must leave time for another try before the deadline.
        limit = max(0.1, min(self._renew_deadline / 2, self._leads_until - began)) if led else self._renew_deadline / 2
        try:
            if not led or self._sight is None:
                await self._observe(timeout=limit)
            if self._sight is not None and is_free(self._sight, identity=self.identity, now=self._clock()):
                await self._claim(timeout=limit)
        except Unavailable as error:
            log.warning("lease not renewed" if led else "lease not read", lease=self._name, error=str(error))
        except Refused as error:
            self._sight = None
            if error.status != HTTPStatus.CONFLICT:  # somebody else was faster: no news
                why = "lease refused; the operator's role needs create of leases, and get, update, delete of this one"
                log.error(why, error=str(error))  # noqa: TRY400 - the traceback says nothing more
        if led and not self.leading:
            log.warning("not leading any more: this replica writes no status", identity=self.identity)
            self._resign()

    async def _observe(self, *, timeout: float) -> None:  # noqa: ASYNC109 - it is the request's
        try:
            record = parsed(await self._kube.call("GET", self._path(self._name), timeout=timeout))
        except Refused as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            record = Record()
        self._sight = look(self._sight, record, now=self._clock())

    async def _claim(self, *, timeout: float) -> None:  # noqa: ASYNC109 - it is the request's
        assert self._sight is not None  # noqa: S101 - the caller has looked
        sent = self._clock()
        record = claimed(self._sight.record, identity=self.identity, duration=self._duration, at=datetime.now(UTC))
        await self._write(record, timeout=timeout)
        self._leads_until = sent + self._renew_deadline
        metrics.LEADER.set(1)
        if not self._won.is_set():
            metrics.LEADER_SINCE.set_to_current_time()
            log.info("leading: this replica writes status", identity=self.identity)
            self._won.set()

    async def _write(self, record: Record, *, timeout: float) -> None:  # noqa: ASYNC109 - it is the request's
        body = lease_object(record, name=self._name, owner=self._owner)
        method, path = ("PUT", self._name) if record.version else ("POST", None)
        written = parsed(await self._kube.call(method, self._path(path), body=body, timeout=timeout))
        self._sight = Sight(written, self._clock())

    def _path(self, name: str | None) -> str:
        namespace = self._namespace or self._kube.namespace or "default"
        return _LEASES.format(namespace=namespace) + (f"/{name}" if name else "")

    def _resign(self) -> None:
        self._leads_until = float("-inf")
        self._won.clear()
        metrics.LEADER.set(0)
        metrics.LEADER_SINCE.set(0)

    async def _release(self) -> None:
        """Leave the lease to the others at once, if it is ours."""
        if not self._won.is_set():
            return
        self._resign()
        if self._sight is not None:
            free = replace(self._sight.record, holder="", duration=1)
            with contextlib.suppress(Unavailable, Refused):
                await self._write(free, timeout=_RELEASE_TIMEOUT)
                log.info("lease released", identity=self.identity)
