"""
The operator's own requests to the Kubernetes API server: metadata lists, single objects, status patches, the Lease.

kopf brings the watches and the credentials (:class:`kopf.ConnectionInfo`, which its own requests use too); this client
brings what kopf has no public function for. It is aiohttp and nothing else on purpose: the ``kubernetes`` package's
asynchronous client costs twice the CPU time for each status patch and 36 MB of memory.

Each request has a time limit, so that an API server that hangs is an answer too. :class:`Readiness` is told how the
last request went.
"""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp
import kopf
import orjson
import yaml

from ordinaut.errors import OrdinautError
from ordinaut.probes import Readiness
from ordinaut.resources.manifest import API_VERSION
from ordinaut.store.declared import Key, Kind

PLURALS: Final[Mapping[Kind, str]] = {
    "Tool": "tools",
    "Pipeline": "pipelines",
    "Task": "tasks",
    "Hook": "hooks",
}
"""In the order of :data:`ordinaut.store.declared.KINDS`."""

Login = Callable[[], kopf.ConnectionInfo]
"""Finds out where the API server is and who we are there; called again when the server no longer knows us."""

NEED: Final = "kubernetes"
"""What :class:`Readiness` calls the API server."""

_PAGE: Final = 250
_METADATA_PAGE: Final = 500
_SILENT: Final = "the API server does not answer"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_JSON: Final = "application/json"
_JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"


class Unavailable(OrdinautError):
    """The API server gave no answer, or said to come back later; nothing is wrong with the request."""


class Refused(OrdinautError):
    """The API server refused a request; ``status`` is that of HTTP, ``causes`` are what it says in one word each."""

    def __init__(self, message: str, *, status: int, causes: Collection[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.causes = causes


def login() -> kopf.ConnectionInfo:
    """
    Return the credentials of the pod's service account, else of the kubeconfig (``KUBECONFIG``, ``~/.kube/config``).

    The token of a service account changes every hour; it is read anew by each call.
    """
    settings = kopf.OperatorSettings()
    try:
        found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    except (kopf.LoginError, yaml.YAMLError, OSError, KeyError, ValueError) as error:
        raise Unavailable(f"no API server: the kubeconfig can't be used: {type(error).__name__}: {error}") from error
    if found is None:
        raise Unavailable("no API server: neither a service account is mounted nor a kubeconfig found; set KUBECONFIG")
    if found.token or found.username or found.certificate_path or found.certificate_data:
        return found
    # Users of plugins (`exec`, `auth-provider`): the official client knows them, and is loaded only for them.
    return kopf.login_via_client(logger=logging.getLogger(__name__), settings=settings) or found


def path_of(kind: Kind, *, namespace: str | None = None, name: str | None = None, part: str | None = None) -> str:
    """Return the path of a kind's objects, of all namespaces or one, or of one object or a part such as ``status``."""
    segments = [f"/apis/{API_VERSION}", *(("namespaces", namespace) if namespace else ()), PLURALS[kind], name, part]
    return "/".join(segment for segment in segments if segment)


class _Answer(NamedTuple):
    status: int
    etag: str
    body: bytes


class Kube:
    """A client of one API server; an asynchronous context manager. Timeouts are in seconds."""

    def __init__(self, *, log_in: Login = login, readiness: Readiness | None = None, timeout: float = 10.0) -> None:
        self._log_in = log_in
        self._readiness = readiness
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._namespace: str | None = None

    @property
    def namespace(self) -> str | None:
        """The namespace that the credentials name, which is the operator's own; raises :class:`Unavailable`."""
        self._open()
        return self._namespace

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        timeout: float | None = None,  # noqa: ASYNC109 - it is the request's, and becomes `Unavailable`
    ) -> Any:
        """Send a request and return the decoded answer; raises :class:`Unavailable` or :class:`Refused`."""
        headers = {"Accept": accept} | ({} if body is None else {"Content-Type": content_type})
        data = None if body is None else orjson.dumps(body)
        answer = await self._ask(method, path, params=params, data=data, headers=headers, timeout=timeout)
        return self._decoded(answer)

    async def published(self, path: str, *, known: str | None = None) -> tuple[str, Any] | None:
        """Return a document that the API server publishes and its ETag; None if it is still the ``known`` one."""
        headers = {"Accept": _JSON} | ({"If-None-Match": known} if known else {})
        answer = await self._ask("GET", path, headers=headers)
        if answer.status == HTTPStatus.NOT_MODIFIED:
            self._heard()
            return None
        return answer.etag, self._decoded(answer)

    async def metadata(self, kind: Kind, *, namespace: str | None = None) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """Yield the metadata of all objects of a kind, page by page; see :meth:`objects`."""
        async for page in self._pages(kind, namespace=namespace, size=_METADATA_PAGE, accept=_METADATA_ONLY):
            yield [item["metadata"] for item in page]

    async def objects(self, kind: Kind, *, namespace: str | None = None) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """
        Yield all objects of a kind, page by page, all of one moment.

        Raises when a page can't be had, also when the first ones were (410 Gone): what was yielded is then a part only.
        """
        async for page in self._pages(kind, namespace=namespace, size=_PAGE, accept=_JSON):
            yield page

    async def _pages(
        self, kind: Kind, *, namespace: str | None, size: int, accept: str
    ) -> AsyncIterator[Sequence[dict[str, Any]]]:
        params = {"limit": str(size)}
        while True:
            page = await self.call("GET", path_of(kind, namespace=namespace), params=params, accept=accept)
            yield page["items"] or ()  # an empty list comes as null
            if not (token := page["metadata"].get("continue")):
                return
            params["continue"] = token

    async def get(self, key: Key) -> dict[str, Any] | None:
        """Return an object, or None if there is none; a list of one, so that the right to list is enough."""
        params = {"fieldSelector": f"metadata.name={key.name}"}
        listed = await self.call("GET", path_of(key.kind, namespace=key.namespace), params=params)
        return next(iter(listed["items"] or ()), None)

    async def replace_status(self, key: Key, *, uid: str, status: Mapping[str, Any], timeout: float) -> dict[str, Any]:  # noqa: ASYNC109 - as above
        """
        Write a whole status and return the object as it is then; :class:`Refused` with 404 or 422 if it is not there.

        A JSON patch (RFC 6902) is used for its ``test``: a merge patch would write the status of a deleted object into
        another one that got its name, and would keep fields of the old status that the new one does not have.
        """
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = path_of(key.kind, namespace=key.namespace, name=key.name, part="status")
        written: dict[str, Any] = await self.call("PATCH", path, body=patch, content_type=_JSON_PATCH, timeout=timeout)
        return written

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str],
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> "_Answer":
        limit = aiohttp.ClientTimeout(total=timeout or self._timeout)
        try:
            answer = await self._send(method, path, params=params, data=data, headers=headers, timeout=limit)
            if answer.status == HTTPStatus.UNAUTHORIZED:
                await self._close()  # the token has changed: log in anew, once
                answer = await self._send(method, path, params=params, data=data, headers=headers, timeout=limit)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unavailable(f"{_SILENT}: {type(error).__name__} {error}".strip()) from error
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        data: bytes | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as above
    ) -> "_Answer":
        session = self._open()
        async with session.request(
            method, path, params=params, data=data, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            return _Answer(response.status, response.headers.get("ETag", ""), await response.read())

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            try:
                info = self._log_in()
                self._session = session_for(info, base_url=info.server)
            except (Unavailable, ValueError) as error:
                raise self._unavailable(str(error)) from error
            self._namespace = info.default_namespace
        return self._session

    async def _close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _decoded(self, answer: "_Answer") -> Any:
        status, body = answer.status, answer.body
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise self._unavailable(f"{_SILENT}: {status} {_message(body)}")
        try:
            decoded = orjson.loads(body) if status < HTTPStatus.MULTIPLE_CHOICES else None
        except orjson.JSONDecodeError:
            raise self._unavailable(f"{_SILENT}, but something else does: {_message(body)}") from None
        self._heard()
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise Refused(f"{status} {_message(body)}", status=status, causes=_causes(body))
        return decoded

    def _heard(self) -> None:
        if self._readiness is not None:
            self._readiness.met(NEED)

    def _unavailable(self, why: str) -> Unavailable:
        if self._readiness is not None:
            self._readiness.missing(NEED, why=why)
        return Unavailable(why)


def session_for(
    info: kopf.ConnectionInfo, *, base_url: str | None = None, traces: Sequence[aiohttp.TraceConfig] = ()
) -> aiohttp.ClientSession:
    """Return a session with these credentials, for this client or for kopf."""
    return aiohttp.ClientSession(
        base_url,
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers() | {"User-Agent": "ordinaut-operator"},
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        trace_configs=list(traces),
    )


def _message(answer: bytes) -> str:
    """Return what the API server said, or the beginning of what something in front of it said."""
    try:
        return str(orjson.loads(answer)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return answer[:200].decode(errors="replace").strip()


def _causes(answer: bytes) -> frozenset[str]:
    """Return why the API server refused, as far as it says so by more than its status."""
    try:
        return frozenset(cause["reason"] for cause in orjson.loads(answer)["details"]["causes"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return frozenset()
