"""
The api's own requests to the Kubernetes API server: reviews, and Secrets that hooks name.

Where it is and who we are there comes from the pod's service account, whose token is read anew for each request since
it changes every hour; outside of a cluster from the kubeconfig (``KUBECONFIG``, ``~/.kube/config``).
"""

import base64
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
import yaml

from ordinaut.errors import FieldError, Invalid
from ordinaut.logging import get_logger
from ordinaut_api.identity.authority import AuthorityAway

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

TIMEOUT: Final = 3.0
"""Seconds for a review; the API server answers them from memory, within milliseconds."""

CONNECTIONS: Final = 32
"""Reviews at the same time; more wait, so that a flood of strangers is none for the API server."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the API server is, and how we prove who we are: by ``token``, or by a certificate in ``tls``."""

    server: str
    tls: ssl.SSLContext
    token: Callable[[], str | None]


def credentials(*, mounted: Path = SERVICE_ACCOUNT) -> Credentials:
    """Return the credentials that this process has; raises `Invalid` with the remedy if there are none."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if host and (mounted / "token").exists():
        tls = ssl.create_default_context(cafile=str(mounted / "ca.crt"))
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        return Credentials(server, tls, _read_anew(mounted / "token"))
    path = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    try:
        return _of_kubeconfig(yaml.safe_load(path.read_text(encoding="utf-8")), folder=path.parent)
    except (OSError, yaml.YAMLError, ssl.SSLError, ValueError, KeyError, TypeError, StopIteration) as error:
        # The text of such errors may hold parts of the file, and that holds keys.
        why = f"can't be used as a kubeconfig ({type(error).__name__})"
        remedy = "run in a pod with a service account, or set KUBECONFIG to a file with a token or a certificate"
        raise Invalid([FieldError("KUBECONFIG", str(path), why, remedy)]) from None


def _of_kubeconfig(config: Any, *, folder: Path) -> Credentials:
    """Return the credentials of the current context."""
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]

    def file_of(part: Mapping[str, str], name: str) -> Path | None:
        return folder / part[name] if name in part else None

    authority = cluster.get("certificate-authority-data")
    tls = ssl.create_default_context(
        cafile=file_of(cluster, "certificate-authority"),
        cadata=base64.b64decode(authority).decode() if authority else None,
    )
    if (certificate := file_of(user, "client-certificate")) is not None:
        tls.load_cert_chain(certificate, file_of(user, "client-key"))
    elif "client-certificate-data" in user:
        _load_pair(tls, user["client-certificate-data"], user["client-key-data"])
    elif not {"token", "tokenFile"} & set(user):
        raise ValueError("no token and no certificate")
    token_file = file_of(user, "tokenFile")
    return Credentials(cluster["server"], tls, _read_anew(token_file) if token_file else lambda: user.get("token"))


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in entries if one["name"] == name)


def _load_pair(tls: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a certificate and its key, which Python reads from files only; the file is gone at once."""
    with tempfile.NamedTemporaryFile() as file:  # readable by ourselves only
        file.write(base64.b64decode(certificate) + b"\n" + base64.b64decode(key))
        file.flush()
        tls.load_cert_chain(file.name)


def _read_anew(path: Path) -> Callable[[], str]:
    return lambda: path.read_text(encoding="utf-8").strip()


class Cluster:
    """A client of one API server; an asynchronous context manager."""

    def __init__(self, found: Credentials, *, timeout: float = TIMEOUT) -> None:
        self._credentials = found
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._trouble: str | None = None

    async def __aenter__(self) -> Self:
        # A redirect is never followed and no proxy asked: the questions hold tokens.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._credentials.tls),
            headers={"User-Agent": "ordinaut-api", "Content-Type": "application/json", "Accept": "application/json"},
            timeout=self._timeout,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def review(self, path: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Post a question and return the answer; raises :class:`AuthorityAway` for anything but an answer."""
        return self._answer(*await self._ask("POST", path, data=orjson.dumps(question)))

    async def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of what is at a path; raises :class:`AuthorityAway` if there is no answer."""
        return await self._ask("GET", path)

    async def _ask(self, method: str, path: str, *, data: bytes | None = None) -> tuple[int, bytes]:
        try:
            token = self._credentials.token()
            async with self._session.request(
                method,
                self._credentials.server.rstrip("/") + path,
                data=data,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                allow_redirects=False,
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(f"it does not answer: {type(error).__name__}") from None

    def _answer(self, status: int, body: bytes) -> Mapping[str, Any]:
        if status not in {200, 201}:
            remedy = "; bind the ClusterRole system:auth-delegator to the api's account" if status == 403 else ""  # noqa: PLR2004
            raise self._away(f"it answers a review with status {status}{remedy}")
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise self._away("something else answers in its place")
        if self._trouble:
            log.info("the API server answers again")
        self._trouble = None
        return answer

    def _away(self, why: str) -> AuthorityAway:
        if why != self._trouble:  # said once, not for each request
            log.warning("no answers from the API server", why=why)
        self._trouble = why
        return AuthorityAway(f"The Kubernetes API server can't be asked: {why}.")
