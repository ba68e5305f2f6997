"""
Whether the API server's definitions (CRDs) are at least as new as this operator.

With an older one, the API server leaves out fields it does not know when it gives objects out, and loses them for good
when a status is written. So nothing is taken over and no status written unless :meth:`Definitions.whole` says that all
is well: what is read and written is whole. The schema is published to everybody who is logged in; asking whether it is
still the same costs the API server no work.

:class:`~ordinaut_operator.sync.source.KubernetesSource` reads everything and then calls :meth:`Definitions.trust`.
Whenever the fields in it change that is void: the source is told, and reads everything anew.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import orjson

from ordinaut.errors import OrdinautError
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.resources import served
from ordinaut.resources.crd import Schema
from ordinaut.resources.manifest import API_VERSION
from ordinaut_operator.kube import PLURALS, Kube, Refused, Unavailable

log = get_logger(__name__)

NEED: Final = "definitions"
"""What :class:`Readiness` calls them."""

_PATH: Final = f"/openapi/v3/apis/{API_VERSION}"
_SHOWN_BY: Final = "the ClusterRole system:discovery, which shows it, must be bound to system:authenticated"
_FRESH: Final = 1.0
"""Seconds that an answer counts for whoever is about to read or write something."""

_LOOK: Final = 5.0
"""Seconds between looks where nobody reads or writes."""


class DefinitionsMissing(OrdinautError):
    """The CustomResourceDefinitions are not installed."""


class DefinitionsOutdated(OrdinautError):
    """The CustomResourceDefinitions are older than this operator."""


class Definitions:
    """The definitions as one API server has them; ``clock`` is in seconds and only goes forward."""

    def __init__(self, *, kube: Kube, readiness: Readiness, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._readiness = readiness
        self._clock = clock
        self._etag: str | None = None
        self._latest = b""
        self._lacks: dict[str, list[str]] = {}
        self._trusted: bytes | None = None
        self._open = asyncio.Event()
        self._asking = asyncio.Lock()
        self._looked = float("-inf")
        self._readiness.missing(NEED, why="not looked at yet")

    @property
    def trusted(self) -> bool:
        """Whether everything has been read under the definitions that were there at the last look."""
        return self._open.is_set()

    async def check(self) -> bytes:
        """
        Return what names the definitions that are there.

        Raises:
            DefinitionsMissing: one is not there.
            DefinitionsOutdated: one is older than this operator.
            Refused, Unavailable: the API server does not tell.
        """
        try:
            await self._read()
        except Refused as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                raise self._wrong(DefinitionsMissing(_not_there(PLURALS.values()))) from None
            self._readiness.missing(NEED, why=f"the API server does not show its schema: {refusal}; {_SHOWN_BY}")
            raise
        if self._lacks:
            raise self._wrong(DefinitionsOutdated(_too_old(self._lacks)))
        self._readiness.met(NEED)
        return self._latest

    def trust(self, shape: bytes) -> None:
        """Put in that everything was read under the definitions that :meth:`check` named like this."""
        self._trusted = shape
        self._open.set()

    async def whole(self) -> bool:
        """Whether what the API server gives out and takes in now is whole, and nothing read before was not."""
        async with self._asking:
            if self._clock() - self._looked >= _FRESH:
                await self._look()
                self._looked = self._clock()
        return self.trusted

    async def until_whole(self) -> None:
        """Return when :meth:`whole` holds."""
        while not await self.whole():
            await self._open.wait()

    async def run(self, *, read_anew: Callable[[], None]) -> None:
        """Look from time to time, until cancelled; ``read_anew`` is called as long as everything is to be read."""
        while True:
            if not await self.whole():
                read_anew()
            await asyncio.sleep(_LOOK)

    async def _look(self) -> None:
        try:
            shape = await self.check()
        except (Unavailable, DefinitionsMissing):
            # What was read before was whole. With the definition go its objects, and of these the watch tells.
            return
        except OrdinautError as error:
            self._distrust(str(error))
        else:
            if shape != self._trusted:
                self._distrust("they have changed")

    def _distrust(self, why: str) -> None:
        if self._open.is_set():
            log.warning("the definitions are not those under which objects were read; all is read anew", reason=why)
            self._open.clear()

    async def _read(self) -> None:
        """Bring what is known of the schema up to date."""
        answer = await self._kube.published(_PATH, known=self._etag)
        if answer is None:
            return
        etag, document = answer
        schemas = served.published(document)
        if lost := [plural for kind, plural in PLURALS.items() if kind not in schemas]:
            self._etag = None
            raise self._wrong(DefinitionsMissing(_not_there(lost)))
        # A thread, since the first comparison makes our own schemas, which takes a tenth of a second.
        self._lacks = await asyncio.to_thread(served.missing, schemas)
        self._latest = _digest(schemas)
        self._etag = etag

    def _wrong(self, error: OrdinautError) -> OrdinautError:
        if self._readiness.reasons.get(NEED) != str(error):
            log.warning("nothing is taken over from the API server", reason=str(error))
        self._readiness.missing(NEED, why=str(error))
        return error


def _digest(schemas: Mapping[str, Schema]) -> bytes:
    """Return what two schemas have in common if objects are given out with the same fields under both."""
    # API servers of two versions, behind one address during an upgrade, may publish the rest in two ways.
    fields = {kind: {part: served.structure(one) for part, one in parts.items()} for kind, parts in schemas.items()}
    return hashlib.blake2b(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _not_there(plurals: Iterable[str]) -> str:
    return f"the API server has no {', '.join(sorted(plurals))} of {API_VERSION}; apply the files in crds/"


def _too_old(lacks: Mapping[str, Sequence[str]]) -> str:
    return (
        f"the API server's definitions are older than this operator and would drop fields: {served.in_words(lacks)};"
        " upgrade the chart with crds.enabled=true, or kubectl apply --server-side --force-conflicts -f crds/"
    )
