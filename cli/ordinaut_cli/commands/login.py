"""``ordinaut login``: make a context for an API, after a look whether it lets one in."""

import re
import shlex
import sys
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from ordinaut_cli import asking, contexts, render
from ordinaut_cli.cluster import address, kubectl
from ordinaut_cli.cluster.kubectl import Access
from ordinaut_cli.contexts import Context
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import KubeContext, Output, OutputFormat
from ordinaut_cli.target import DEFAULT_NAMESPACE, Target

if TYPE_CHECKING:
    from ordinaut.client import Client

AUDIENCE: Final = "ordinaut"
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._:@-]+")


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the API is.")],
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of the objects.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="The token is in this file, now and later.")
    ] = None,
    token_command: Annotated[
        str | None, typer.Option(metavar="CMD", help="This command prints the token; it is run without a shell.")
    ] = None,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Be a service account; kubectl makes the tokens.")
    ] = False,
    service_account: Annotated[str, typer.Option(metavar="NAME", help="Which one, with --kubernetes.")] = "default",
    kube_context: KubeContext = None,
    name: Annotated[str | None, typer.Option(metavar="CONTEXT", help="Name of the context.")] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Log in to an API, and make it the current context.

    URL is that of the API, or kubernetes://NAMESPACE/SERVICE: kubectl then opens the way to it, for each command anew.

    Without --token-file, --token-command or --kubernetes, the token is read from stdin and kept in a file that only
    you can read; an empty one is for an API without identities. Nothing is saved unless the API lets you in.
    """
    if sum([token_file is not None, token_command is not None, kubernetes]) > 1:
        raise CommandError("--token-file, --token-command, --kubernetes: choose one of them", exit_code=WRONG_INPUT)
    space = namespace or DEFAULT_NAMESPACE
    inside = address.is_address(url)
    cluster = _cluster(kube_context) if kubernetes or inside else None
    if inside:
        url = str(address.resolved(url, Access(cluster)))
    chosen = contexts.checked_name(name or _name_of(url, namespace, cluster=cluster), option="--name")
    if kubernetes:
        token_command = _make_tokens(service_account, namespace=space, cluster=cluster)
    token = _typed_token() if token_file is None and token_command is None else None
    file = str(token_file.expanduser().absolute()) if token_file else None
    caller = _check(Target(url, space, token, file, token_command, cluster if inside else None))
    with contexts.edited() as box:
        if token:
            file = str(contexts.store_token(chosen, token))
        elif before := box[0].contexts.get(chosen):
            contexts.forget_token(chosen, before)
        made = Context(url.rstrip("/"), space, file, token_command, cluster if inside else None)
        box[0] = box[0].having(chosen, made, current=True)
    _warn(url)
    text = f"logged in to {url} as {render.visible(caller['id'])}; the current context is {chosen}"
    render.show({"context": chosen, **caller}, output, as_table=text)


def _check(target: Target) -> Any:
    """Return who the API takes the caller for."""

    async def work(client: "Client") -> Any:
        return await client.whoami()

    return asking.ask(target, work)


def _name_of(url: str, namespace: str | None, *, cluster: str | None) -> str:
    if address.is_address(url):
        where = address.parse(url)
        host = f"{where.service}.{where.namespace}" + (f"@{_NO_NAME.sub('-', cluster)}" if cluster else "")
    else:
        try:
            host = urlsplit(url).netloc
        except ValueError:
            host = ""
        if not host or "@" in host:
            raise CommandError(
                f"{url}: not the URL of an API; write one such as https://ordinaut.example.com", exit_code=WRONG_INPUT
            )
    host = host.replace("[", "").replace("]", "").lstrip(":")  # of an IPv6 address
    return f"{namespace}@{host}" if namespace else host


def _typed_token() -> str | None:
    text = getpass("Token (empty if the API asks for none): ") if sys.stdin.isatty() else sys.stdin.read()
    if not text.strip():
        return None
    from ordinaut.client.errors import TokenUnavailable  # noqa: PLC0415 - as above
    from ordinaut.client.tokens import checked  # noqa: PLC0415 - slow to load

    try:
        return checked(text, source="stdin")
    except TokenUnavailable as error:
        raise CommandError(str(error), exit_code=WRONG_INPUT) from None


def _cluster(named: str | None) -> str | None:
    """Return kubectl's context for good: what is made for one cluster must not go to another one later."""
    if named is not None:
        kubectl.ask(Access(), "config", "get-contexts", named, "--output=name")
        return named
    return kubectl.current_context()


def _make_tokens(service_account: str, *, namespace: str, cluster: str | None) -> str:
    """Return the command that makes tokens, bound to one cluster: no other one's API should get its tokens."""
    return shlex.join(
        [
            *("kubectl", "create", "token", service_account, "--namespace", namespace, "--audience", AUDIENCE),
            *(("--context", cluster) if cluster else ()),
        ]
    )


def _warn(url: str) -> None:
    from ordinaut.client.connection import is_loopback  # noqa: PLC0415 - loaded by the check already

    if url.startswith("http:") and not is_loopback(url):
        print(f"warning: {url} has no TLS: whoever is on the way can read your token", file=sys.stderr)
