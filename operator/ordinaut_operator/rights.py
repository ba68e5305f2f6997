"""
Whether whoever made a task through the API may still run it, at the moment when its time comes.

:mod:`fire` asks for each task that it has claimed. Identities of the access file are judged at once. Those of
Kubernetes need a review by the API server, which must hold up nobody: an answer counts for some seconds, and where
there is none, the task is left alone (late, never lost) while :meth:`Rights.run` asks, until the clock is told that
answers have come. While the API server is away, the last answer counts for some minutes more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ordinaut import metrics
from ordinaut.access.accessfile import AccessFile
from ordinaut.access.caller import Authority, Caller
from ordinaut.access.rights import RUN_TASK
from ordinaut.errors import OrdinautError
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness

NEED: Final = "creators"
"""What :class:`Readiness` calls the answers about them."""

FRESH: Final = 10.0
"""Seconds that an answer counts: as long may a creator go on whose rights were taken away."""

LAST_WORD: Final = 300.0
"""Seconds that it counts while nobody answers."""

AGAIN: Final = 1.0
"""Seconds until the API server is asked again after it gave no answer."""

AT_ONCE: Final = 16
"""Reviews under way at a time."""

Review = Callable[[Caller, str], Awaitable[bool]]
"""Asks whether a caller may run tasks in a namespace; raises `OrdinautError` when there is no answer."""

Key = tuple[int, str]
"""A creator, by its key in the store, and a namespace."""

log = get_logger(__name__)


class Created(Protocol):
    """A task with the identity whose rights its runs need, as ``access.caller`` wrote it; None where they need none."""

    @property
    def namespace(self) -> str:
        """Where its runs run."""

    @property
    def creator_id(self) -> int | None:
        """The identity's key in the store."""

    @property
    def creator(self) -> dict[str, Any] | None:
        """The identity."""


@dataclass(frozen=True, slots=True)
class _Answer:
    allowed: bool
    at: float


@dataclass(slots=True)
class _Asked:
    """What is being asked, and what the answers were."""

    open: dict[Key, Caller] = field(default_factory=dict)
    answers: dict[Key, _Answer] = field(default_factory=dict)
    nobody_answers: bool = False


class Rights:
    """
    Judges the creators of due tasks.

    Args:
        authentication: whose word counts; an identity that another authority vouched for may do nothing, and with
            ``local`` everybody may do everything.
        file: the access file, if there is one.
        review: asks the API server.
        readiness: is told how asking went.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        authentication: Collection[Authority] = (Authority.LOCAL,),
        *,
        file: AccessFile | None = None,
        review: Review | None = None,
        readiness: Readiness | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authentication = frozenset(authentication)
        self._file = file
        self._review = review
        self._readiness = readiness or Readiness()
        self._clock = clock
        self._asked = _Asked()
        self._news = asyncio.Event()

    def may_run(self, task: Created) -> bool | None:
        """Whether a task's creator may run it; None while that is not known."""
        if task.creator is None or task.creator_id is None or Authority.LOCAL in self._authentication:
            return True
        creator = Caller.from_json(task.creator)
        if creator.authority not in self._authentication:
            return False
        if creator.authority is not Authority.KUBERNETES:
            return self._file is not None and self._file.grants.allows(creator, RUN_TASK, namespace=task.namespace)
        key = (task.creator_id, task.namespace)
        if (known := self._known(key, within=FRESH)) is not None:
            return known
        self._asked.open[key] = creator
        self._news.set()
        return self._last_word(key)

    @property
    def unknown(self) -> set[Key]:
        """The creators whose tasks must wait."""
        return {key for key in self._asked.open if self._last_word(key) is None}

    async def run(self, *, answered: Callable[[], Any]) -> None:
        """Ask what is to be asked, until cancelled; ``answered`` is called whenever something is known anew."""
        while True:
            await self._news.wait()
            self._news.clear()
            before = self._asked.nobody_answers
            await self._ask_all()
            if not before or not self._asked.nobody_answers:
                answered()
            if self._asked.open:
                await asyncio.sleep(AGAIN if self._asked.nobody_answers else 0)
                self._news.set()

    async def _ask_all(self) -> None:
        """Ask about everybody at once; about one only, while nobody answers."""
        waiting = list(self._asked.open.items())
        if self._asked.nobody_answers:
            await self._ask(*waiting[0])
            return
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(key: Key, creator: Caller) -> None:
            async with gate:
                if not self._asked.nobody_answers:
                    await self._ask(key, creator)

        await asyncio.gather(*(ask(key, creator) for key, creator in waiting))
        self._forget()

    async def _ask(self, key: Key, creator: Caller) -> None:
        try:
            assert self._review is not None  # noqa: S101 - given wherever Kubernetes vouches for anybody
            allowed = await self._review(creator, key[1])
        except OrdinautError as error:
            self._asked.nobody_answers = True
            # To the end, so that the next try is about somebody else.
            self._asked.open[key] = self._asked.open.pop(key)
            metrics.CREATOR_REVIEWS.labels(result="unanswered").inc()
            if NEED not in self._readiness.reasons:
                log.warning("nobody says what the creators of tasks may do", error=str(error))
            self._readiness.missing(NEED, why=str(error))
            return
        self._asked.nobody_answers = False
        self._asked.answers[key] = _Answer(allowed, self._clock())
        self._asked.open.pop(key, None)
        metrics.CREATOR_REVIEWS.labels(result="allowed" if allowed else "denied").inc()
        self._readiness.met(NEED)

    def _last_word(self, key: Key) -> bool | None:
        """Return what counts as long as nobody answers."""
        return self._known(key, within=LAST_WORD) if self._asked.nobody_answers else None

    def _known(self, key: Key, *, within: float) -> bool | None:
        answer = self._asked.answers.get(key)
        return None if answer is None or self._clock() - answer.at > within else answer.allowed

    def _forget(self) -> None:
        oldest = self._clock() - LAST_WORD
        self._asked.answers = {key: one for key, one in self._asked.answers.items() if one.at >= oldest}


NO_CHECKS: Final = Rights()
"""Where there are no identities."""
