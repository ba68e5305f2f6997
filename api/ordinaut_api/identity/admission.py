"""
How much a caller may ask for in a minute, and how many of its denials the audit trail takes.

The guard admits each request after it knows the caller, before it asks for rights. Two windows count: the caller in the
namespace, and the caller in all namespaces together, since namespaces that do not exist cost nothing to make up.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache

from ordinaut.access.caller import Caller
from ordinaut.access.rights import Right
from ordinaut.metrics import DENIALS
from ordinaut_api.identity.windows import SECONDS, Standing, Windows

IN_ALL: Final = 10
"""How many times the limit of one namespace a caller has in all of them."""

AUDITED_EVERY: Final = 10
"""Seconds in which denials of one caller, right and namespace make one row."""

AUDITED_PER_MINUTE: Final = 60
"""Rows of denials that a caller can make in a minute, whatever it is denied."""

_SIZE: Final = 10_000

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whether a request may go on; ``seconds`` until one may, and the headers that say how the caller stands."""

    allowed: bool
    seconds: int
    headers: Headers


class Admission:
    """Limits what callers ask for; a limit of 0 allows anything, and says nothing about it."""

    def __init__(self, limit: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._namespaces = Windows(limit, clock=clock)
        self._callers = Windows(limit * IN_ALL, clock=clock)
        policy = f'"namespace";q={limit};w={SECONDS}, "caller";q={limit * IN_ALL};w={SECONDS}'
        self._policy = (b"ratelimit-policy", policy.encode())

    def admit(self, caller: Caller, *, namespace: str | None) -> Admitted:
        """Count a request of a caller; ``namespace`` is None where it is about none."""
        if self._namespaces.limit == 0:
            return Admitted(True, 0, [])
        overall = self._callers.hit(caller.id)
        if namespace is None or not overall.allowed:
            return self._admitted("caller", overall)
        return self._admitted("namespace", self._namespaces.hit((caller.id, namespace)))

    def _admitted(self, policy: str, standing: Standing) -> Admitted:
        said = f'"{policy}";r={standing.remaining};t={standing.seconds}'
        return Admitted(standing.allowed, standing.seconds, [self._policy, (b"ratelimit", said.encode())])


class Denials:
    """Decides which denials become rows of the audit trail; the metric counts them all."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._recent: TTLCache[tuple[str, Right, str], bool] = TTLCache(_SIZE, ttl=AUDITED_EVERY, timer=clock)
        self._rows = Windows(AUDITED_PER_MINUTE, clock=clock)

    def is_audited(self, caller: Caller, right: Right, *, namespace: str) -> bool:
        """Count a denial, and tell whether it is to be written down."""
        key = (caller.id, right, namespace)
        audited = key not in self._recent and self._rows.hit(caller.id).allowed
        if audited:
            self._recent[key] = True
        DENIALS.labels("yes" if audited else "no").inc()
        return audited

    @contextmanager
    def written(self, caller: Caller, right: Right, *, namespace: str) -> Iterator[None]:
        """Forget the denial if writing it down fails, so that the next one is written."""
        try:
            yield
        except BaseException:
            self._recent.pop((caller.id, right, namespace), None)
            raise
