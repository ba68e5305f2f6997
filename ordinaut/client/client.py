"""The client: one connection to the API, and what can be done through it, noun by noun."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx2

import ordinaut
from ordinaut.client.backfills import Backfills
from ordinaut.client.connection import Call, Connection, segment
from ordinaut.client.declared import Declared
from ordinaut.client.events import Audit, Events
from ordinaut.client.reading import Reader, as_shapes
from ordinaut.client.retrying import Retries
from ordinaut.client.runs import Runs
from ordinaut.client.tasks import Tasks
from ordinaut.client.tokens import TokenSource, token_source
from ordinaut.client.workers import Workers

if TYPE_CHECKING:
    from ordinaut import shapes


class Client:
    """
    A client of the API, in one namespace.

    Close it with :meth:`close`, or use it as an async context manager. It may be used by many coroutines at once.

    Args:
        url: where the API is, such as ``https://ordinaut.example.com``.
        namespace: of everything that is asked for; :meth:`in_namespace` leads to others.
        token: the token itself, or anything with an async ``token()`` as ``ordinaut.client.tokens`` has it.
        token_file: a file with the token, read again when it changes; in a pod, the projected service account token.
        token_command: a command that prints the token, such as ``kubectl create token agent --audience ordinaut``.
        timeout: seconds that the API may take for one try of one request.
        retries: how often and when requests are sent again.
        read: how answers become objects; by default the shapes of ``ordinaut.shapes``.
        transport: what sends the requests, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "default",
        token: str | TokenSource | None = None,
        token_file: Path | str | None = None,
        token_command: str | Sequence[str] | None = None,
        timeout: float = 15.0,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        read: Reader = as_shapes,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        named = None if token is None or isinstance(token, str) else token
        if named and (token_file is not None or token_command is not None):
            raise ValueError("token, token_file, token_command: give one of them")
        source = named or token_source(
            token=token if isinstance(token, str) else None, token_file=token_file, token_command=token_command
        )
        connection = Connection(
            url,
            token=source,
            timeout=timeout,
            retries=retries,
            user_agent=f"ordinaut/{ordinaut.__version__}",
            transport=transport,
        )
        self._settle(connection, namespace=namespace, read=read)

    def _settle(self, connection: Connection, *, namespace: str, read: Reader) -> None:
        self._connection = connection
        self._read = read
        self.namespace = namespace
        self.tasks = Tasks(connection, namespace=namespace, read=read)
        self.pipelines: Declared[shapes.Pipeline] = Declared(
            connection, namespace=namespace, read=read, collection="pipelines", shape="Pipeline"
        )
        self.tools: Declared[shapes.Tool] = Declared(
            connection, namespace=namespace, read=read, collection="tools", shape="Tool"
        )
        self.hooks: Declared[shapes.Hook] = Declared(
            connection, namespace=namespace, read=read, collection="hooks", shape="Hook"
        )
        self.runs = Runs(connection, namespace=namespace, read=read)
        self.backfills = Backfills(connection, namespace=namespace, read=read)
        self.events = Events(connection, namespace=namespace, read=read)
        self.audit = Audit(connection, namespace=namespace, read=read)
        self.workers = Workers(connection, namespace=namespace, read=read)

    def __repr__(self) -> str:
        return f"Client({self.url!r}, namespace={self.namespace!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._connection.url

    def in_namespace(self, namespace: str) -> "Client":
        """Return a client for another namespace over the same connection; closing either closes both."""
        other = Client.__new__(Client)
        other._settle(self._connection, namespace=namespace, read=self._read)
        return other

    async def whoami(self) -> "shapes.WhoAmI":
        """Return who the API takes the caller for."""
        found: shapes.WhoAmI = self._read("WhoAmI", await self._connection.ask(Call("GET", "/v1/whoami")))
        return found

    async def quota(self) -> "shapes.Quota":
        """Return how many objects the API takes in the namespace, and how many there are."""
        path = f"/v1/namespaces/{segment(self.namespace)}/quota"
        found: shapes.Quota = self._read("Quota", await self._connection.ask(Call("GET", path)))
        return found
