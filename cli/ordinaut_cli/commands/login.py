"""``ordinaut login``: make a context for an API, after a look whether it lets one in."""

import shlex
import subprocess
import sys
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from ordinaut_cli import asking, contexts, render
from ordinaut_cli.contexts import Context
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Output, OutputFormat
from ordinaut_cli.target import DEFAULT_NAMESPACE, Target

if TYPE_CHECKING:
    from ordinaut.client import Client

AUDIENCE: Final = "ordinaut"
KUBECTL_TIMEOUT: Final = 10.0


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
    name: Annotated[str | None, typer.Option(metavar="CONTEXT", help="Name of the context.")] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Log in to an API, and make it the current context.

    Without --token-file, --token-command or --kubernetes, the token is read from stdin and kept in a file that only
    you can read; an empty one is for an API without identities. Nothing is saved unless the API lets you in.
    """
    if sum([token_file is not None, token_command is not None, kubernetes]) > 1:
        raise CommandError("--token-file, --token-command, --kubernetes: choose one of them", exit_code=WRONG_INPUT)
    space = namespace or DEFAULT_NAMESPACE
    chosen = contexts.checked_name(name or _name_of(url, namespace), option="--name")
    if kubernetes:
        token_command = _kubectl(service_account, namespace=space)
    token = _typed_token() if token_file is None and token_command is None else None
    file = str(token_file.expanduser().absolute()) if token_file else None
    caller = _check(Target(url, space, token, file, token_command))
    with contexts.edited() as box:
        if token:
            file = str(contexts.store_token(chosen, token))
        elif before := box[0].contexts.get(chosen):
            contexts.forget_token(chosen, before)
        made = Context(url.rstrip("/"), space, file, token_command)
        box[0] = box[0].having(chosen, made, current=True)
    _warn(url)
    text = f"logged in to {url} as {render.visible(caller['id'])}; the current context is {chosen}"
    render.show({"context": chosen, **caller}, output, as_table=text)


def _check(target: Target) -> Any:
    """Return who the API takes the caller for."""

    async def work(client: "Client") -> Any:
        return await client.whoami()

    return asking.ask(target, work)


def _name_of(url: str, namespace: str | None) -> str:
    try:
        host = urlsplit(url).netloc
    except ValueError:
        host = ""
    if not host or "@" in host:
        raise CommandError(f"{url}: not the URL of an API; write one such as https://ordinaut.example.com", exit_code=2)
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


def _kubectl(service_account: str, *, namespace: str) -> str:
    """Return the command that makes tokens, bound to the cluster of now: no other one's API should get its tokens."""
    try:
        answer = subprocess.run(
            ["kubectl", "config", "current-context"],  # noqa: S607 - whichever the user has
            capture_output=True,
            text=True,
            timeout=KUBECTL_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"--kubernetes: cannot run kubectl: {error}") from None
    cluster = answer.stdout.strip()
    return shlex.join(
        [
            *("kubectl", "create", "token", service_account, "--namespace", namespace, "--audience", AUDIENCE),
            *(("--context", cluster) if answer.returncode == 0 and cluster else ()),
        ]
    )


def _warn(url: str) -> None:
    from ordinaut.client.connection import is_loopback  # noqa: PLC0415 - loaded by the check already

    if url.startswith("http:") and not is_loopback(url):
        print(f"warning: {url} has no TLS: whoever is on the way can read your token", file=sys.stderr)
