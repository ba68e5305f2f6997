"""
What traces tell of runs: one trace for each run, from its fire to the calls of its tools.

Operator, api and workers take part in a run and never talk to each other. So the ids of trace and spans are made of the
run's key and of the part that a span has in it, everywhere alike, and whoever does something records its own span under
a parent that another process may have recorded, or will. Nothing of this is stored.

Whoever has done something makes a :class:`Span` with a function of this module and gives it to :data:`receiver`, which
:mod:`ordinaut.tracing` sets where traces are wanted. It is None otherwise: ask first, so that nothing is made in vain.
No span has params, outputs, errors' texts or paths of addresses: they may hold secrets.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

Value = str | int | float | bool

ROOT: Final = "root"
RUN: Final = "run"

TRACEPARENT: Final = "traceparent"
"""The header of W3C Trace Context."""


@dataclass(frozen=True, slots=True)
class Span:
    """
    Something that took its time. ``role`` is its part in the run, ``parent`` that of the span around it.

    ``started`` and ``ended`` are seconds since 1970 by the database's clock; ``error`` is one word, None if it went
    well; ``calls`` says that it is the client's side of a call.
    """

    run: str
    role: str
    name: str
    started: float
    ended: float
    parent: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str | None = None
    calls: bool = False


class Receiver(Protocol):
    """Where spans go; every method returns at once."""

    def record(self, spans: Iterable[Span]) -> None:
        """Take spans of things that have ended."""

    def is_sampled(self, run: str) -> bool:
        """Whether the trace of a run is kept."""

    def synchronize(self, database_now: datetime) -> None:
        """Put in what the database's clock says at this moment."""

    def now(self) -> float:
        """Return what the database's clock says, as far as is known."""

    def at(self, reading: float) -> float:
        """Return what it said at a reading of ``time.monotonic()``."""


receiver: Receiver | None = None


@dataclass(frozen=True, slots=True)
class Try:
    """A try of a step, as the call of its tool needs it to go on with the trace; ``lease`` is the delivery's."""

    run: str
    step: str
    lease: int
    number: int

    @property
    def role(self) -> str:
        """The part that the try has in its run."""
        # A try that was cut short, with its worker or by a drain, is made again, under the same number.
        return f"step/{self.step}/{self.lease}/{self.number}"

    @property
    def call_role(self) -> str:
        """The part that the call of its tool has."""
        return f"call/{self.step}/{self.lease}/{self.number}"


def trace_id(run: str) -> int:
    """Return the id of a run's trace; the hash spreads evenly, as samplers expect it."""
    return _number(run, size=16)


def span_id(run: str, role: str) -> int:
    """Return the id of the span that has this part in a run."""
    return _number(f"{run}/{role}", size=8)


def traceparent(run: str, role: str, *, sampled: bool) -> str:
    """Return the header that lets others go on with the trace, under the span of this role."""
    return f"00-{trace_id(run):032x}-{span_id(run, role):016x}-{int(sampled):02x}"


def fire(
    *, run: str, namespace: str, task: str, scheduled_at: datetime | None, lag: float, started: float, ended: float
) -> Span:
    """Return the root of a run that its schedule has made; ``lag`` is how late that was, in seconds."""
    attributes = _about(run, namespace=namespace, task=task) | {"ordinaut.fire.lag_seconds": lag}
    if scheduled_at is not None:
        attributes["ordinaut.fire.scheduled_at"] = scheduled_at.isoformat()
    return Span(run, ROOT, f"fire {task}", started, ended, attributes=attributes)


def request(*, run: str, namespace: str, task: str, trigger: str, at: float) -> Span:
    """Return the root of a run that somebody has asked for."""
    attributes = _about(run, namespace=namespace, task=task) | {"ordinaut.run.trigger": trigger}
    return Span(run, ROOT, f"request {task}", at, at, attributes=attributes)


def over(
    *,
    run: str,
    namespace: str,
    task: str,
    trigger: str,
    phase: str,
    reason: str | None,
    attempt: int,
    started: float,
    ended: float,
) -> Span:
    """Return the span of a run that has ended; it began with its first delivery to a worker."""
    attributes = _about(run, namespace=namespace, task=task) | {
        "ordinaut.run.trigger": trigger,
        "ordinaut.run.phase": phase,
        "ordinaut.run.attempt": attempt,
    }
    error = None if phase == "Succeeded" else reason or phase
    return Span(run, RUN, f"run {task}", started, max(started, ended), ROOT, attributes, error)


def tried(
    one: Try, *, namespace: str, task: str, tool: str, phase: str, error: str | None, started: float, ended: float
) -> Span:
    """Return the span of one try of a step."""
    attributes = _about(one.run, namespace=namespace, task=task) | {
        "ordinaut.step.id": one.step,
        "ordinaut.step.phase": phase,
        "ordinaut.step.attempt": one.number,
        "ordinaut.tool": tool,
    }
    return Span(one.run, one.role, f"step {one.step}", started, ended, RUN, attributes, error)


def called(
    one: Try,
    *,
    method: str,
    host: str,
    port: int | None,
    status: int | None,
    error: str | None,
    started: float,
    ended: float,
) -> Span:
    """Return the span of the HTTP request that a try has sent, with the attributes that OpenTelemetry has for it."""
    attributes: dict[str, Value] = {"http.request.method": method, "server.address": host}
    if port is not None:
        attributes["server.port"] = port
    if status is not None:
        attributes["http.response.status_code"] = status
    if error is not None:
        attributes["error.type"] = error
    return Span(one.run, one.call_role, method, started, ended, one.role, attributes, error, calls=True)


def _about(run: str, *, namespace: str, task: str) -> dict[str, Value]:
    return {"ordinaut.namespace": namespace, "ordinaut.task": task, "ordinaut.run.id": run}


def _number(text: str, *, size: int) -> int:
    # Never 0, which stands for no id.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest()) or 1
