"""
Asking the API from a command: one client, for as long as the command works, and errors as lines for people.

Commands are plain functions; what they want of the API they hand to :func:`ask` as a coroutine function. Answers are
the JSON that the API sent, so what a newer API says is printed too. The client is slow to load and is loaded here only.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ordinaut_cli import invocation
from ordinaut_cli.cluster import address
from ordinaut_cli.errors import FAILED, WRONG_INPUT, CommandError
from ordinaut_cli.target import Target

if TYPE_CHECKING:
    import httpx2

    from ordinaut.client import Client, ClientError


def ask(target: Target, work: Callable[["Client"], Awaitable[Any]], *, waits: bool = False) -> Any:
    """Return what ``work`` finds out from the API, ``waits`` if that may take long; ends the command when it fails."""

    async def run() -> Any:
        async with connected(target, blocking=not waits) as client:
            return await work(client)

    with contextlib.nullcontext() if waits else _interrupted_at_once():
        return asyncio.run(run())


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end a request that blocks; ``asyncio.run`` by itself would first wait for its end."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@asynccontextmanager
async def connected(target: Target, *, blocking: bool = False) -> AsyncIterator["Client"]:
    """Yield a client; its errors end the command. A ``blocking`` one is quicker to load."""
    from ordinaut.client import Client, ClientError, Retries  # noqa: PLC0415 - slow to load
    from ordinaut.client.reading import as_sent  # noqa: PLC0415 - as above

    target, url, transport = _way_to(target, blocking=blocking)
    try:
        client = Client(
            url,
            namespace=target.namespace,
            token=target.token,
            token_file=target.token_file,
            token_command=target.token_command,
            retries=Retries(limit=3, first=0.1),  # somebody is waiting, and will try again
            read=as_sent,
            transport=transport,
        )
    except ClientError as error:
        raise failure(error, target) from None
    except ValueError as error:
        raise CommandError(f"--api: {error}", exit_code=WRONG_INPUT) from None
    async with client:
        try:
            yield client
        except ClientError as error:
            raise failure(error, target) from None


def _way_to(target: Target, *, blocking: bool) -> tuple[Target, str, "httpx2.AsyncBaseTransport | None"]:
    """
    Return the target in full, the URL of the API for the client, and what sends requests there.

    None is the client's own.
    """
    from ordinaut.client.blocking import BlockingTransport  # noqa: PLC0415 - as above

    if not address.is_address(target.api):
        return target, target.api, BlockingTransport(target.api) if blocking else None
    import httpx2  # noqa: PLC0415 - as above

    from ordinaut_cli.cluster import forward  # noqa: PLC0415 - as above
    from ordinaut_cli.cluster.kubectl import Access  # noqa: PLC0415 - as above

    access = Access(target.kube_context)
    where = address.resolved(target.api, access)
    inner = BlockingTransport(f"http://{forward.LOOPBACK}") if blocking else httpx2.AsyncHTTPTransport(trust_env=False)
    way = forward.ForwardedTransport(forward.Forward(where, access), inner)
    # A name for messages: what sends the requests knows the address.
    return replace(target, api=str(where)), f"http://{where.service}.{where.namespace}", way


async def gathered(items: AsyncIterator[Any]) -> list[Any]:
    """Return all items of a list of the API."""
    return [item async for item in items]


def failure(error: "ClientError", target: Target) -> CommandError:
    """Return how a command ends because of an error of the client: what is wrong, and what to do about it."""
    from ordinaut import client  # noqa: PLC0415 - loaded by whoever raised the error

    lines, exit_code = [str(error)], FAILED
    match error:
        case client.Invalid():
            lines = [str(one.get("detail", error.detail)) for one in error.errors] or lines
            exit_code = WRONG_INPUT
        case client.WrongName():
            exit_code = WRONG_INPUT
        case client.Unauthenticated():
            lines = [f"the API at {target.api} does not know who you are: {error.detail}", _log_in(target)]
        case client.TokenUnavailable():
            lines.append(_log_in(target))
        case client.Forbidden():
            lines += _who_may(error.right)
        case client.Unreachable() if address.is_address(target.api):
            lines.append("look at the installation with `kubectl ordinaut status`")
        case client.Unreachable():
            lines.append(
                "start it with `ordinaut dev DIR`, or say where it is: --api, ORDINAUT_API_URL, `ordinaut login`"
            )
        case client.RateLimited() if error.retry_after is not None:
            lines.append(f"try again in {error.retry_after:.0f} s")
    return CommandError(*lines, exit_code=exit_code)


def _log_in(target: Target) -> str:
    program = invocation.program()
    if not address.is_address(target.api):
        return f"log in with `{program} login {target.api}`, or give a token with ORDINAUT_TOKEN_FILE"
    return (
        f"log in with `{program} login {target.api} -n {target.namespace} --kubernetes --service-account NAME`, as a"
        " service account that you may make tokens for, or give a token with ORDINAUT_TOKEN_FILE"
    )


def _who_may(missing: str | None) -> list[str]:
    """Return which role has the right that is missing: the one that can do the least."""
    from ordinaut.access.rights import ROLES  # noqa: PLC0415 - only told in this case

    roles = sorted((len(rights), role) for role, rights in ROLES.items() if missing in [*map(str, rights)])
    return [f"the role {roles[0][1]} has that right; ask whoever manages access for it"] if roles else []
