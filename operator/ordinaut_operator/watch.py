"""
Runs kopf, which watches Tasks, Pipelines, Tools and Hooks, in a thread of its own.

kopf cancels every task of its event loop when it stops, and it stops by errors of its own as well; so it gets a loop
for itself, and :meth:`Watch.run` is one life of it, begun again by its caller. kopf's requests are traced to learn
two things that it does not tell: whether the watches stand (for :class:`Readiness`), and when it has *listed* anew.
After an API server was restarted kopf lists, hands on what exists and never misses what does not; whoever is told
``listed`` must look for that.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import kopf
import uvloop
from yarl import URL

from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.resources.manifest import API_VERSION
from ordinaut_operator import handlers
from ordinaut_operator.definitions import DefinitionsMissing
from ordinaut_operator.kube import PLURALS, Kube, Login, path_of, session_for
from ordinaut_operator.supervision import Backoff

log = get_logger(__name__)

NEED: Final = "watch"
"""What :class:`Readiness` calls the watches."""

_CLOSING: Final = 0.1
"""Seconds."""

_FORBIDDEN: Final = "there is no such namespace, or the operator's role for it lacks list and watch"

_STOP_TIMEOUT: Final = 10.0
"""Seconds; kopf takes some to give up ten thousand objects that it has just listed."""


class Watch:
    """
    Hands events on to ``sink`` and listings to ``listed``, both called in the loop that :meth:`run` runs in.

    ``namespaces`` empty stands for all.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        log_in: Login,
        sink: handlers.Sink,
        listed: Callable[[], None],
        readiness: Readiness,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._kube = kube
        self._log_in = log_in
        self._sink = sink
        self._listed = listed
        self._readiness = readiness
        self._namespaces = tuple(namespaces)
        self._stop = threading.Event()
        self._readiness.missing(NEED, why="the resources are not listed yet")

    def restart(self) -> None:
        """End this life of kopf: the next one lists everything."""
        self._stop.set()

    async def run(self) -> None:
        """Watch until kopf ends; when cancelled, end it."""
        await self._check_kinds()
        self._stop = threading.Event()
        life = _Life(self, loop=asyncio.get_running_loop(), stop=self._stop)
        thread = threading.Thread(target=life.live, name="kopf", daemon=True)
        thread.start()
        try:
            await life.ended.wait()
        finally:
            self._stop.set()
            await life.end(thread)
            self._readiness.missing(NEED, why="the watch has ended and is being started again")
        if life.error is not None:
            raise life.error

    async def _check_kinds(self) -> None:
        """Raise unless all kinds are known: kopf takes those that it finds at its start, and never hears of others."""
        known = await self._kube.call("GET", f"/apis/{API_VERSION}")
        missing = set(PLURALS.values()) - {resource["name"] for resource in known["resources"]}
        if missing:
            raise DefinitionsMissing(f"the API server has no {', '.join(sorted(missing))} of {API_VERSION} yet")


class _Life:
    """One life of kopf. The methods up to :meth:`live` belong to the operator's loop, those after it to kopf's."""

    def __init__(self, watch: Watch, *, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        self.ended = asyncio.Event()
        self.error: Exception | None = None
        self._watch = watch
        self._loop = loop
        self._stop = stop
        self._over = False
        self._pauses = Backoff(first=1.0, cap=30.0)
        self._latest: kopf.ConnectionInfo | None = None
        self._listing: set[str] = set()
        self._troubles = {
            path_of(kind, namespace=namespace): "not listed yet"
            for kind in PLURALS
            for namespace in watch._namespaces or (None,)
        }

    async def end(self, thread: threading.Thread) -> None:
        """Wait for the thread to end; what does not end in time is left alone and no longer listened to."""
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self.ended.wait()
        except TimeoutError:
            log.error("kopf did not stop; its thread is left behind")  # noqa: TRY400 - the traceback is ours, not its
        else:
            thread.join()
        self._over = True

    def live(self) -> None:
        """Run kopf; the whole life of the thread."""
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # that signals are not its business
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._operate())
        except Exception as error:
            self.error = error
        finally:
            self._tell(self.ended.set)

    async def _operate(self) -> None:
        asyncio.get_running_loop().set_exception_handler(self._complain)
        try:
            await kopf.operator(
                registry=handlers.registry_for(self._saw, log_in=self._open_session),
                settings=handlers.kopf_settings(),
                standalone=True,
                clusterwide=not self._watch._namespaces,
                namespaces=self._watch._namespaces,
                stop_flag=self._stop,
            )
        finally:
            self._stop.set()  # kopf waits for it in a thread that would outlive the loop
            # What kopf breaks off in the middle of a list closes its connections in later rounds of the loop.
            await asyncio.sleep(_CLOSING)

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """
        Log what went wrong in the background, but not how kopf breaks off when it is stopped in the middle of a list.
        """
        if not self._stop.is_set():
            loop.default_exception_handler(context)

    async def _open_session(self) -> kopf.AiohttpSession:
        """Log in; kopf asks again when the API server has answered 401, at once and without end."""
        info = self._watch._log_in()
        if info == self._latest:
            await asyncio.sleep(self._pauses.next())
            info = self._watch._log_in()
        else:
            self._pauses.reset()
        self._latest = info
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._answered)
        trace.on_request_exception.append(self._failed)
        session = session_for(info, traces=[trace])
        return kopf.AiohttpSession(
            server=info.server, default_namespace=info.default_namespace, aiohttp_session=session
        )

    def _saw(self, event: str | None, document: Mapping[str, Any]) -> None:
        self._tell(self._watch._sink, event, document)

    async def _answered(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, request: aiohttp.TraceRequestEndParams
    ) -> None:
        path = request.url.path
        if path not in self._troubles:
            return
        if request.response.status >= HTTPStatus.BAD_REQUEST:
            why = f"{request.response.status} {request.response.reason}"
            remedy = f"; {_FORBIDDEN}" if request.response.status == HTTPStatus.FORBIDDEN else ""
            self._tell(self._in_trouble, path, why + remedy)
        elif _is_watch(request.url):
            self._tell(self._stands, path)
        else:
            self._listing.add(path)

    async def _failed(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if request.url.path in self._troubles and not isinstance(request.exception, asyncio.CancelledError):
            why = f"{type(request.exception).__name__} {request.exception}".strip()
            self._tell(self._in_trouble, request.url.path, why)

    def _in_trouble(self, path: str, why: str) -> None:
        self._troubles[path] = why
        self._watch._readiness.missing(NEED, why=f"{path}: {why}")

    def _stands(self, path: str) -> None:
        """A watch was opened: kopf opens one when it is through with the list, and again after each disconnect."""
        self._troubles[path] = ""
        if still := [f"{path}: {why}" for path, why in self._troubles.items() if why]:
            self._watch._readiness.missing(NEED, why=still[0])
        else:
            self._watch._readiness.met(NEED)
        if path in self._listing:
            self._listing.discard(path)
            self._watch._listed()

    def _tell(self, listener: Callable[..., None], *arguments: Any) -> None:
        """Call something in the operator's loop, unless that or this life is over."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            if not self._over:
                self._loop.call_soon_threadsafe(listener, *arguments)


def _is_watch(url: URL) -> bool:
    return "watch" in url.query
