"""``ordinaut config``: the contexts that there are, as ``kubectl config`` does it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ordinaut_cli import contexts, render
from ordinaut_cli.cluster import address, kubectl
from ordinaut_cli.contexts import Context
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import KubeContext, Output, OutputFormat

group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="CONTEXT", help="The context's name.")]


@group.command()
def view(output: Output = OutputFormat.TABLE) -> None:
    """Show the file of contexts; it holds no tokens."""
    render.show(contexts.load().as_data(), OutputFormat.YAML if output is OutputFormat.TABLE else output, as_table="")


@group.command()
def get_contexts(output: Output = OutputFormat.TABLE) -> None:
    """List the contexts; the current one has a star."""
    config = contexts.load()
    items = [
        {"name": name, "current": name == config.current, **one.as_data()} for name, one in config.contexts.items()
    ]
    render.listed(items, output, none="no contexts; make one with `ordinaut login URL`", table=lambda: _table(items))


def _table(items: list[dict[str, Any]]) -> Any:
    return render.table(
        "CURRENT", "NAME", "API", "NAMESPACE", "TOKEN",
        rows=[
            (
                "*" if one["current"] else "",
                one["name"],
                one["api"],
                one["namespace"],
                "file" if "tokenFile" in one else "command" if "tokenCommand" in one else "-",
            )
            for one in items
        ],
    )  # fmt: skip


@group.command()
def current_context() -> None:
    """Tell the name of the current context."""
    current = contexts.load().current
    if current is None:
        raise CommandError("there is no current context", "choose one with `ordinaut config use-context CONTEXT`")
    print(current)


@group.command()
def use_context(name: Name) -> None:
    """Make a context the current one."""
    with contexts.edited() as box:
        box[0] = box[0].having(name, box[0].chosen(name), current=True)
    print(f"the current context is {name}")


@group.command()
def set_context(
    name: Name,
    api: Annotated[str | None, typer.Option(metavar="URL", help="Where the API is.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace.")] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The token is in this file.")] = None,
    token_command: Annotated[str | None, typer.Option(metavar="CMD", help="This command prints the token.")] = None,
    kube_context: KubeContext = None,
) -> None:
    """Make or change a context.

    Unlike `ordinaut login`, it does not ask the API.
    """
    if token_file is not None and token_command is not None:
        raise CommandError("--token-file, --token-command: choose one of them", exit_code=WRONG_INPUT)
    contexts.checked_name(name, option="CONTEXT")
    with contexts.edited() as box:
        before = box[0].contexts.get(name)
        made = _changed(
            name,
            before,
            api=api,
            namespace=namespace,
            token_file=token_file,
            token_command=token_command,
            kube_context=kube_context,
        )
        if before and made.token_file != before.token_file:
            contexts.forget_token(name, before)
        box[0] = box[0].having(name, made, current=False)
    print(f"context {name} {'changed' if before else 'created'}")


def _changed(
    name: str,
    before: Context | None,
    *,
    api: str | None,
    namespace: str | None,
    token_file: Path | None,
    token_command: str | None,
    kube_context: str | None,
) -> Context:
    url = api or (before.api if before else None)
    if url is None:
        raise CommandError(f"--api: the context {name} is new; say where its API is", exit_code=WRONG_INPUT)
    inside = address.is_address(url)
    if inside:
        url = str(address.parse(url))
    elif not url.startswith(("http://", "https://")):
        raise CommandError(f"--api: {url}: not a URL; write one such as https://ordinaut.example.com", exit_code=2)
    if kube_context and not inside:
        raise CommandError(
            f"--kube-context: {url} is reached without kubectl; leave it out, or write --api"
            f" {address.SCHEME}NAMESPACE/SERVICE",
            exit_code=WRONG_INPUT,
        )
    # A token is for one API. With another one it has to be named again.
    kept = before if before and before.api == url.rstrip("/") else None
    file, command = (kept.token_file, kept.token_command) if kept else (None, None)
    if token_file is not None:
        file, command = str(token_file.expanduser().absolute()), None
    elif token_command is not None:
        file, command = None, token_command
    cluster = kube_context or (kept.kube_context if kept else None) or (kubectl.current_context() if inside else None)
    return Context(url.rstrip("/"), namespace or (before.namespace if before else "default"), file, command, cluster)


@group.command()
def delete_context(name: Name) -> None:
    """Delete a context, with its stored token."""
    with contexts.edited() as box:
        contexts.forget_token(name, box[0].chosen(name))
        box[0] = box[0].without(name)
    print(f"context {name} deleted")
